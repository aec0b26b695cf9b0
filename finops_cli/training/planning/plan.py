"""The training plan of `finops train --dry-run`: settings, rows, steps, sizes, blockers."""

from __future__ import annotations

import shutil
from pathlib import Path

from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.training.data.lengths import Lengths, count_steps
from finops_cli.training.data.sources import DataNote
from finops_cli.training.planning.inspect import Inspection, TrainingRequest, inspect_request
from finops_cli.training.planning.memory import Disk, Memory, estimate_disk, estimate_memory
from finops_cli.training.planning.serving import describe_serving
from finops_cli.training.recipe import Setting
from finops_cli.training.recipe_schema import Settings
from finops_cli.training.versions import read_versions

ESTIMATE = "an estimate from above, without a tokenizer"


class StepCount(Struct, frozen=True, kw_only=True):
    """Optimizer steps of a training run."""

    total: int
    warm_up: int
    without_packing: int
    """Number of steps if each sequence had one row."""
    rows_a_step: int
    sequences: int
    """Sequences per epoch."""


class Parameters(Struct, frozen=True):
    """Parameters of the base and its adapter."""

    total: int
    trainable: int
    layers: int
    touched_layers: int


class TrainingPlan(Struct, frozen=True, kw_only=True):
    """A training run before it starts.

    Sizes are in bytes. `memory` and `disk` are estimates; None if the parameters are unknown.
    """

    stage: StageName
    base: str
    preset: str | None
    settings: list[Setting]
    data: list[DataNote]
    data_assumed: bool
    tokens_counted_by: str
    lengths: dict[str, Lengths]
    tokens_an_epoch: int
    steps: StepCount
    parameters: Parameters | None
    memory: Memory | None
    memory_total: int | None
    disk: Disk | None
    disk_free: int
    serving: str
    """The backends that can serve the result."""
    versions: dict[str, str | None]
    warnings: list[str]
    blockers: list[str]
    missing: list[str]
    """Those blockers that something to install, make, download or free removes."""

    @property
    def exit_code(self) -> int:
        """The status of --dry-run: 0 without a blocker, 2 where the recipe is wrong, else 3."""
        if not self.blockers:
            return 0
        is_recipe = any(blocker not in self.missing for blocker in self.blockers)
        return UsageError.exit_code if is_recipe else MissingPiece.exit_code


def make_plan(request: TrainingRequest, output: Path) -> TrainingPlan:
    """Plan a training run that would write to `output`."""
    return plan_from_inspection(request, inspect_request(request), output)


def plan_from_inspection(
    request: TrainingRequest, inspection: Inspection, output: Path
) -> TrainingPlan:
    """Plan a training run that was inspected."""
    resolved, counts = request.resolved, inspection.counts
    settings = resolved.settings
    train = inspection.lengths.get("train")
    longest = settings.training.max_length
    if train is not None and not settings.training.packing:
        longest = train.percentiles["p100"]
    memory = estimate_memory(settings, counts, longest) if counts is not None else None
    disk = estimate_disk(settings, counts) if counts is not None else None
    free = shutil.disk_usage(_nearest_folder(output)).free
    if disk is not None and disk.kept > free:
        inspection.miss(f"{output} needs about {disk.kept:,} bytes; {free:,} are free")
    warnings = _warn(inspection, memory)
    return TrainingPlan(
        stage=resolved.stage,
        base=settings.base.folder or settings.base.name,
        preset=resolved.preset,
        settings=resolved.table,
        data=[rows.note for rows in inspection.sources],
        data_assumed=inspection.is_assumed,
        tokens_counted_by=ESTIMATE if inspection.tokenizer is None else "the tokenizer of the base",
        lengths=inspection.lengths,
        tokens_an_epoch=_count_tokens(settings, inspection),
        steps=_describe_steps(settings, inspection),
        parameters=(
            Parameters(counts.total, counts.trainable, counts.layers, counts.touched_layers)
            if counts is not None
            else None
        ),
        memory=memory,
        memory_total=memory.total if memory is not None else None,
        disk=disk,
        disk_free=free,
        serving=describe_serving(settings),
        versions=read_versions(),
        warnings=warnings,
        blockers=inspection.blockers,
        missing=inspection.missing,
    )


def _warn(inspection: Inspection, memory: Memory | None) -> list[str]:
    """Return the warnings of the inspection, and one about the memory of the GPU."""
    warnings = list(inspection.warnings)
    if (
        memory is not None
        and inspection.gpu_bytes is not None
        and memory.total > inspection.gpu_bytes
    ):
        warnings.append(
            f"the GPU has {inspection.gpu_bytes:,} bytes of memory; you may need a smaller preset"
            " or training.batch"
        )
    return warnings


def _describe_steps(settings: Settings, inspection: Inspection) -> StepCount:
    rows = inspection.sources.train.note.rows
    planned = inspection.steps(settings)
    return StepCount(
        total=planned.total,
        warm_up=planned.warm_up,
        without_packing=count_steps(rows, settings.training).total,
        rows_a_step=settings.training.rows_per_step,
        sequences=inspection.sequences,
    )


def _count_tokens(settings: Settings, inspection: Inspection) -> int:
    """Count the tokens of all rows. For batches by tokens, return their upper limit."""
    train, rows = inspection.lengths.get("train"), inspection.sources.train.note.rows
    if settings.training.tokens is not None:
        return settings.training.tokens * rows
    return round(train.tokens * rows / train.rows) if train is not None else 0


def _nearest_folder(path: Path) -> Path:
    """Return the nearest folder at or above `path` that exists."""
    path = path.resolve()
    return path if path.is_dir() else _nearest_folder(path.parent)
