"""The plan of a fail as rows: its steps, then the fallbacks, then what stays uncovered."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from finops_cli.views.details import Plan
from finops_cli.views.wording import clean

_ACTIONS = {
    "CHASE_FTR": "Chase the receive",
    "OFFSET_FTR": "Offset a receive",
    "APPLY_BOX": "Apply from the box",
    "INITIATE_RECALL": "Recall a loan",
    "SOURCE_BORROW": "Borrow",
    "PARTIAL_DELIVER": "Deliver the partial",
    "DEPOT_MOVEMENT": "Move from the depot",
    "NET_GRIDLOCK": "Propose to net",
    "BUY_IN_NOTICE": "Send a buy-in notice",
    "SPO_SETTLEMENT": "Settle in cash",
    "ESCALATE": "Escalate",
}


class PlanRow(NamedTuple):
    """A row of a plan. Quantities in shares, coverage in percent of the shares owed."""

    step: str
    """The number of the step, or `fallback 1`, `fallback 2`, `uncovered`."""
    action: str
    counterparty: str | None
    shares: int
    coverage_pct: Decimal | None
    remaining: int | None
    rationale: str


def list_plan_rows(plan: Plan) -> Iterator[PlanRow]:
    """Yield the rows of a plan."""
    for step in plan.resolution_steps:
        yield PlanRow(
            str(step.step),
            write_action(step.action),
            None if step.dtc is None else clean(step.dtc),
            step.qty,
            step.coverage_after_step_pct,
            step.remaining_short,
            clean(step.rationale),
        )
    for place, (action, qty) in enumerate(
        (
            (plan.fallback_strategy, plan.fallback_qty),
            (plan.secondary_fallback, plan.secondary_fallback_qty),
        ),
        start=1,
    ):
        if action != "NONE":
            yield PlanRow(f"fallback {place}", write_action(action), None, qty, None, None, "")
    if plan.residual_short:
        action = write_action(plan.residual_action) if plan.residual_action != "NONE" else ""
        reason = clean(plan.escalation_reason)
        short = plan.residual_short
        yield PlanRow("uncovered", action, None, short, None, short, reason)


def write_action(action: str) -> str:
    """Write the action of a step in words; an unknown one as it is."""
    return _ACTIONS.get(action, clean(action))
