"""The temperature of a model file, in a JSON file beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError

_ENDING = ".calibration.json"


class GgufCalibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The temperature that was fitted for one model file."""

    temperature: float
    model_sha256: str
    """The file that it was fitted for."""
    rows: int
    """Texts of the calibration split."""
    data: str
    data_sha256: str


def calibration_path(gguf: Path) -> Path:
    """Return the path of the calibration of a model file."""
    return gguf.with_name(gguf.name.removesuffix(".gguf") + _ENDING)


def read_temperature(gguf: Path, sha256: str) -> float | None:
    """Return the temperature of a model file; None if it has none, or one of another file.

    Raises UsageError for a file that cannot be read.
    """
    path = calibration_path(gguf)
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=GgufCalibration)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{path}: is not a calibration ({error})",
            f"delete it, or write it again: finops train --stage sentiment --kind calibration"
            f" --base {gguf}",
        ) from error
    is_usable = found.model_sha256 == sha256 and found.temperature > 0
    return found.temperature if is_usable else None
