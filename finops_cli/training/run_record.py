"""`run.json`, the record of a training run: its inputs, its result, and a digest of both.

It has no time, host or path, so equal commands on equal machines write equal bytes. `timing.json`
contains the end and the duration of the run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import ResumeRefused
from finops_cli.training.data.sources import DataNote
from finops_cli.training.recipe import Setting

RUN, TIMING, CARD, CURVE = "run.json", "timing.json", "README.md", "loss.png"


class MadeFrom(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a training run depends on. Only a run with equal inputs can be resumed."""

    stage: StageName
    settings: list[Setting]
    data: list[DataNote]
    kb: str
    prompt_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    base: dict[str, str]
    trainer: str = field(name="backend")
    """The record keeps the older name, because records are compared byte by byte."""
    device: str
    versions: dict[str, str | None]


class LossPoint(Struct, frozen=True):
    """The mean loss of training rows since the last point."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float


class EvaluationPoint(Struct, frozen=True, kw_only=True):
    """The loss of held-out rows and the scores of generated answers (`datasets.grading.Scores`)."""

    step: int
    loss: float
    asked: int
    valid: int
    exact: int
    decided: int


class TrainingResult(Struct, frozen=True, kw_only=True):
    """The result of a training run."""

    steps: int
    epochs: float
    tokens: int
    """Tokens trained on, with prompts and without padding."""
    parameters: int
    trained_parameters: int
    train_loss: float
    losses: list[LossPoint]
    evaluations: list[EvaluationPoint]
    best_step: int
    artefacts: dict[str, str]
    """SHA-256 by file."""


class TrainingRecord(Struct, frozen=True):
    """The whole record."""

    made_from: MadeFrom
    result: TrainingResult | None
    """None until the run has ended."""
    digest: str


class Timing(Struct, frozen=True):
    """The end of a run and its duration since it was started or last resumed."""

    ended: str
    seconds: float
    resumed_from: int
    """The step from which it was resumed; 0 for a new run."""


def make_record(made_from: MadeFrom, result: TrainingResult | None) -> TrainingRecord:
    """Make the record with its digest."""
    return TrainingRecord(
        made_from, result, hashlib.sha256(msgspec.json.encode([made_from, result])).hexdigest()
    )


def read_record(folder: Path) -> TrainingRecord | None:
    """Read the record in a folder; None if the folder has no record.

    Raises ResumeRefused if it cannot be read.
    """
    path = folder / RUN
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise ResumeRefused(
            f"{path} cannot be read ({error})", "give --overwrite to start over"
        ) from error


def make_result(state: Any, counted: tuple[int, int], artefacts: dict[str, str]) -> TrainingResult:
    """Make the result from a trainer's state.

    `counted` has the number of all parameters and of trained parameters.
    """
    history: list[dict[str, Any]] = state.log_history
    losses = [
        LossPoint(each["step"], each["loss"], each["learning_rate"], float(each["grad_norm"]))
        for each in history
        if "loss" in each
    ]
    evaluated = {each["step"]: each["eval_loss"] for each in history if "eval_loss" in each}
    scores = [
        EvaluationPoint(
            step=each["step"],
            loss=evaluated[each["step"]],
            asked=int(each["eval_asked"]),
            valid=int(each["eval_valid"]),
            exact=int(each["eval_exact"]),
            decided=int(each["eval_decided"]),
        )
        for each in history
        if "eval_asked" in each
    ]
    return TrainingResult(
        steps=state.global_step,
        epochs=float(state.epoch),
        tokens=int(state.num_input_tokens_seen),
        parameters=counted[0],
        trained_parameters=counted[1],
        train_loss=_mean_loss(losses),
        losses=losses,
        evaluations=scores,
        best_step=int(state.best_global_step),
        artefacts=artefacts,
    )


def _mean_loss(losses: list[LossPoint]) -> float:
    """Average the loss over steps; each point covers the steps since the one before."""
    steps = [
        each.step - before
        for each, before in zip(losses, [0, *(each.step for each in losses)], strict=False)
    ]
    return sum(each.loss * count for each, count in zip(losses, steps, strict=True)) / sum(steps)
