"""Plans of one security, against every allotment that there is, and against hand-made answers."""

from __future__ import annotations

from random import Random

import pytest

from finops_cli.book.allocation.groups import trim_sent
from finops_cli.book.allocation.plan import PoolPlan, plan_pool
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, make_pool
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.book_pools import (
    Allotment,
    best_shares,
    draw_pool,
    draw_sent,
    list_allotments,
    receive,
    value_of,
)

pytest.importorskip("networkx")

CUSIP = "594918104"


def rows_of(pool: BookPool, plan: PoolPlan) -> Allotment:
    """Return the shares of each fail by source, without recalls beside a borrow."""
    rows = [[0] * len(pool.sources) for _ in pool.fails]
    for row, mine in zip(rows, plan.parts, strict=True):
        for part in mine:
            row[part.source] += 0 if part.is_beside else part.qty
    return tuple(tuple(row) for row in rows)


def named(pool: BookPool, plan: PoolPlan) -> dict[str, dict[str, int]]:
    """Return the shares of each fail by kind and id of the source; recalls beside a borrow too."""
    return {
        fail.fail_id: {
            f"{pool.sources[part.source].kind} {pool.sources[part.source].id}".strip()
            + (" beside" if part.is_beside else ""): part.qty
            for part in mine
        }
        for fail, mine in zip(pool.fails, plan.parts, strict=True)
    }


def assert_best(pool: BookPool, kb: KnowledgeBase, seed: int | None = None) -> None:
    """Compare the plan with every allotment; levels 14 and 15 only where nothing was sent."""
    sent = {} if seed is None else draw_sent(pool, seed)
    kept = trim_sent(pool, sent)
    mine = rows_of(pool, plan_pool(pool, kb.book, sent))
    everything = list(list_allotments(pool))
    assert value_of(pool, mine, kept)[:12] == min(
        value_of(pool, rows, kept)[:12] for rows in everything
    )
    if seed is None:
        best = min((value_of(pool, rows, {}), best_shares(pool, rows)) for rows in everything)
        assert (value_of(pool, mine, {}), best_shares(pool, mine)) == best


@pytest.mark.parametrize("seed", range(0, 240, 3))
@pytest.mark.parametrize("kind", ["plain", "least", "late", "sent"])
def test_plan_is_the_best_of_all_allotments(kind: str, seed: int, kb: KnowledgeBase) -> None:
    """Rule: no allotment in whole shares is better on the ladder than the plan."""
    pool = draw_pool(seed, least=kind == "least", receives_late=kind == "late")
    assert_best(pool, kb, seed if kind == "sent" else None)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_five_thousand_plans_are_the_best(block: int, kb: KnowledgeBase) -> None:
    """Rule: the same, for 5,000 pools."""
    for seed in range(10_000 + 500 * block, 10_500 + 500 * block):
        kind = seed % 4
        pool = draw_pool(seed, least=kind == 1, receives_late=kind == 3)
        assert_best(pool, kb, seed if kind == 2 else None)


def fail(name: str, owed: int, tier: str, days: int | None, **more: int) -> DrawingFail:
    return DrawingFail(name, owed, tier, days, **more)  # type: ignore[arg-type]


