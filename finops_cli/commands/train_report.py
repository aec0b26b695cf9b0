"""What `finops train` tells people: the plan as a page of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finops_cli.datasets.stages import STAGES
from finops_cli.training.data.lengths import Lengths
from finops_cli.training.planning.plan import Plan
from finops_cli.training.run import Trained
from finops_cli.training.run_record import RUN

_GB = 1e9


def plan_text(plan: Plan) -> str:
    """The plan, a label and its figures a line."""
    return "\n".join([*_recipe(plan), *_data(plan), *_work(plan), *_sizes(plan), *_verdict(plan)])


def result_text(made: Trained) -> str:
    """What came of a training."""
    result, stage = made.run.result, made.run.made_from.stage
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
            f"{'record':<12} {made.folder / RUN}, digest {made.run.digest}",
        ]
    )


def settings_lines(plan: Plan) -> Iterator[str]:
    """The resolved table: key, value, where it came from."""
    for setting in plan.settings:
        yield f"  {setting.key:<32} {_shown(setting.value):<28} {setting.origin}"


def _recipe(plan: Plan) -> Iterator[str]:
    yield f"{'recipe':<12} {plan.stage}{f', preset {plan.preset}' if plan.preset else ''}"
    yield from settings_lines(plan)
    yield f"{'base':<12} {plan.base}"


def _data(plan: Plan) -> Iterator[str]:
    for note in plan.data:
        origin = (
            f"{note.file}, sha256 {note.sha256}"
            if note.file is not None
            else f"made as needed ({note.stream})"
        )
        assumed = "; assumed, as the cards have them" if plan.data_assumed else ""
        yield f"{f'{note.split} rows':<12} {note.rows:,} {origin}{assumed}"
    yield (
        f"{'tokens':<12} {plan.tokens_an_epoch:,} of training rows, once each, by:"
        f" {plan.tokens_counted_by}"
    )
    for split, lengths in plan.lengths.items():
        yield f"{'':<12} {split}: {_percentiles(lengths)}"


def _percentiles(lengths: Lengths) -> str:
    ranks = ", ".join(f"{name} {value:,}" for name, value in lengths.percentiles.items())
    return f"{ranks} tokens a row, of {lengths.rows:,} rows; too long {lengths.too_long:,}"


def _work(plan: Plan) -> Iterator[str]:
    steps = plan.steps
    packed = (
        f" ({steps.without_packing:,} steps without packing)"
        if steps.without_packing != steps.total
        else ""
    )
    yield (
        f"{'steps':<12} {steps.total:,}, each of {steps.rows_a_step} sequences; all rows make"
        f" {steps.sequences:,} sequences{packed}"
    )
    yield f"{'warm-up':<12} {steps.warm_up:,} steps"


def _sizes(plan: Plan) -> Iterator[str]:
    parameters, memory, disk = plan.parameters, plan.memory, plan.disk
    if parameters is not None:
        share = 100 * parameters.trainable / parameters.total
        where = f"in {parameters.touched_layers} of {parameters.layers} layers"
        yield (
            f"{'parameters':<12} {parameters.trainable:,} trainable of {parameters.total:,}"
            f" ({share:.2f} %), {where}"
        )
    if memory is not None and plan.memory_total is not None:
        parts = ("weights", "trained", "activations", "logits", "runtime")
        each = ", ".join(f"{name} {getattr(memory, name) / _GB:.1f}" for name in parts)
        yield f"{'memory':<12} {plan.memory_total / _GB:.1f} GB, estimated ({each})"
    if disk is not None:
        told = (
            f"base {disk.base / _GB:.1f}, a checkpoint {disk.checkpoint / _GB:.2f}, kept at once"
            f" {disk.kept / _GB:.2f}"
        )
        yield f"{'disk':<12} {told} GB, estimated; free {plan.disk_free / _GB:.1f} GB"


def _verdict(plan: Plan) -> Iterator[str]:
    installed = (f"{name} {version or 'absent'}" for name, version in plan.versions.items())
    yield f"{'versions':<12} {', '.join(installed)}"
    for warning in plan.warnings:
        yield f"{'warning':<12} {warning}"
    for blocker in plan.blockers:
        yield f"{'blocker':<12} {blocker}"
    if not plan.blockers:
        yield f"{'blocker':<12} none"


def _shown(value: Any) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, list)
        else "-"
        if value is None
        else str(value)
    )
