"""Deadlocks: hand-made ones, and random ones whose proofs the checker follows."""

from __future__ import annotations

from random import Random

import pytest
from msgspec import UNSET

from finops_cli.checking.net_answers import check_net
from finops_cli.domain import exact_json
from finops_cli.kb.chapters.net import NetRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.answers import AllTried, Elimination, NetAnswer, Step
from finops_cli.net.elimination import refute
from finops_cli.net.legs import Balance, Leg, make_net
from finops_cli.net.solve import solve_net
from tests.support.nets import CUSIP, OTHER, best_whole, draw_balances, draw_legs, leg, ring

THREES_AND_TWOS = [
    leg("o1", "A", "B", 3),
    leg("o2", "A", "B", 3),
    leg("o3", "B", "A", 2),
    leg("o4", "B", "A", 2),
]


def solve(legs: list[Leg], balances: list[Balance], rules: NetRules) -> NetAnswer:
    return solve_net(make_net(legs, balances), "whole", "value", rules).answer


def steps_of(answer: NetAnswer) -> list[Step]:
    assert answer.status == "deadlock"
    assert isinstance(answer.proof, Elimination)
    return answer.proof.steps


def test_unequal_ring_is_peeled_leg_by_leg(kb: KnowledgeBase) -> None:
    """Rule: the largest leg lacks shares; without it the next ones do."""
    steps = steps_of(solve(ring(5, 4, 3), [], kb.net))
    assert [(step.dead, step.account, step.needs, step.at_most) for step in steps] == [
        ("o1", ("A", CUSIP), 5, 3),
        ("o2", ("B", CUSIP), 4, 0),
        ("o3", ("C", CUSIP), 3, 0),
    ]


def test_missing_cash_stops_a_ring_of_shares(kb: KnowledgeBase) -> None:
    """Rule: one cent too little in one account kills the whole circle, and the proof names it."""
    legs = [leg("o1", "A", "B", 5, 100), leg("o2", "B", "A", 5, 101)]
    steps = steps_of(solve(legs, [], kb.net))
    assert (steps[0].dead, steps[0].account) == ("o2", ("A", "CASH"))
    assert (steps[0].needs, steps[0].at_most) == (101, 100)
    assert solve(legs, [Balance("A", "CASH", 1)], kb.net).status == "settles"


def test_two_securities_wait_for_each_other(kb: KnowledgeBase) -> None:
    """Rule: an exchange of two securities needs both; a missing one kills the other by its cash."""
    legs = [leg("o1", "A", "B", 10, 50, CUSIP), leg("o2", "B", "A", 20, 50, OTHER)]
    steps = steps_of(solve(legs, [Balance("A", CUSIP, 10), Balance("B", OTHER, 19)], kb.net))
    assert [step.dead for step in steps] == ["o2", "o1"]


def test_supposition_decides_where_peeling_does_not(kb: KnowledgeBase) -> None:
    """Rule: each leg alone could be covered, and no set is: suppositions end in contradictions.

    A owes B 3 and 3, and B owes A 2 and 2: no sums of the two are equal.
    """
    legs = THREES_AND_TWOS
    answer = solve(legs, [], kb.net)
    assert best_whole(legs, [], "value") == []
    steps = steps_of(answer)
    supposed = [step for step in steps if step.suppose is not UNSET]
    assert supposed
    assert supposed[0].suppose is not UNSET
    assert supposed[0].suppose[-1].contradiction is not UNSET


def test_long_proof_is_not_given(kb: KnowledgeBase) -> None:
    """Rule: a deadlock of few legs whose proof is too long rests on trying every set."""
    legs = THREES_AND_TWOS
    rules = NetRules(
        objective="value", enumerate_upto=16, enumerate_part_upto=4, effort=1, proof_steps=2, asks=1
    )
    assert refute(make_net(legs, []), 2) is None
    answer = solve(legs, [], rules)
    assert (answer.status, answer.proof) == ("deadlock", AllTried(16))
    assert check_net(exact_json.decode(exact_json.encode(answer)), legs, [], rules) == []


def test_net_that_settles_is_never_refuted() -> None:
    """Rule: there is no proof against a set that settles, whatever the limit."""
    for seed in range(150):
        draw = Random(seed)
        legs = draw_legs(draw, draw.randint(2, 7), 3, (CUSIP,), 3, 0)
        balances = draw_balances(draw, legs, draw.choice((0, 2)))
        has_proof = refute(make_net(legs, balances), 5000) is not None
        assert has_proof == (best_whole(legs, balances, "count") == [])


@pytest.mark.parametrize("seed", range(40))
def test_random_deadlock_has_a_proof_that_can_be_followed(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the checker follows each proof, and refuses it against other balances."""
    draw = Random(seed)
    legs = draw_legs(draw, 10, 4, (CUSIP, OTHER), draw.choice((9, 10**12)), draw.choice((0, 9)))
    answer = solve(legs, [], kb.net)
    given = exact_json.decode(exact_json.encode(answer))
    assert check_net(given, legs, [], kb.net) == []
    if answer.status == "deadlock":
        rich = [Balance(party, asset, 10**15) for party in ("P0", "P1") for asset in (CUSIP, OTHER)]
        assert check_net(given, legs, rich, kb.net)
