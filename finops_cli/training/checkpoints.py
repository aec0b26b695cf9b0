"""Decide if a training run may start, resume or start over in a folder, and prepare the folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.training.run_record import CARD, CURVE, RUN, TIMING, MadeFrom, read_record

CHECKPOINTS, LOCK = "checkpoints", ".lock"
_OUTPUTS = ("model", "adapter", CHECKPOINTS, CURVE, CARD, TIMING, RUN)
"""The files of a training run. The record is deleted last, because it identifies the others."""
StartMode = Literal["new", "resume", "overwrite"]
_STATE = "trainer_state.json"
_PARTS = ("optimizer.pt", "scheduler.pt", "rng_state.pth", _STATE)
"""The parts of a complete checkpoint besides the weights; transformers writes the state last."""
_NAME = re.compile(r"checkpoint-(\d+)")
_PLACES = ("base.folder", "base.tokenizer", "base.scratch.weights", "data.folder")
_NAMES = {
    "stage": "the stage",
    "data": "the data",
    "kb": "the rules (kb)",
    "prompt_sha256": "the prompt",
    "tokenizer_sha256": "the tokenizer",
    "template_sha256": "the chat template",
    "base": "the base",
    "trainer": "the trainer",
    "device": "the device",
    "versions": "the versions",
}


def refuse_unready(output: Path, mode: StartMode, made_from: MadeFrom) -> None:
    """Refuse to use the folder `output` for a training run. Changes nothing.

    Raises ResumeRefused, with every difference, for a run with other settings or data. Raises
    UsageError when the folder has content and no option says what to do with it.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file. Expected a folder.")
    before = read_record(output) if mode != "overwrite" else None
    if mode == "overwrite":
        if _has_content(output) and not (output / RUN).is_file():
            raise UsageError(
                f"{output} is not empty and has no training run ({RUN})", "use another folder"
            )
    elif mode == "new":
        if before is not None:
            raise UsageError(
                f"{output} has a training run",
                "continue it with --resume, or start over with --overwrite",
            )
        if _has_content(output):
            raise UsageError(f"{output} is not empty", "use another folder")
    elif before is None:
        raise ResumeRefused(
            f"{output} has no training run to resume (no {RUN})", "omit --resume to start one"
        )
    elif before.result is not None:
        raise ResumeRefused(
            f"{output} has a finished training run", "give --overwrite to start over"
        )
    else:
        changed = list(find_differences(before.made_from, made_from))
        if changed:
            raise ResumeRefused(
                f"cannot resume {output}, which has other settings or data: {'; '.join(changed)}"
            )


def prepare_output(output: Path, mode: StartMode) -> Path | None:
    """Return the checkpoint to resume from; None for a new start.

    A new start deletes what an earlier run left in the folder, and no other file.
    """
    if mode == "resume":
        return find_newest_checkpoint(output / CHECKPOINTS)
    for name in _OUTPUTS:
        item = output / name
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)
    return None


def find_differences(before: MadeFrom, now: MadeFrom) -> Iterator[str]:
    """Yield each difference with both values: settings by key, everything else by name.

    The origin of a value and the path of a folder are ignored; the content of a folder has a
    digest.
    """
    was, wanted = (
        {setting.key: setting.value for setting in each.settings if setting.key not in _PLACES}
        for each in (before, now)
    )
    for key in sorted(was.keys() | wanted.keys()):
        if _show(was.get(key)) != _show(wanted.get(key)):  # in the record a tuple is a list
            yield f"{key}: was {_show(was.get(key))}, now {_show(wanted.get(key))}"
    for field, name in _NAMES.items():
        old, new = getattr(before, field), getattr(now, field)
        if isinstance(old, dict):
            yield from (
                f"{name}, {part}: was {_show(old.get(part))}, now {_show(new.get(part))}"
                for part in sorted(old.keys() | new.keys())
                if old.get(part) != new.get(part)
            )
        elif old != new:
            yield f"{name}: was {_show(old)}, now {_show(new)}"


def find_newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of `folder`, or None.

    Incomplete checkpoints of an interrupted run are deleted.
    """
    found = {
        int(name.group(1)): path
        for path in folder.glob("checkpoint-*")
        if (name := _NAME.fullmatch(path.name))
    }
    for _, path in sorted(found.items(), reverse=True):
        if _is_complete(path):
            return path
        shutil.rmtree(path)
    return None


def _is_complete(checkpoint: Path) -> bool:
    if not all((checkpoint / part).is_file() for part in _PARTS):
        return False
    try:
        json.loads((checkpoint / _STATE).read_bytes())
    except ValueError:
        return False
    return True


def _has_content(output: Path) -> bool:
    return output.is_dir() and any(item.name != LOCK for item in output.iterdir())


def _show(value: object) -> str:
    return msgspec.json.encode(value).decode()
