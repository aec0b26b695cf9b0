"""The note `finops.json` in a folder that transformers or PEFT saved: its prompt and its base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.errors import UsageError

NOTE = "finops.json"


class ModelNote(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Facts about a saved model that finops needs."""

    modelfile: str
    """The name of the Modelfile whose prompt the model was trained with (`models.bundled`)."""
    base: dict[str, str] = {}
    """SHA-256 of the weights of an adapter's base, by file. Empty if unknown or not an adapter."""


def refuse_other_base(adapter: Path, weights: Mapping[str, str], option: str = "--base") -> None:
    """Raises UsageError when one of `weights` (SHA-256 by file) is not of the adapter's base.

    Shapes do not show it: an adapter fits every model of its network, but works on one only.
    """
    note = read_note(adapter)
    if note is None or not note.base:
        return
    for name, digest in weights.items():
        if digest not in note.base.values():
            raise UsageError(
                f"{adapter} was trained on another base: {name} (SHA-256 {digest}) is not one of"
                " that base's files",
                f"give that base as {option}. If this one is the same base,"
                f' saved again, remove "base" from {adapter / NOTE}',
            )


def write_note(folder: Path, note: ModelNote) -> None:
    """Write the note into `folder`."""
    (folder / NOTE).write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")


def read_note(folder: Path) -> ModelNote | None:
    """Read the note in `folder`; None without a note.

    Raises UsageError for an unreadable note.
    """
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=ModelNote)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UNREADABLE as error:
        raise UsageError(
            f"{folder / NOTE} is not a note of finops train ({error}). Expected"
            ' {"modelfile": NAME}, for an adapter also "base": {FILE: SHA-256}.'
        ) from error
