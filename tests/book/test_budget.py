"""The borrow budget: what the first fails of the queue lack, and who gets the money."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from finops_cli.book.allocation.plan import plan_pool
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, make_pool
from finops_cli.book.budget import Budget
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.book_pools import draw_pool

pytest.importorskip("networkx")

CUSIP = "594918104"


def queue_of(pool: BookPool) -> list[tuple[str, str]]:
    return [(pool.cusip, fail.fail_id) for fail in pool.fails]


def open_budget(usd: int, *pools: BookPool) -> Budget:
    """Open a budget for pools whose shares cost one dollar, without a surcharge."""
    budget = Budget(Decimal(usd), Fraction(1))
    for pool in pools:
        budget.add(pool, Fraction(1))
    return budget


@pytest.mark.parametrize("seed", range(120))
def test_money_covers_what_no_plan_covers_without(seed: int, kb: KnowledgeBase) -> None:
    """Rule: with enough money, a security may borrow exactly what its fails lack without."""
    drawn = draw_pool(seed)
    own = [source for source in drawn.sources if source.kind != "BORROW"]
    without = make_pool(CUSIP, drawn.fails, own)
    plan = plan_pool(without, kb.book)
    lacking = sum(plan.uncovered(without, place) for place in range(len(without.fails)))
    lender = Source("BORROW", "L", 100)
    pool = make_pool(CUSIP, drawn.fails, [*own, lender])
    budget = open_budget(1000, pool)
    budget.grant_uncovered(queue_of(pool))
    assert budget.cap(CUSIP) == lacking
    assert budget.left == 1000 - lacking


def test_first_fail_of_the_queue_gets_the_money() -> None:
    """Rule: the queue of the whole book decides, and a share that is not paid is not lent."""
    fails = [DrawingFail("A", 10, "HIGH", 1), DrawingFail("B", 10, "HIGH", 2)]
    pools = [
        make_pool(cusip, [fail], [Source("BORROW", "", 10)])
        for cusip, fail in zip(("594918104", "037833100"), fails, strict=True)
    ]
    budget = open_budget(14, *pools)
    budget.grant_uncovered([("594918104", "A"), ("037833100", "B")])
    assert [budget.cap(pool.cusip) for pool in pools] == [10, 4]
    assert budget.left == 0


def test_late_shares_get_what_is_left(kb: KnowledgeBase) -> None:
    """Rule: after the uncovered shares, money brings late shares in time."""
    fails = [DrawingFail("A", 10, "HIGH", 1)]
    sources = [Source("RECALL", "", 8, days=3), Source("BORROW", "", 20)]
    pool = make_pool(CUSIP, fails, sources)

    def find_late(_: str, cap: int) -> dict[str, int]:
        capped = make_pool(CUSIP, fails, sources, cap)
        return {"A": plan_pool(capped, kb.book).late(0)}

    budget = open_budget(5, pool)
    budget.grant_uncovered(queue_of(pool))
    assert budget.cap(CUSIP) == 2
    budget.grant_late(queue_of(pool), find_late)
    assert budget.cap(CUSIP) == 5
    assert find_late(CUSIP, 5) == {"A": 5}
