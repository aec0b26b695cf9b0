"""Recall and borrow: what may still cover the rest, and how much (kb: `waterfall.fallback`,
`waterfall.parallel`).
"""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.domain.fail import Inventory
from finops_cli.domain.vocabulary import Fallback
from finops_cli.kb.book import WaterfallBook


class Fallbacks(NamedTuple):
    first: Fallback = "NONE"
    first_qty: int = 0
    second: Fallback = "NONE"
    second_qty: int = 0
    parallel: bool = False


def fallbacks(
    inventory: Inventory, remaining: int, deadline_days: int | None, book: WaterfallBook
) -> Fallbacks:
    """The sources for `remaining` shares, in order.

    In parallel each is sized against the same shares.
    """
    recall = min(inventory.recall_outstanding, remaining)
    if not recall:
        borrow = min(inventory.stock_loan_available, remaining)
        return Fallbacks("SOURCE_BORROW", borrow) if borrow else Fallbacks()
    parallel = runs_in_parallel(inventory, deadline_days, book)
    borrow = min(inventory.stock_loan_available, remaining if parallel else remaining - recall)
    if not borrow:
        return Fallbacks("INITIATE_RECALL", recall)
    return Fallbacks("INITIATE_RECALL", recall, "SOURCE_BORROW", borrow, parallel)


def runs_in_parallel(inventory: Inventory, deadline_days: int | None, book: WaterfallBook) -> bool:
    return (
        deadline_days is not None
        and deadline_days <= book.recall_notice_days
        and inventory.recall_outstanding > 0
        and inventory.stock_loan_available > 0
    )