DEPOT = Source("DEPOT", "D", 1, days=3)
CASES = {
    "depot leaves the box to the fail that it cannot reach": (
        [fail("F-A", 1, "CRITICAL", 10), fail("F-B", 1, "HIGH", 1)],
        [Source("BOX", "", 1), DEPOT],
        {"F-A": {"DEPOT D": 1}, "F-B": {"BOX": 1}},
    ),
    "a lender is spared where a depot can release the box": (
        [fail("F-A", 1000, "CRITICAL", 10), fail("F-B", 1000, "HIGH", 1)],
        [Source("BOX", "", 1000), Source("DEPOT", "", 1000, days=3), Source("BORROW", "", 1000)],
        {"F-A": {"DEPOT": 1000}, "F-B": {"BOX": 1000}},
    ),
    "the recall is issued beside the borrow": (
        [fail("F-A", 10, "HIGH", 2)],
        [Source("RECALL", "", 6, days=3), Source("BORROW", "", 10)],
        {"F-A": {"BORROW": 10, "RECALL beside": 6}},
    ),
    "a late recall covers what the lender cannot": (
        [fail("F-A", 12, "HIGH", 2)],
        [Source("RECALL", "", 6, days=3), Source("BORROW", "", 10)],
        {"F-A": {"RECALL": 2, "BORROW": 10, "RECALL beside": 4}},
    ),
    "all or none: two fails of 50 before one of 60": (
        [fail(n, q, "HIGH", 5, least=q) for n, q in (("A", 60), ("B", 50), ("C", 50))],
        [Source("BOX", "", 100)],
        {"A": {}, "B": {"BOX": 50}, "C": {"BOX": 50}},
    ),
    "the deadline comes before the score": (
        [fail("A", 5, "HIGH", 3, score=9), fail("B", 5, "HIGH", 2, score=1)],
        [Source("BOX", "", 5)],
        {"B": {"BOX": 5}, "A": {}},
    ),
    "the score comes before the name": (
        [fail("A", 5, "HIGH", 3, score=1), fail("B", 5, "HIGH", 3, score=2)],
        [Source("BOX", "", 5)],
        {"B": {"BOX": 5}, "A": {}},
    ),
    "the depot arrives on the day: too late": (
        [fail("A", 5, "HIGH", 3), fail("B", 5, "HIGH", 4)],
        [Source("DEPOT", "", 10, days=3)],
        {"A": {}, "B": {"DEPOT": 5}},
    ),
    "ten to the power of twelve, to the share": (
        [fail("A", 10**12, "HIGH", 3), fail("B", 1, "LOW", 3)],
        [Source("BOX", "", 10**12)],
        {"A": {"BOX": 10**12}, "B": {}},
    ),
    "receives by age, then by size": (
        [fail("A", 5, "HIGH", 3), fail("B", 4, "LOW", 3)],
        [receive("young", 9, 2), receive("old", 3, 6), receive("large", 4, 6)],
        {"A": {"FTR large": 4, "FTR old": 1}, "B": {"FTR old": 2, "FTR young": 2}},
    ),
    "the cheapest lenders first": (
        [fail("A", 5, "HIGH", 3), fail("B", 5, "HIGH", 3)],
        [Source("BORROW", "X", 6, rate_bps=50), Source("BORROW", "Y", 6, rate_bps=10)],
        {"A": {"BORROW Y": 5}, "B": {"BORROW Y": 1, "BORROW X": 4}},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_hand_made_pool_has_the_exact_plan(
    case: tuple[list[DrawingFail], list[Source], dict[str, dict[str, int]]], kb: KnowledgeBase
) -> None:
    """Rule: the examples of the specification, with their numbers."""
    fails, sources, expected = case
    pool = make_pool(CUSIP, fails, sources)
    assert named(pool, plan_pool(pool, kb.book)) == expected


def test_plan_does_not_depend_on_the_order_of_lines(kb: KnowledgeBase) -> None:
    """Rule: permuted fails and sources get the same plan."""
    for seed in range(60):
        pool = draw_pool(seed)
        fails, sources = list(pool.fails), list(pool.sources)
        Random(seed).shuffle(fails)
        Random(seed).shuffle(sources)
        other = make_pool(CUSIP, fails, sources)
        assert plan_pool(other, kb.book) == plan_pool(pool, kb.book)


def test_plan_scales_with_its_quantities(kb: KnowledgeBase) -> None:
    """Rule: a pool with every quantity multiplied has every share of the plan multiplied."""
    times = 10**9 + 7
    for seed in range(60):
        pool = draw_pool(seed)
        larger = make_pool(
            CUSIP,
            [each._replace(owed=each.owed * times) for each in pool.fails],
            [each._replace(qty=each.qty * times) for each in pool.sources],
        )
        expected = [[qty * times for qty in row] for row in rows_of(pool, plan_pool(pool, kb.book))]
        assert rows_of(larger, plan_pool(larger, kb.book)) == tuple(map(tuple, expected))


def test_plan_that_was_sent_stays_the_same(kb: KnowledgeBase) -> None:
    """Rule: planning again with the plan as what was sent gives the same plan."""
    for seed in range(120):
        pool = draw_pool(seed, least=seed % 2 == 1)
        first = plan_pool(pool, kb.book)
        sent = {
            each.fail_id: {
                pool.sources[part.source].key: part.qty for part in mine if not part.is_beside
            }
            for each, mine in zip(pool.fails, first.parts, strict=True)
        }
        assert plan_pool(pool, kb.book, sent).parts == first.parts


def test_more_shares_never_leave_more_uncovered(kb: KnowledgeBase) -> None:
    """Rule: a larger source never raises the uncovered shares, the most urgent tier first."""
    for seed in range(80):
        pool = draw_pool(seed)
        place = seed % len(pool.sources)
        more = [
            each._replace(qty=each.qty + (1 if at == place else 0))
            for at, each in enumerate(pool.sources)
        ]
        larger = make_pool(CUSIP, pool.fails, more)
        before = value_of(pool, rows_of(pool, plan_pool(pool, kb.book)), {})
        after = value_of(larger, rows_of(larger, plan_pool(larger, kb.book)), {})
        assert after[:4] <= before[:4]
