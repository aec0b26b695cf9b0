"""Nets of one security in which legs settle in part."""

from __future__ import annotations

from random import Random

import pytest

from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.answers import Order, Residual
from finops_cli.net.legs import Balance, make_net
from finops_cli.net.solve import open_net, solve_net
from tests.support.nets import CUSIP, OTHER, best_partial, draw_balances, draw_legs, leg, ring

pytest.importorskip("networkx")


@pytest.mark.parametrize("seed", range(60))
def test_partial_net_settles_most_shares(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the parts are those of trying all parts: most shares, then most of earlier legs."""
    draw = Random(seed)
    legs = draw_legs(draw, draw.randint(1, 5), draw.randint(2, 4), (CUSIP,), 3, 0)
    balances = draw_balances(draw, legs, draw.choice((0, 2)))
    answer = solve_net(make_net(legs, balances), "partial", "value", kb.net).answer
    parts = {each.id: each.qty for each in answer.settles}
    assert [parts.get(each.id, 0) for each in legs] == best_partial(legs, balances)
    assert answer.value == sum(parts.values())
    assert (answer.status == "deadlock") == (not parts)


def test_unequal_ring_settles_its_smallest_leg(kb: KnowledgeBase) -> None:
    """Rule: legs of 5, 4 and 3 go round with 3 each; the potentials prove that no more does."""
    answer = solve_net(make_net(ring(5, 4, 3), []), "partial", "value", kb.net).answer
    assert [each.qty for each in answer.settles] == [3, 3, 3]
    assert answer.proof == Residual([("A", 2), ("B", 1), ("C", 0)])
    assert answer.proposal[1].endswith("3 of the 5 of o1 and 3 of the 4 of o2 settle.")


def test_chain_without_shares_is_a_deadlock_with_an_order(kb: KnowledgeBase) -> None:
    """Rule: everybody owes only to later parties and holds nothing, so nothing settles."""
    legs = [leg("o1", "B", "C", 5), leg("o2", "A", "B", 5), leg("o3", "A", "D", 1)]
    answer = solve_net(make_net(legs, [Balance("C", CUSIP, 9)]), "partial", "value", kb.net).answer
    assert answer.status == "deadlock"
    assert answer.proof == Order(["A", "B", "D", "C"])


def test_amounts_beyond_64_bits_are_exact(kb: KnowledgeBase) -> None:
    """Rule: quantities and tie-breaks have no limit of size."""
    legs = [leg(f"o{n}", "A", "B", 10**15 - n) for n in range(70)]
    legs += [leg(f"p{n}", "B", "A", 10**15) for n in range(70)]
    answer = solve_net(make_net(legs, []), "partial", "value", kb.net).answer
    assert answer.value == 2 * sum(10**15 - n for n in range(70))


def test_partial_mode_refuses_two_securities() -> None:
    """Rule: a partial net has one asset; the message names those that are given."""
    legs = [leg("o1", "A", "B", 5), leg("o2", "B", "A", 5, 0, OTHER)]
    with pytest.raises(UsageError, match=f"{OTHER}, {CUSIP}"):
        open_net(legs, [], "partial")


def test_partial_mode_leaves_cash_out() -> None:
    """Rule: cash does not limit a partial net, so its accounts have shares alone."""
    net = open_net([leg("o1", "A", "B", 5, 700)], [], "partial")
    assert net.accounts == (("A", CUSIP), ("B", CUSIP))
