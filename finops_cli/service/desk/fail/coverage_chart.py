"""The plan of a fail as stairs to 100 %: what each step covers, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.money import plain
from finops_cli.service.desk.fail.bars import Span, draw_bar
from finops_cli.views.details import STEP_RULES
from finops_cli.views.exports.plan_rows import write_action
from finops_cli.views.fail_page.line import PlanAnswer, PlanStep
from finops_cli.views.fail_page.page import list_rest

_FULL = Decimal(100)
_HALVES = (Decimal(25), Decimal(50), Decimal(75))
SHOWN_STEPS = 20
"""Steps that a page shows at once; the others are folded."""
_IN_ROWS = ("then", "uncovered", "escalation")
"""The texts that the rows of the chart show already."""
_FALLBACK_RULE, _RESIDUAL_RULE = "waterfall.fallback", "plan.escalation"


class CoverageRow(Struct, frozen=True, kw_only=True):
    """A step of the plan, a fallback, or what is left uncovered. Quantities in shares."""

    number: str
    action: str
    rule: str | None
    """The entry of kb/ that gives it."""
    dtc: str | None
    shares: int
    coverage: str
    """Percent of the shares owed that are covered after it."""
    remaining: int | None
    why: str
    bar: str
    """SVG."""
    kind: str
    """step, fallback or residual."""


class CoverageChart(Struct, frozen=True, kw_only=True):
    """The plan as rows."""

    rows: list[CoverageRow]
    folded: list[CoverageRow]
    """The steps beyond those that are shown at once."""
    owed: int
    coverable: int
    rest: list[tuple[str, str]]
    """Labels and texts of what follows the steps."""
    residual: str
    """The uncovered shares, in words."""
    is_covered: bool
    narrative: str


def make_coverage_chart(plan: PlanAnswer, owed: int) -> CoverageChart:
    """Return the stairs of a plan for `owed` shares."""
    steps = list(_step_rows(plan.resolution_steps))
    rest = list(list_rest(plan))
    shown = [*steps[:SHOWN_STEPS], *_fallback_rows(plan, owed), *_residual_rows(plan, owed)]
    return CoverageChart(
        rows=shown,
        folded=steps[SHOWN_STEPS:],
        owed=owed,
        coverable=owed - plan.residual_short,
        rest=[each for each in rest if each[0] not in _IN_ROWS],
        residual=next((text for label, text in rest if label == "uncovered"), ""),
        is_covered=not plan.residual_short,
        narrative=plan.narrative,
    )


def _step_rows(steps: tuple[PlanStep, ...]) -> Iterator[CoverageRow]:
    before = Decimal(0)
    for step in steps:
        after = step.coverage_after_step_pct
        spans = [Span(Decimal(0), before, "kept")] if before else []
        if after > before:
            spans.append(Span(before, after, "step"))
        yield CoverageRow(
            number=str(step.step),
            action=write_action(step.action),
            rule=STEP_RULES.get(step.action),
            dtc=step.dtc,
            shares=step.qty,
            coverage=f"{plain(after)} %",
            remaining=step.remaining_short,
            why=step.rationale,
            bar=draw_bar(spans, _FULL, _HALVES),
            kind="step",
        )
        before = after


def _fallback_rows(plan: PlanAnswer, owed: int) -> Iterator[CoverageRow]:
    """Yield the fallbacks: the first goes on after the steps, the second ends where the plan ends.

    They overlap if a borrow replaces a recall that may come late: both count in
    `total_coverable`, and the same shares are covered by either (kb: `waterfall.parallel`).
    """
    steps = plan.resolution_steps
    covered = owed - steps[-1].remaining_short if steps else 0
    first, second = plan.fallback_qty, plan.secondary_fallback_qty
    start = owed - plan.residual_short - second
    twice = covered + first - start
    note = f"beside the recall, which may come late: {twice:,} of the same shares"
    rows = (
        (plan.fallback_strategy, first, covered, ""),
        (plan.secondary_fallback, second, start, note if twice > 0 else ""),
    )
    for place, (action, qty, begin, why) in enumerate(rows, start=1):
        if action == "NONE":
            continue
        spans = [
            Span(Decimal(0), _pct(begin, owed), "kept"),
            Span(_pct(begin, owed), _pct(begin + qty, owed), "fallback"),
        ]
        yield CoverageRow(
            number=f"then {place}",
            action=write_action(action),
            rule=_FALLBACK_RULE,
            dtc=None,
            shares=qty,
            coverage="",
            remaining=None,
            why=why,
            bar=draw_bar(spans, _FULL, _HALVES),
            kind="fallback",
        )


def _residual_rows(plan: PlanAnswer, owed: int) -> Iterator[CoverageRow]:
    if not plan.residual_short:
        return
    covered = _pct(owed - plan.residual_short, owed)
    spans = [Span(Decimal(0), covered, "kept"), Span(covered, _FULL, "residual")]
    action = plan.residual_action
    yield CoverageRow(
        number="left",
        action="No source" if action == "NONE" else f"No source: {write_action(action).lower()}",
        rule=_RESIDUAL_RULE,
        dtc=None,
        shares=plan.residual_short,
        coverage="",
        remaining=None,
        why=plan.escalation_reason,
        bar=draw_bar(spans, _FULL, _HALVES),
        kind="residual",
    )


def _pct(shares: int, owed: int) -> Decimal:
    """Return shares as the length of a bar; no text shows it."""
    return Decimal(shares) * _FULL / Decimal(max(owed, 1))
