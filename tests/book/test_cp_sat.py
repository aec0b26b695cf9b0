"""CP-SAT decides who is served as trying every set does."""

from __future__ import annotations

from random import Random

import pytest

from finops_cli.book.allocation.plan import plan_pool
from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, make_pool
from finops_cli.kb.chapters.book import BookRules
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.book_pools import draw_pool, draw_sent

pytest.importorskip("networkx")
pytest.importorskip("ortools")
pytestmark = pytest.mark.slow


def rules(kb: KnowledgeBase, upto: int) -> BookRules:
    """The rules with another number of fails that are tried one by one."""
    return BookRules(
        receives_late=False, collateral=kb.book.collateral, enumerate_upto=upto, effort=10
    )


def draw_large(seed: int) -> BookPool:
    """Draw a pool of a dozen fails, most with a least partial, of up to 10**12 shares."""
    draw = Random(seed)
    most = 10 ** draw.randint(2, 12)
    fails = []
    for place in range(8):
        owed = draw.randint(1, most)
        least = draw.choice((1, owed, draw.randint(1, owed), owed))
        tier = draw.choice(("CRITICAL", "HIGH", "LOW"))
        days = draw.choice((None, 1, 4))
        fails.append(DrawingFail(f"F-{place}", owed, tier, days, least=least))
    sources = [
        Source("BOX", "", draw.randint(0, 2 * most)),
        Source("DEPOT", "", draw.randint(0, 2 * most), days=2),
        Source("RECALL", "", draw.randint(0, most), days=3),
    ]
    return make_pool("594918104", fails, sources)


@pytest.mark.parametrize("seed", range(25))
def test_solver_serves_the_same_fails_as_every_set(seed: int, kb: KnowledgeBase) -> None:
    """Rule: with large amounts too, CP-SAT and trying every set give one plan."""
    pool = draw_large(seed)
    by_solver = plan_pool(pool, rules(kb, 0))
    assert by_solver.parts == plan_pool(pool, rules(kb, 16)).parts
    assert by_solver.trust in ("solver", "proved", "proved for those served")


@pytest.mark.parametrize("seed", range(1, 60))
def test_solver_agrees_on_small_pools_with_sent_parts(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the same for small pools of which a part was sent out."""
    pool = draw_pool(seed, least=True)
    sent = draw_sent(pool, seed)
    expected = plan_pool(pool, rules(kb, 16), sent).parts
    assert plan_pool(pool, rules(kb, 0), sent).parts == expected


def test_solver_out_of_effort_says_best_found(kb: KnowledgeBase) -> None:
    """Rule: a plan that is not proved within the effort stands, with its bound."""
    fails = [
        DrawingFail(f"F-{place}", 1000 + 37 * place, "HIGH", 4, least=1000 + 37 * place)
        for place in range(40)
    ]
    pool = make_pool("594918104", fails, [Source("BOX", "", 20_011)])
    given = BookRules(
        receives_late=False, collateral=kb.book.collateral, enumerate_upto=0, effort=0
    )
    plan = plan_pool(pool, given)
    assert plan.trust == "best found"
    assert plan.bound is not None
    assert sum(part.qty for mine in plan.parts for part in mine) <= 20_011
