"""What an output folder holds, and whether a training may begin, go on, or start over in it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.training.run_record import CARD, CURVE, RUN, TIMING, MadeFrom, read_run

CHECKPOINTS, LOCK = "checkpoints", ".lock"
_MADE = ("model", "adapter", CHECKPOINTS, CURVE, CARD, TIMING, RUN)
"""What a training leaves in its folder, the record last: without it, nobody would know what the
rest is.
"""
StartMode = Literal["new", "resume", "overwrite"]
_STATE = "trainer_state.json"
_PARTS = ("optimizer.pt", "scheduler.pt", "rng_state.pth", _STATE)
"""What a checkpoint must have beside the weights; transformers writes the state last."""
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


def refuse_unready(output: Path, how: StartMode, made_from: MadeFrom) -> None:
    """Raises ResumeRefused, naming every difference, when what stands in `output` was made from
    something else, and UsageError when something stands there and nobody said what to do with it.
    Touches nothing.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file", "give a folder")
    before = read_run(output) if how != "overwrite" else None
    if how == "overwrite":
        if _holds_something(output) and not (output / RUN).is_file():
            raise UsageError(
                f"{output}: is not empty and holds no training ({RUN})", "give a folder of its own"
            )
    elif how == "new":
        if before is not None:
            raise UsageError(
                f"{output}: holds a training", "--resume goes on with it, --overwrite starts over"
            )
        if _holds_something(output):
            raise UsageError(f"{output}: is not empty", "give a folder of its own")
    elif before is None:
        raise ResumeRefused(
            f"{output}: holds no training to go on with (no {RUN})",
            "leave --resume out to begin one",
        )
    elif before.result is not None:
        raise ResumeRefused(f"{output}: holds a training that has ended", "--overwrite starts over")
    else:
        changed = list(differences(before.made_from, made_from))
        if changed:
            raise ResumeRefused(
                f"cannot resume {output}: it was made from something else. {'; '.join(changed)}"
            )


def begin(output: Path, how: StartMode) -> Path | None:
    """The checkpoint to go on from; None when training begins anew, in a folder where nothing is
    left of an earlier one.

    What else somebody put there stays.
    """
    if how == "resume":
        return newest_checkpoint(output / CHECKPOINTS)
    for name in _MADE:
        item = output / name
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)
    return None


def differences(before: MadeFrom, now: MadeFrom) -> Iterator[str]:
    """Each thing that differs, with both values: settings by key, everything else by name.

    Where a value came from does not matter, nor where a folder is: what is in it has a digest.
    """
    was, wanted = (
        {setting.key: setting.value for setting in each.settings if setting.key not in _PLACES}
        for each in (before, now)
    )
    for key in sorted(was.keys() | wanted.keys()):
        if _said(was.get(key)) != _said(wanted.get(key)):  # a pair is a list once it is read back
            yield f"{key}: was {_said(was.get(key))}, now {_said(wanted.get(key))}"
    for field, name in _NAMES.items():
        old, new = getattr(before, field), getattr(now, field)
        if isinstance(old, dict):
            yield from (
                f"{name}, {part}: was {_said(old.get(part))}, now {_said(new.get(part))}"
                for part in sorted(old.keys() | new.keys())
                if old.get(part) != new.get(part)
            )
        elif old != new:
            yield f"{name}: was {_said(old)}, now {_said(new)}"


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of `folder`, None where there is none.

    Torn ones, which a kill leaves, are removed.
    """
    found = {
        int(name.group(1)): path
        for path in folder.glob("checkpoint-*")
        if (name := _NAME.fullmatch(path.name))
    }
    for _, path in sorted(found.items(), reverse=True):
        if _whole(path):
            return path
        shutil.rmtree(path)
    return None


def _whole(checkpoint: Path) -> bool:
    if not all((checkpoint / part).is_file() for part in _PARTS):
        return False
    try:
        json.loads((checkpoint / _STATE).read_bytes())
    except ValueError:
        return False
    return True


def _holds_something(output: Path) -> bool:
    return output.is_dir() and any(item.name != LOCK for item in output.iterdir())


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()
