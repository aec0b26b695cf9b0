"""Recipes so small that training takes seconds on one core, and functions that train in this
process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finops_cli.domain.stage_names import StageName
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.training.checkpoints import StartMode
from finops_cli.training.planning.inspect import TrainingRequest
from finops_cli.training.progress import Progress
from finops_cli.training.recipe import RecipeRequest, resolve_recipe
from finops_cli.training.run import Callbacks, FinishedTraining, train

SCRATCHPAD = (
    "base.scratch.hidden_size=64",
    "base.scratch.intermediate_size=128",
    "base.scratch.layers=2",
    "base.vocabulary={size: 400, rows: {triage: 40}}",
    (
        "data.mix={copying: [[0, 1], [0.5, 0]], scratchpad: [[0.2, 0], [0.3, 1]], answers: [[0, 0],"
        " [0.5, 1]], market: [[0, 0.5]]}"
    ),
    "training.tokens=1500",
    "training.max_steps=8",
    "training.log_every=3",
    "evaluation.every=4",
    "evaluation.samples=2",
    "evaluation.new_tokens=4",
    "evaluation.loss_rows=4",
)
"""Over preset tiny-cpu of triage: all kinds of examples, Muon and prepared first weights in a few
seconds.
"""
SMALL = (
    "base.scratch.hidden_size=64",
    "base.scratch.intermediate_size=128",
    "base.scratch.layers=2",
    "base.scratch.heads=2",
    "base.scratch.head_dim=32",
    "base.vocabulary.size=400",
    "base.vocabulary.rows={sentiment: 60}",
    "training.batch=4",
    "training.log_every=3",
    "evaluation.every=4",
    "evaluation.samples=3",
    "evaluation.new_tokens=4",
    "evaluation.loss_rows=6",
)
"""Over preset tiny-cpu of sentiment: 0.1 million parameters."""
ADAPTED = (
    "base.quantization=none",
    "base.pad_token=<|endoftext|>",
    "training.precision=fp32",
    "training.gradient_checkpointing=false",
    "training.threads=1",
    "training.batch=4",
    "training.accumulation=2",
    "training.log_every=3",
    "training.learning_rate=1e-3",
    "evaluation.every=4",
    "evaluation.samples=3",
    "evaluation.loss_rows=6",
)
"""Over the card's recipe: LoRA with dropout on a processor."""


def lora(base: Path, sentences: Path, *more: str) -> list[str]:
    """Return the flags of a recipe for an adapter on the model in `base`."""
    return [*ADAPTED, f"base.folder={base / 'model'}", f"data.folder={sentences}", *more]


def override(flags: Sequence[str]) -> list[str]:
    """Return the flags without those whose key a later one sets too, which a recipe refuses."""
    return list({flag.partition("=")[0]: flag for flag in flags}.values())


ENDED = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def training_request(stage: StageName, preset: str | None, flags: Sequence[str]) -> TrainingRequest:
    kb_dir = bundled_kb_dir()
    resolved = resolve_recipe(
        RecipeRequest(stage, preset, None, [("--set", flag) for flag in override(flags)])
    )
    return TrainingRequest(
        resolved=resolved,
        trainer="hf",
        kb_dir=kb_dir,
        kb=load_kb(kb_dir),
        watch=lambda done, total: None,
    )


def callbacks(watch: Callable[[Progress], None] = lambda now: None) -> Callbacks:
    return Callbacks(lambda plan: None, lambda text: None, watch, lambda: ENDED)


def run_training(
    stage: StageName,
    preset: str | None,
    flags: Sequence[str],
    output: Path,
    mode: StartMode = "new",
    watch: Callable[[Progress], None] = lambda now: None,
) -> FinishedTraining:
    return train(training_request(stage, preset, flags), output, mode, callbacks(watch))


class Stopped(Exception):
    """The training was stopped by the test."""


def stop_at(step: int) -> Callable[[Progress], None]:
    """Return a watcher that stops the training once `step` steps are done."""

    def watch(now: Progress) -> None:
        if now.done == step:
            raise Stopped

    return watch


def files(folder: Path) -> dict[str, bytes]:
    """Return every file of an output that equal trainings have in common."""
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    found.pop("timing.json")
    return found
