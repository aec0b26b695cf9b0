"""Recall and borrow: what may still cover the rest, and how much (kb: `waterfall.fallback`,
`waterfall.parallel`).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from finops_cli.domain.enums import Fallback
from finops_cli.domain.fail import Inventory
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.chapters.waterfall import WaterfallRules

CorporateActionOption = Literal["A", "B", "C"]


class Fallbacks(Struct, frozen=True, kw_only=True):
    """The two sources beyond the steps of a plan."""

    first: Fallback = "NONE"
    first_qty: int = 0
    second: Fallback = "NONE"
    second_qty: int = 0
    parallel: bool = False


_NO_FALLBACKS = Fallbacks()


def fallbacks(
    inventory: Inventory, remaining: int, deadline_days: int | None, rules: WaterfallRules
) -> Fallbacks:
    """The sources for `remaining` shares, in order.

    In parallel each is sized against the same shares.
    """
    if not remaining:
        return _NO_FALLBACKS
    recall = min(inventory.recall_outstanding, remaining)
    if not recall:
        borrow = min(inventory.stock_loan_available, remaining)
        return Fallbacks(first="SOURCE_BORROW", first_qty=borrow) if borrow else _NO_FALLBACKS
    parallel = runs_in_parallel(inventory, deadline_days, rules)
    borrow = min(inventory.stock_loan_available, remaining if parallel else remaining - recall)
    if not borrow:
        return Fallbacks(first="INITIATE_RECALL", first_qty=recall)
    return Fallbacks(
        first="INITIATE_RECALL",
        first_qty=recall,
        second="SOURCE_BORROW",
        second_qty=borrow,
        parallel=parallel,
    )


def runs_in_parallel(
    inventory: Inventory, deadline_days: int | None, rules: WaterfallRules
) -> bool:
    return (
        deadline_days is not None
        and deadline_days <= notice_days(inventory, rules)
        and inventory.recall_outstanding > 0
        and inventory.stock_loan_available > 0
    )


def notice_days(inventory: Inventory, rules: WaterfallRules) -> int:
    """Return the notice of a recall in settlement days: the inventory's own, else the kb's."""
    own = inventory.recall_notice_days
    return rules.recall_notice_days if own is None else own


def corporate_action_option(case: ResolverInput) -> CorporateActionOption | None:
    """A, the shares still deliver; B, there is a new CUSIP; C, neither: cash.

    None for a fail without an event.
    """
    if case.triage.category != "CA_EVENT":
        return None
    event = case.corporate_action
    if event is not None and event.pre_event_deliverable:
        return "A"
    return "B" if event is not None and event.new_cusip is not None else "C"
