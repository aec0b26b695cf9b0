"""The temperature of a model, in a JSON file beside the model file or in the model's folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError

_ENDING, _IN_FOLDER = ".calibration.json", "calibration.json"


class ModelCalibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The temperature that was fitted for one model."""

    temperature: float
    model_sha256: str
    """The file that it was fitted for, or the digest of a folder's files."""
    rows: int
    """Texts of the calibration split."""
    data: str
    data_sha256: str


def calibration_path(model: Path) -> Path:
    """Return the path of the calibration of a model file, or of a folder."""
    if model.is_dir():
        return model / _IN_FOLDER
    return model.with_name(model.name.removesuffix(".gguf") + _ENDING)


def read_temperature(model: Path, sha256: str) -> float | None:
    """Return the temperature of a model; None if it has none, or one of another model.

    Raises UsageError for a file that cannot be read.
    """
    path = calibration_path(model)
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ModelCalibration)
    except (OSError, *UNREADABLE) as error:
        raise UsageError(
            f"{path}: is not a calibration ({error})",
            f"delete it, or write it again: finops train --stage sentiment --kind calibration"
            f" --base {model}",
        ) from error
    is_usable = found.model_sha256 == sha256 and found.temperature > 0
    return found.temperature if is_usable else None


def write_calibration(model: Path, made: ModelCalibration) -> Path:
    """Write the calibration of a model, and return its path."""
    path = calibration_path(model)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    return path
