"""Nets of whole legs: the best set is that of trying every set."""

from __future__ import annotations

import sys
from random import Random

import pytest

from finops_cli.checking.net_answers import check_net
from finops_cli.domain import exact_json
from finops_cli.kb.chapters.net import NetRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.answers import AllTried, NetAnswer, Prices, SolverWord
from finops_cli.net.legs import Balance, Leg, Objective, make_net, order_of_id
from finops_cli.net.solve import solve_net
from tests.support.nets import (
    CUSIP,
    OTHER,
    best_whole,
    draw_balances,
    draw_legs,
    leg,
    ring,
)

OBJECTIVES: tuple[Objective, ...] = ("value", "count")


def solve(legs: list, balances: list, objective: Objective, rules: NetRules) -> NetAnswer:
    return solve_net(make_net(legs, balances), "whole", objective, rules).answer


def settled(answer: NetAnswer) -> list[str]:
    return [each.id for each in answer.settles]


@pytest.mark.parametrize("seed", range(60))
def test_small_net_settles_the_best_of_all_sets(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the set is the best one by the objective, the other one, and the earlier legs."""
    draw = Random(seed)
    assets = draw.choice(((CUSIP,), (CUSIP, OTHER), ("CASH",)))
    cash = 0 if assets == ("CASH",) else draw.choice((0, 5, 50))
    size, most = draw.randint(1, 8), draw.choice((2, 9, 10**12))
    legs = draw_legs(draw, size, draw.randint(2, 4), assets, most, cash)
    balances = draw_balances(draw, legs, draw.choice((0, 0, 10)))
    for objective in OBJECTIVES:
        answer = solve(legs, balances, objective, kb.net)
        assert settled(answer) == best_whole(legs, balances, objective)
        assert (answer.status == "deadlock") == (not answer.settles)


def test_ring_settles_without_any_balance(kb: KnowledgeBase) -> None:
    """Rule: equal legs that go round settle at once, and the answer shows the cycle."""
    answer = solve(ring(500, 500, 500), [], "value", kb.net)
    assert (answer.status, answer.count, answer.value) == ("settles", 3, 1500)
    [route] = answer.cycles
    assert (route.kind, route.parties, route.qty) == ("cycle", ["A", "B", "C"], 500)
    assert route.obligations == ["o1", "o2", "o3"]
    assert answer.alone == []
    assert [each.qty for each in answer.after] == [0, 0, 0]
    assert answer.proof == Prices([], "1500")
    assert answer.proposal[0] == f"A: gives 500 and gets 500 of {CUSIP}, net 0. o1 and o3 end."


def test_balance_starts_a_chain(kb: KnowledgeBase) -> None:
    """Rule: shares of a balance pass through parties that hold none; one leg settles alone."""
    legs = [leg("o1", "A", "B", 70), leg("o2", "B", "C", 60)]
    answer = solve(legs, [Balance("A", CUSIP, 75)], "value", kb.net)
    assert settled(answer) == ["o1", "o2"]
    assert answer.alone == ["o1"]
    chains = [(route.kind, route.parties, route.qty) for route in answer.cycles]
    assert chains == [("chain", ["A", "B"], 10), ("chain", ["A", "B", "C"], 60)]


def test_cash_goes_round_where_no_share_does(kb: KnowledgeBase) -> None:
    """Rule: three securities that are paid for in a circle settle without any cash."""
    third = "36467W109"
    legs = [
        leg("o1", "A", "B", 10, 100, CUSIP),
        leg("o2", "B", "C", 20, 100, OTHER),
        leg("o3", "C", "A", 30, 100, third),
    ]
    balances = [Balance("A", CUSIP, 10), Balance("B", OTHER, 20), Balance("C", third, 30)]
    answer = solve(legs, balances, "value", kb.net)
    assert settled(answer) == ["o1", "o2", "o3"]
    assert [route.kind for route in answer.cycles if route.asset == "CASH"] == ["cycle"]
    short = [each for each in balances if each.party != "B"]
    assert solve(legs, short, "value", kb.net).status == "deadlock"


def test_objectives_can_choose_different_sets(kb: KnowledgeBase) -> None:
    """Rule: value takes the large leg, and count takes the two small ones."""
    legs = [leg("o1", "A", "B", 100), leg("o2", "A", "C", 40), leg("o3", "A", "C", 50)]
    balances = [Balance("A", CUSIP, 100)]
    assert settled(solve(legs, balances, "value", kb.net)) == ["o1"]
    assert settled(solve(legs, balances, "count", kb.net)) == ["o2", "o3"]


def test_ids_are_ordered_as_people_count() -> None:
    """Rule: numbers in ids are compared as numbers, so o2 comes before o10."""
    ids = ["o10", "o2", "o02", "a", "o1b", "o1"]
    assert sorted(ids, key=order_of_id) == ["a", "o1", "o1b", "o02", "o2", "o10"]


def test_earlier_leg_wins_a_tie(kb: KnowledgeBase) -> None:
    """Rule: of two legs that are worth the same, the earlier id settles, in any order of lines."""
    legs = [leg("o10", "A", "B", 50), leg("o2", "A", "C", 50)]
    for given in (legs, legs[::-1]):
        assert settled(solve(given, [Balance("A", CUSIP, 60)], "value", kb.net)) == ["o2"]


def test_parts_without_common_accounts_need_no_solver(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: many parts of a few legs are each tried set by set, and the checker does it again."""
    monkeypatch.setitem(sys.modules, "ortools", None)
    draw = Random(5)
    legs, balances = [], []
    for part in range(12):
        own = draw_legs(draw, 6, 3, (f"S{part}",), 9, 0)
        legs += [leg(f"p{part}-{each.id}", *ends(each), each.qty, 0, each.asset) for each in own]
        balances += draw_balances(draw, own, 4)
    answer = solve(legs, balances, "value", kb.net)
    assert isinstance(answer.proof, AllTried)
    assert 12 < answer.proof.sets < 12 * 2**6  # some legs are dead of themselves
    expected = [
        id
        for part in range(12)
        for id in best_whole([each for each in legs if each.asset == f"S{part}"], balances, "value")
    ]
    assert settled(answer) == sorted(expected, key=order_of_id)
    given = exact_json.decode(exact_json.encode(answer))
    assert check_net(given, legs, balances, kb.net) == []
    given["proof"]["sets"] += 1
    assert check_net(given, legs, balances, kb.net)


def ends(each: Leg) -> tuple[str, str]:
    return each.giver, each.taker


def with_solver(kb: KnowledgeBase) -> NetRules:
    """Return the rules under which no set is tried one by one as a whole."""
    return NetRules(
        objective="value",
        enumerate_upto=0,
        enumerate_part_upto=4,
        effort=10,
        proof_steps=kb.net.proof_steps,
        asks=100,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_solver_settles_the_best_of_all_sets(seed: int, kb: KnowledgeBase) -> None:
    """Rule: CP-SAT gives the set that trying every set gives, ties included."""
    pytest.importorskip("ortools")
    draw = Random(seed)
    most, cash = draw.choice(((9, 0), (3, 20), (10**12, 10**12), (10**12, 0)))
    legs = draw_legs(draw, 13, 3, (CUSIP,), most, cash)
    balances = draw_balances(draw, legs, draw.choice((0, 5, most)))
    for objective in OBJECTIVES:
        answer = solve(legs, balances, objective, with_solver(kb))
        assert settled(answer) == best_whole(legs, balances, objective)


@pytest.mark.slow
def test_large_amounts_find_the_true_optimum(kb: KnowledgeBase) -> None:
    """Rule: the known net that CP-SAT gets wrong by default is solved right, also as a part."""
    pytest.importorskip("ortools")
    from finops_cli.solvers.cp_sat import _BALANCES, _LEGS

    legs = [leg(f"o{n}", *each[:2], each[2], each[3], "X") for n, each in enumerate(_LEGS)]
    # ten legs in a chain of the parties make the part too large to be tried set by set
    more = [leg(f"z{n}", "q", "p0", 1, 0, "X") for n in range(3)]
    balances = [Balance(*account, qty) for account, qty in _BALANCES.items()]
    for objective in OBJECTIVES:
        answer = solve([*legs, *more], balances, objective, with_solver(kb))
        assert settled(answer) == ["o4", "o6", "o7", "o9"]
        assert answer.value == 2_405_138_566_120


@pytest.mark.slow
def test_market_of_many_legs_is_proved(kb: KnowledgeBase) -> None:
    """Rule: 300 legs between five parties settle almost all, with a proof by prices or a solver.

    The prices of the second kind of proof are within one of the value.
    """
    pytest.importorskip("ortools")
    draw = Random(7)
    legs = draw_legs(draw, 300, 5, (CUSIP,), 9, 100)
    balances = draw_balances(draw, legs, 500)
    answer = solve(legs, balances, "count", kb.net)
    assert answer.status == "settles"
    assert answer.count > 270
    assert isinstance(answer.proof, Prices | SolverWord)
    bound = answer.proof.bound
    assert int(bound.partition(".")[0]) - answer.count <= 1


@pytest.mark.slow
def test_effort_that_ends_leaves_a_bound(kb: KnowledgeBase) -> None:
    """Rule: the best set that was found within the effort stands, with a bound by prices."""
    pytest.importorskip("ortools")
    draw = Random(7)
    legs = draw_legs(draw, 400, 5, (CUSIP,), 9, 100)
    rules = NetRules(
        objective="value",
        enumerate_upto=0,
        enumerate_part_upto=4,
        effort=1,
        proof_steps=5,
        asks=100,
    )
    answer = solve(legs, [], "count", rules)
    assert answer.status == "best_found"
    assert isinstance(answer.proof, Prices)
    assert isinstance(answer.bound, int)
    assert 300 < answer.count < answer.bound


@pytest.mark.slow
def test_no_effort_leaves_the_question_open(kb: KnowledgeBase) -> None:
    """Rule: without a set and without a proof, the status is undecided."""
    pytest.importorskip("ortools")
    draw = Random(3)
    legs = draw_legs(draw, 300, 4, (CUSIP,), 10**9, 10**9)
    rules = NetRules(
        objective="value",
        enumerate_upto=0,
        enumerate_part_upto=4,
        effort=0,
        proof_steps=5,
        asks=100,
    )
    answer = solve(legs, [], "value", rules)
    assert (answer.status, answer.count) == ("undecided", 0)
