"""Compute how many shares a plan can really deliver, source by source (kb:
`evaluate.coverage_lost`).
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import deadline_days, depot_in_time
from finops_cli.rules.sourcing import corporate_action_option

_CHASES = ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK")
_FURTHER = "further participants"


class PlanShares(Struct, frozen=True, kw_only=True):
    """Shares of stock of one case (kb: `evaluate.coverage_lost`).

    The last three are null if the model gave no answer.
    """

    owed: int
    coverable: int
    delivered: int | None = None
    lost: int | None = None
    overstated: int | None = None


def plan_shares(
    case: ResolverInput, best: Resolution, said: Resolution | None, kb: KnowledgeBase
) -> PlanShares:
    """Compute the shares of `case`: owed, and covered by the engine's plan.

    For the plan `said`, compute the shares delivered, lost and overstated.
    """
    coverable = case.ftd_qty - best.residual_short
    if said is None:
        return PlanShares(owed=case.ftd_qty, coverable=coverable)
    delivered, overstated = _delivered(said, case, kb)
    delivered = min(delivered, case.ftd_qty)
    return PlanShares(
        owed=case.ftd_qty,
        coverable=coverable,
        delivered=delivered,
        lost=max(0, coverable - delivered),
        overstated=overstated,
    )


def _delivered(plan: Resolution, case: ResolverInput, kb: KnowledgeBase) -> tuple[int, int]:
    """Return the shares that the sources of `plan` can deliver, and the shares that it takes beyond
    them.
    """
    taken = _taken(plan)
    there = _there(case, kb)
    held: Counter[str] = Counter({source: min(qty, there[source]) for source, qty in taken.items()})
    rest = sum(qty for source, qty in there.items() if source.startswith("DTC")) - sum(
        qty for source, qty in held.items() if source.startswith("DTC")
    )
    held[_FURTHER] = min(taken[_FURTHER], max(0, rest))
    return held.total(), taken.total() - held.total()


def _taken(plan: Resolution) -> Counter[str]:
    """Add up the shares that the plan takes from each source.

    A source is a participant, the further participants in one step, the box, the depot, recall,
    loan, or the settlement of a corporate action.
    """
    taken: Counter[str] = Counter()
    for step in plan.resolution_steps:
        taken[(step.dtc or _FURTHER) if step.action in _CHASES else step.action] += step.qty
    taken[plan.fallback_strategy] += plan.fallback_qty
    taken[plan.secondary_fallback] += plan.secondary_fallback_qty
    return taken


def _there(case: ResolverInput, kb: KnowledgeBase) -> Counter[str]:
    """Return the shares that each source has.

    If the corporate action settles in cash, no shares can be delivered. A depot counts only if it
    delivers in time.
    """
    there: Counter[str] = Counter()
    if corporate_action_option(case) == "C":
        there["SPO_SETTLEMENT"] = case.ftd_qty
        return there
    held = case.inventory
    for ftr in case.ftrs:
        there[ftr.dtc] += ftr.qty
    there["APPLY_BOX"] = held.box_qty
    there["DEPOT_MOVEMENT"] = (
        held.depot_qty if depot_in_time(held, deadline_days(case, kb.scoring)) else 0
    )
    there["INITIATE_RECALL"], there["SOURCE_BORROW"] = (
        held.recall_outstanding,
        held.stock_loan_available,
    )
    return there
