"""Renders the training plan and the result of `finops train` as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finops_cli.datasets.stages import STAGES
from finops_cli.training.data.lengths import Lengths
from finops_cli.training.planning.plan import TrainingPlan
from finops_cli.training.run import FinishedTraining
from finops_cli.training.run_record import RUN

_GB = 1e9


def render_plan(plan: TrainingPlan) -> str:
    """Render the plan: one label with its values per line."""
    return "\n".join(
        [
            *_render_recipe(plan),
            *_render_data(plan),
            *_render_steps(plan),
            *_render_sizes(plan),
            *_render_blockers(plan),
        ]
    )


def render_result(made: FinishedTraining) -> str:
    """Render the result of a training run."""
    result, stage = made.record.result, made.record.made_from.stage
    if result is None:
        return f"{'model':<12} none"
    best = next(each for each in result.evaluations if each.step == result.best_step)
    decision = STAGES[stage].decision_field
    scores = (
        f"valid {best.valid}, exact {best.exact}, same {decision} {best.decided} of"
        f" {best.asked} answers"
    )
    return "\n".join(
        [
            f"{'model':<12} {made.folder / next(iter(result.artefacts)).partition('/')[0]}",
            (
                f"{'kept':<12} step {best.step:,} of {result.steps:,}: {scores}, eval loss"
                f" {best.loss:.4f}"
            ),
            (
                f"{'trained':<12} {result.trained_parameters:,} of {result.parameters:,} parameters"
                f" on {result.tokens:,} tokens"
            ),
            f"{'record':<12} {made.folder / RUN}, digest {made.record.digest}",
        ]
    )


def render_settings(plan: TrainingPlan) -> Iterator[str]:
    """Yield the resolved settings: key, value, origin."""
    for setting in plan.settings:
        yield f"  {setting.key:<32} {_show(setting.value):<28} {setting.origin}"


def _render_recipe(plan: TrainingPlan) -> Iterator[str]:
    yield f"{'recipe':<12} {plan.stage}{f', preset {plan.preset}' if plan.preset else ''}"
    yield from render_settings(plan)
    yield f"{'base':<12} {plan.base}"


def _render_data(plan: TrainingPlan) -> Iterator[str]:
    for note in plan.data:
        origin = (
            f"{note.file}, sha256 {note.sha256}"
            if note.file is not None
            else f"generated during training ({note.stream})"
        )
        assumed = "; assumed, as for the published models" if plan.data_assumed else ""
        yield f"{f'{note.split} rows':<12} {note.rows:,} {origin}{assumed}"
    yield (
        f"{'tokens':<12} {plan.tokens_an_epoch:,} in all training rows, counted by"
        f" {plan.tokens_counted_by}"
    )
    for split, lengths in plan.lengths.items():
        yield f"{'':<12} {split}: {_format_percentiles(lengths)}"


def _format_percentiles(lengths: Lengths) -> str:
    ranks = ", ".join(f"{name} {value:,}" for name, value in lengths.percentiles.items())
    return f"{ranks} tokens per row, {lengths.rows:,} rows; too long: {lengths.too_long:,}"


def _render_steps(plan: TrainingPlan) -> Iterator[str]:
    steps = plan.steps
    packed = (
        f" ({steps.without_packing:,} steps without packing)"
        if steps.without_packing != steps.total
        else ""
    )
    yield (
        f"{'steps':<12} {steps.total:,} of {steps.rows_a_step} sequences each; one epoch has"
        f" {steps.sequences:,} sequences{packed}"
    )
    yield f"{'warm-up':<12} {steps.warm_up:,} steps"


def _render_sizes(plan: TrainingPlan) -> Iterator[str]:
    parameters, memory, disk = plan.parameters, plan.memory, plan.disk
    if parameters is not None:
        percent = 100 * parameters.trainable / parameters.total
        where = f"in {parameters.touched_layers} of {parameters.layers} layers"
        yield (
            f"{'parameters':<12} {parameters.trainable:,} trainable of {parameters.total:,}"
            f" ({percent:.2f} %), {where}"
        )
    if memory is not None and plan.memory_total is not None:
        parts = ("weights", "trained", "activations", "logits", "runtime")
        each = ", ".join(f"{name} {getattr(memory, name) / _GB:.1f}" for name in parts)
        yield f"{'memory':<12} {plan.memory_total / _GB:.1f} GB, estimated ({each})"
    if disk is not None:
        text = (
            f"base {disk.base / _GB:.1f}, one checkpoint {disk.checkpoint / _GB:.2f}, all kept"
            f" {disk.kept / _GB:.2f}"
        )
        yield f"{'disk':<12} {text} GB, estimated; free {plan.disk_free / _GB:.1f} GB"


def _render_blockers(plan: TrainingPlan) -> Iterator[str]:
    yield f"{'serving':<12} {plan.serving}"
    installed = (f"{name} {version or 'absent'}" for name, version in plan.versions.items())
    yield f"{'versions':<12} {', '.join(installed)}"
    for warning in plan.warnings:
        yield f"{'warning':<12} {warning}"
    for blocker in plan.blockers:
        yield f"{'blocker':<12} {blocker}"
    if not plan.blockers:
        yield f"{'blocker':<12} none"


def _show(value: Any) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, list)
        else "-"
        if value is None
        else str(value)
    )
