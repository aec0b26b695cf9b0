"""`finops.json` in a folder that transformers or PEFT saved: what finops needs to know of a model beyond what they write."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError

NOTE = "finops.json"


class ModelNote(Struct, frozen=True, forbid_unknown_fields=True):
    """`modelfile`: the Modelfile, by name, whose prompt the model was trained with (`models.shipped`)."""

    modelfile: str


def write_note(folder: Path, note: ModelNote) -> None:
    (folder / NOTE).write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")


def read_note(folder: Path) -> ModelNote | None:
    """The note in `folder`; None where there is none. Raises UsageError for one that cannot be read."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=ModelNote)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f'{folder / NOTE}: is not as finops train writes it ({error}); accepted: {{"modelfile": NAME}}'
        ) from error
