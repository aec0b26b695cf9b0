"""The sentence of an uncovered fail where no cut proves it, because of least partials."""

from __future__ import annotations

import pytest

from finops_cli.book.allocation.groups import group_pool
from finops_cli.book.allocation.plan import plan_pool
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, make_pool
from finops_cli.book.proof.certificate import explain_idle, flow_of, make_cuts
from finops_cli.book.proof.sentences import describe_idle
from finops_cli.domain.enums import Tier
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.book_pools import draw_pool
from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

pytest.importorskip("networkx")


def explain(pool: BookPool, kb: KnowledgeBase) -> dict[Tier, str]:
    """Return the sentence of each tier that stays uncovered and has no cut."""
    plan, groups = plan_pool(pool, kb.book), group_pool(pool)
    flow = flow_of(pool, groups, plan)
    short = {groups.fails[a].tier for a, qty in enumerate(flow.uncovered) if qty}
    for cut in make_cuts(pool, groups, flow):
        short.discard(cut.down_to)
    return {tier: explain_idle(pool, groups, flow, tier) for tier in short}


def test_idle_shares_and_the_least_part_are_named(kb: KnowledgeBase) -> None:
    """Rule: the sentence names the fail, its least part and the shares that lie idle."""
    fails = [
        DrawingFail("A", 60, "LOW", 4, least=60),
        DrawingFail("B", 50, "LOW", 5, least=50),
        DrawingFail("C", 45, "LOW", 6, least=45),
    ]
    (said,) = explain(make_pool("594918104", fails, [Source("BOX", "", 99)]), kb).values()
    assert said == (
        "The counterparty of A takes no part of less than 60 shares."
        " 4 shares that could reach it lie idle."
    )


def test_shares_of_less_urgent_fails_are_named(kb: KnowledgeBase) -> None:
    """Rule: shares that are too few for an urgent fail and cover a later one are not idle."""
    fails = [DrawingFail("A", 150, "HIGH", 4, least=150), DrawingFail("B", 99, "LOW", 5)]
    said = explain(make_pool("594918104", fails, [Source("BOX", "", 100)]), kb)
    assert said == {
        "HIGH": "The counterparty of A takes no part of less than 150 shares. 1 share that could"
        " reach it lies idle and 99 shares that could reach it go to less urgent fails."
    }


def test_several_fails_and_an_unproved_plan_are_named() -> None:
    """Rule: each unserved fail is named; without one, the sentence claims no proof."""
    assert describe_idle([("A", 60), ("B", 50)], idle=30, elsewhere=0) == (
        "The counterparties take no part of less than 60 shares of A and 50 shares of B."
        " 30 shares that could reach them lie idle."
    )
    assert describe_idle([], idle=30, elsewhere=0) == (
        "No better plan was found within the limit of the search."
    )


@pytest.mark.parametrize("seed", range(40))
def test_least_parts_explain_each_tier_without_cut(seed: int, kb: KnowledgeBase) -> None:
    """Rule: in a proved plan a tier without a cut always has such fails and such shares."""
    for said in explain(draw_pool(seed, least=True), kb).values():
        assert said.startswith("The counterpart")
        assert "that could reach" in said


def test_csv_of_the_example_gives_the_same_plan(finops: Finops) -> None:
    """Rule: the inventory of the example as CSV gives the allotments of the one as JSON."""
    folder = EXAMPLES / "book"
    first, second = (
        finops("book", folder / "fails.jsonl", "--inventory", folder / name, "-q").stdout
        for name in ("inventory.csv", "inventory.jsonl")
    )
    planned = [(line["allotment"], line["book"]) for line in rows(first)]
    assert planned == [(line["allotment"], line["book"]) for line in rows(second)]
    assert planned[0][0] == [{"kind": "BOX", "id": "", "qty": 6000}]
