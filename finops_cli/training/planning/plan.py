"""What `finops train --dry-run` tells: the recipe with its origins, rows, steps, sizes, and what
stands in the way.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from msgspec import Struct

from finops_cli.domain.stage_names import StageName
from finops_cli.training.data.lengths import Lengths, steps
from finops_cli.training.data.sources import DataNote
from finops_cli.training.planning import memory as estimate
from finops_cli.training.planning.inspect import Inspection, TrainingRequest, inspect_request
from finops_cli.training.planning.memory import Disk, Memory
from finops_cli.training.recipe import Setting
from finops_cli.training.recipe_schema import Settings
from finops_cli.training.versions import versions

ESTIMATE = "estimate of finops, without a tokenizer, which errs upwards"


class StepCount(Struct, frozen=True):
    """Optimizer steps: of this recipe, warming up, and what they would be with a row a sequence.

    `sequences` of an epoch.
    """

    total: int
    warm_up: int
    without_packing: int
    rows_a_step: int
    sequences: int


class Parameters(Struct, frozen=True):
    total: int
    trainable: int
    layers: int
    touched_layers: int


class Plan(Struct, frozen=True):
    """A training before it begins.

    Sizes in bytes; `memory` and `disk` are estimates, None where the parameters are not known.
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
    versions: dict[str, str | None]
    warnings: list[str]
    blockers: list[str]


def plan(asked: TrainingRequest, output: Path) -> Plan:
    """The plan of a training whose result would go to `output`."""
    return plan_of(asked, inspect_request(asked), output)


def plan_of(asked: TrainingRequest, found: Inspection, output: Path) -> Plan:
    """The plan that a survey gives."""
    resolved, counts = asked.resolved, found.counts
    settings = resolved.settings
    train = found.lengths.get("train")
    longest = (
        settings.training.max_length
        if settings.training.packing or train is None
        else train.percentiles["p100"]
    )
    memory = estimate.memory(settings, counts, longest) if counts is not None else None
    disk = estimate.disk(settings, counts) if counts is not None else None
    free = shutil.disk_usage(_existing(output)).free
    blockers = list(found.blockers)
    if disk is not None and disk.kept > free:
        blockers.append(f"{output}: about {disk.kept:,} bytes are needed, {free:,} are free")
    warnings = list(found.warnings)
    if memory is not None and found.gpu_bytes is not None and memory.total > found.gpu_bytes:
        warnings.append(
            f"the GPU has {found.gpu_bytes:,} bytes of memory; a smaller preset or training.batch"
            " may be needed"
        )
    return Plan(
        stage=resolved.stage,
        base=settings.base.folder or settings.base.name,
        preset=resolved.preset,
        settings=resolved.table,
        data=[rows.note for rows in found.sets],
        data_assumed=found.assumed,
        tokens_counted_by=ESTIMATE if found.tokenizer is None else "the tokenizer of the base",
        lengths=found.lengths,
        tokens_an_epoch=_tokens(settings, found),
        steps=_steps(settings, found),
        parameters=(
            Parameters(counts.total, counts.trainable, counts.layers, counts.touched_layers)
            if counts is not None
            else None
        ),
        memory=memory,
        memory_total=memory.total if memory is not None else None,
        disk=disk,
        disk_free=free,
        versions=versions(),
        warnings=warnings,
        blockers=blockers,
    )


def _steps(settings: Settings, found: Inspection) -> StepCount:
    rows = found.sets.train.note.rows
    planned = found.steps(settings)
    return StepCount(
        planned.total,
        planned.warm_up,
        steps(rows, settings.training).total,
        settings.training.rows_a_step,
        found.sequences,
    )


def _tokens(settings: Settings, found: Inspection) -> int:
    """Tokens of all rows, once each; of batches by tokens, what they hold at most."""
    train, rows = found.lengths.get("train"), found.sets.train.note.rows
    if settings.training.tokens is not None:
        return settings.training.tokens * rows
    return round(train.tokens * rows / train.rows) if train is not None else 0


def _existing(path: Path) -> Path:
    """The nearest folder above `path` that is there already."""
    path = path.resolve()
    return path if path.is_dir() else _existing(path.parent)
