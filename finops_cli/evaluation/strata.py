"""The groups that a record belongs to, which show where a model is wrong.

Source: kb `evaluate.min_group_records`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import plain, render_usd
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.scoring import BandedNumber, quantities
from finops_cli.kb.factors import Quantity
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import regulatory_state

Strata = tuple[tuple[str, str], ...]
"""Pairs of dimension and group, in a fixed order."""


def strata_of_fail(fail: FailRecord, reference: Triage, kb: KnowledgeBase) -> Strata:
    """Return the groups of a fail record, including its tier by the rules."""
    fixed = (
        ("category", reference.category),
        ("direction", f"{fail.cns_direction} {fail.side}"),
        ("tier", reference.priority_tier),
        ("regulatory state", regulatory_state(fail, kb.triage)),
        ("threshold security", "yes" if fail.reg_sho_threshold else "no"),
    )
    without = (("N_A direction", reference.category),) if fail.cns_direction == "N_A" else ()
    banded = _banded(fail, kb)
    bands = tuple((f"{field.quantity.name} band", _band(field)) for field in banded)
    return (
        *fixed,
        *without,
        *bands,
        *(("boundary", side) for field in banded for side in _sides(field)),
    )


def strata_of_case(case: ResolverInput, reference: Resolution, kb: KnowledgeBase) -> Strata:
    """Return the groups of a case."""
    return (
        ("category", case.triage.category),
        ("FTR count", _count_of(case, kb)),
        ("tier", case.triage.priority_tier),
        ("gridlock", "yes" if reference.gridlock_detected else "no"),
        ("fallback", reference.fallback_strategy),
        ("residual", "some" if reference.residual_short else "none"),
        (
            "steps",
            (
                "aggregated"
                if reference.additional_ftrs_chased
                else str(len(reference.resolution_steps))
            ),
        ),
    )


def _banded(fail: FailRecord, kb: KnowledgeBase) -> tuple[BandedNumber, ...]:
    coverage = Quantity(name="coverage", step=Decimal("0.01"))
    return (
        *quantities(fail, kb.scoring),
        BandedNumber(coverage, kb.scoring.inventory_modifier, Decimal(fail.inventory_coverage_pct)),
    )


def _render(field: BandedNumber, number: Decimal) -> str:
    return render_usd(number) if field.quantity.is_usd else plain(number)


def _band(field: BandedNumber) -> str:
    """Name the band of the value by its two ends."""
    band = field.table.index(field.number)
    low = _first_of(field, band) if band else None
    high = _last_of(field, band)
    if high is None:
        return f"from {_render(field, low)}" if low is not None else "all"
    last = _render(field, high)
    return f"up to {last}" if low is None else f"{_render(field, low)} to {last}"


def _sides(field: BandedNumber) -> Iterator[str]:
    """Name the sides of the band boundaries that the value lies directly at."""
    band = field.table.index(field.number)
    if band and field.number == (first := _first_of(field, band)):
        yield f"{field.quantity.name} {_render(field, first)}, just above a boundary"
    last = _last_of(field, band)
    if last is not None and field.number == last:
        yield f"{field.quantity.name} {_render(field, last)}, just below a boundary"


def _first_of(field: BandedNumber, band: int) -> Decimal:
    """Return the first value of a band that has a band below it."""
    edge = field.table.upper_edge(band - 1)
    assert edge is not None  # noqa: S101 - only the last band has no upper edge
    return edge[0] + field.quantity.step if edge[1] else edge[0]


def _last_of(field: BandedNumber, band: int) -> Decimal | None:
    edge = field.table.upper_edge(band)
    if edge is None:
        return None
    return edge[0] if edge[1] else edge[0] - field.quantity.step


def _count_of(case: ResolverInput, kb: KnowledgeBase) -> str:
    """Name the range of the number of fails to receive, as in the training data."""
    count, ranges = len(case.ftrs), kb.datasets.ftr_tiers
    for tier in ("simple", "medium", "complex"):
        low, high = ranges[f"{tier}_min_ftrs"], ranges[f"{tier}_max_ftrs"]
        if count < low:
            return f"below {low}" if tier == "simple" else f"{count}"
        if count <= high:
            return f"{low}-{high}"
    return f"over {ranges['complex_max_ftrs']}"
