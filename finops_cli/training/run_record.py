"""`run.json`: what a model was made from, what came of it, and a digest of both. No clock, no host,
no path of its own stands in it.

Equal calls on equal machines write equal bytes; when it was, and how long it took, is in
`timing.json` beside it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import ResumeRefused
from finops_cli.training.data.sources import DataNote
from finops_cli.training.recipe import Setting

RUN, TIMING, CARD, CURVE = "run.json", "timing.json", "README.md", "loss.png"


class MadeFrom(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a training depends on.

    Where it is equal, training goes on from a checkpoint as if it had never stopped.
    """

    stage: StageName
    settings: list[Setting]
    data: list[DataNote]
    kb: str
    prompt_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    base: dict[str, str]
    trainer: str = field(name="backend")
    """The key of the record is the older word: records are compared byte by byte."""
    device: str
    versions: dict[str, str | None]


class Loss(Struct, frozen=True):
    """Of training rows, averaged since the last one."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float


class Evaluated(Struct, frozen=True):
    """Of eval rows: the loss, and generated answers as `judging.Scores` counts them."""

    step: int
    loss: float
    asked: int
    valid: int
    exact: int
    decided: int


class Result(Struct, frozen=True):
    """What came of it; `tokens` were trained on, prompts included and padding left out.

    `artefacts` is SHA-256 by file.
    """

    steps: int
    epochs: float
    tokens: int
    parameters: int
    trained_parameters: int
    train_loss: float
    losses: list[Loss]
    evaluations: list[Evaluated]
    best_step: int
    artefacts: dict[str, str]


class Run(Struct, frozen=True):
    """The whole record; `result` is None until the training has ended."""

    made_from: MadeFrom
    result: Result | None
    digest: str


class Timing(Struct, frozen=True):
    """When and how long: the last sitting of a training, and the steps that it went on from."""

    ended: str
    seconds: float
    resumed_from: int


def run_of(made_from: MadeFrom, result: Result | None) -> Run:
    """The record with its digest."""
    return Run(
        made_from, result, hashlib.sha256(msgspec.json.encode([made_from, result])).hexdigest()
    )


def read_run(folder: Path) -> Run | None:
    """The record in a folder; None where there is none.

    Raises ResumeRefused when it cannot be read.
    """
    path = folder / RUN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ResumeRefused(
            f"{path} cannot be read ({error})", "--overwrite starts over"
        ) from error


def result_of(state: Any, counted: tuple[int, int], artefacts: dict[str, str]) -> Result:
    """The result that a trainer's state tells. `counted`: parameters in all, and trained."""
    history: list[dict[str, Any]] = state.log_history
    losses = [
        Loss(each["step"], each["loss"], each["learning_rate"], float(each["grad_norm"]))
        for each in history
        if "loss" in each
    ]
    evaluated = {each["step"]: each["eval_loss"] for each in history if "eval_loss" in each}
    scores = [
        Evaluated(
            each["step"],
            evaluated[each["step"]],
            *(int(each[f"eval_{name}"]) for name in ("asked", "valid", "exact", "decided")),
        )
        for each in history
        if "eval_asked" in each
    ]
    return Result(
        steps=state.global_step,
        epochs=float(state.epoch),
        tokens=int(state.num_input_tokens_seen),
        parameters=counted[0],
        trained_parameters=counted[1],
        train_loss=_mean(losses),
        losses=losses,
        evaluations=scores,
        best_step=int(state.best_global_step),
        artefacts=artefacts,
    )


def _mean(losses: list[Loss]) -> float:
    """The mean over steps: each logged loss stands for the steps since the one before."""
    steps = [
        each.step - before
        for each, before in zip(losses, [0, *(each.step for each in losses)], strict=False)
    ]
    return sum(each.loss * count for each, count in zip(losses, steps, strict=True)) / sum(steps)
