"""`finops.json` in a folder that transformers or PEFT saved: what finops needs to know of a model
beyond what they write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError

NOTE = "finops.json"


class ModelNote(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`modelfile`: the Modelfile, by name, whose prompt the model was trained with
    (`models.shipped`).

    `base`: SHA-256 of the weights that an adapter belongs to, by file; empty where that is not
    known, and for a model that is whole.
    """

    modelfile: str
    base: dict[str, str] = {}


def refuse_other_base(adapter: Path, weights: Mapping[str, str]) -> None:
    """Raises UsageError where one of `weights` (SHA-256 by file) is none of those that the adapter
    was trained on.

    Shapes do not tell: an adapter fits every model of its network, and makes sense on one.
    """
    note = read_note(adapter)
    if note is None or not note.base:
        return
    for name, digest in weights.items():
        if digest not in note.base.values():
            raise UsageError(
                f"{adapter}: was trained on another base: {name} (SHA-256 {digest}) is none of"
                " its files",
                'give that base as --base; where this one is the same, saved anew, take "base"'
                f" out of {adapter / NOTE}",
            )


def write_note(folder: Path, note: ModelNote) -> None:
    (folder / NOTE).write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")


def read_note(folder: Path) -> ModelNote | None:
    """The note in `folder`; None where there is none.

    Raises UsageError for one that cannot be read.
    """
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=ModelNote)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{folder / NOTE}: is not as finops train writes it ({error}); "
            'accepted: {"modelfile": NAME}, for an adapter also "base": {FILE: SHA-256}'
        ) from error
