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
from finops_cli.foundry.training.record import RUN, MadeFrom, read_run

CHECKPOINTS = "checkpoints"
How = Literal["new", "resume", "overwrite"]
_STATE = "trainer_state.json"
_PARTS = ("optimizer.pt", "scheduler.pt", "rng_state.pth", _STATE)
"""What a checkpoint must have beside the weights; transformers writes the state last."""
_NAME = re.compile(r"checkpoint-(\d+)")
_NAMES = {
    "stage": "the stage",
    "data": "the data",
    "kb": "the rules (kb)",
    "prompt_sha256": "the prompt",
    "tokenizer_sha256": "the tokenizer",
    "template_sha256": "the chat template",
    "base": "the base",
    "backend": "the backend",
    "device": "the device",
    "versions": "the versions",
}


def make_ready(output: Path, how: How, made_from: MadeFrom) -> Path | None:
    """The checkpoint to go on from; None when training begins anew, in a folder that is then empty of an earlier one.

    Raises ResumeRefused, naming every difference, when what stands there was made from something else, and UsageError when something
    stands there and nobody said what to do with it.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; give a folder")
    before = read_run(output) if how != "overwrite" else None
    if how == "new":
        _refuse_to_lose(output, before is not None)
        return None
    if how == "overwrite":
        _refuse_strangers(output)
        shutil.rmtree(output, ignore_errors=True)
        return None
    if before is None:
        raise ResumeRefused(f"{output}: holds no training to go on with (no {RUN}); leave --resume out to begin one")
    if before.result is not None:
        raise ResumeRefused(f"{output}: holds a training that has ended; --overwrite starts over")
    changed = list(differences(before.made_from, made_from))
    if changed:
        raise ResumeRefused(f"cannot resume {output}: it was made from something else. {'; '.join(changed)}")
    return newest_checkpoint(output / CHECKPOINTS)


def differences(before: MadeFrom, now: MadeFrom) -> Iterator[str]:
    """Each thing that differs, with both values: settings by key, everything else by name. Where a value came from does not matter."""
    was, wanted = ({setting.key: setting.value for setting in each.settings} for each in (before, now))
    for key in sorted(was.keys() | wanted.keys()):
        if was.get(key) != wanted.get(key):
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
    """The newest whole checkpoint of `folder`, None where there is none. Torn ones, which a kill leaves, are removed."""
    found = {int(name.group(1)): path for path in folder.glob("checkpoint-*") if (name := _NAME.fullmatch(path.name))}
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


def _refuse_to_lose(output: Path, is_training: bool) -> None:
    if is_training:
        raise UsageError(f"{output}: holds a training; --resume goes on with it, --overwrite starts over")
    if output.is_dir() and any(output.iterdir()):
        raise UsageError(f"{output}: is not empty; give a folder of its own")


def _refuse_strangers(output: Path) -> None:
    """--overwrite removes a training, never a folder of something else."""
    if output.is_dir() and any(output.iterdir()) and not (output / RUN).is_file():
        raise UsageError(f"{output}: is not empty and holds no training ({RUN}); give a folder of its own")


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()
