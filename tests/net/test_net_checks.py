"""`finops check --legs`: every spoiled answer and every spoiled proof is refused."""

from __future__ import annotations

import sys
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from finops_cli.checking.net_answers import check_net, check_net_lines
from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.net.legs import Balance, Leg, Mode
from finops_cli.net.solve import open_net, solve_net
from tests.support.nets import CUSIP, draw_balances, draw_legs, leg, ring

THREES_AND_TWOS = [
    leg("o1", "A", "B", 3),
    leg("o2", "A", "B", 3),
    leg("o3", "B", "A", 2),
    leg("o4", "B", "A", 2),
]
PAID = [
    leg("o1", "A", "B", 5, 70),
    leg("o2", "B", "C", 5, 80),
    leg("o3", "C", "A", 5, 70),
    leg("o4", "C", "A", 9, 10),
]
RICH = [Balance("C", "CASH", 10)]


def answer_of(
    legs: list[Leg],
    balances: list[Balance],
    kb: KnowledgeBase,
    mode: Mode = "whole",
    own: str | None = None,
) -> dict[str, Any]:
    net = open_net(legs, balances, mode)
    solved = solve_net(net, mode, "value", kb.net, own)
    given: dict[str, Any] = exact_json.decode(exact_json.encode(solved.answer))
    assert check_net(deepcopy(given), legs, balances, kb.net) == []
    return given


def refuse(given: Any, legs: list[Leg], balances: list[Balance], kb: KnowledgeBase) -> set[str]:
    """Return the rules that an answer violates; it must violate one."""
    rules = {each.rule for each in check_net(given, legs, balances, kb.net)}
    assert rules
    return rules


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("count", 4, "net.set"),
        ("value", 221, "net.set"),
        ("alone", ["o1"], "net.set"),
        ("cycles", [], "net.set"),
        ("after", [], "net.set"),
        ("proposal", ["A: gives 5."], "net.set"),
        ("settles", [{"id": "o9", "qty": 5}], "net.set"),
        ("settles", [{"id": "o1", "qty": 4}], "net.set"),
        ("settles", [{"id": "o2", "qty": 5}, {"id": "o1", "qty": 5}], "net.set"),
        ("settles", [{"id": "o1", "qty": 5}, {"id": "o1", "qty": 5}], "net.set"),
        ("settles", [{"id": "o1", "qty": 5}], "net.overdrawn"),
        ("settles", [], "net.proof"),
        ("status", "deadlock", "net.proof"),
        ("status", "undecided", "net.proof"),
        ("status", "best_found", "net.proof"),
        ("status", "own_view", "net.set"),
        ("proof", None, "net.proof"),
        ("proof", {"kind": "all_tried", "sets": 15}, "net.proof"),
        ("proof", {"kind": "elimination", "steps": []}, "net.proof"),
        ("proof", {"kind": "order", "parties": ["A", "B", "C"]}, "net.proof"),
        ("proof", {"kind": "residual", "potentials": []}, "net.proof"),
        ("proof", {"kind": "prices", "prices": [], "bound": "220"}, "net.bound"),
        ("proof", {"kind": "prices", "prices": [], "bound": "1e999999999"}, "net.bound"),
        ("proof", {"kind": "prices", "prices": [["A", "CASH", "-1"]], "bound": "220"}, "net.bound"),
        ("proof", {"kind": "word"}, "schema.shape"),
        ("mode", "partial", "net.set"),
        ("bound", 3, "net.proof"),
        ("objective", "size", "schema.shape"),
        ("extra", 1, "schema.shape"),
    ],
)
def test_spoiled_member_is_refused(member: str, value: Any, rule: str, kb: KnowledgeBase) -> None:
    """Rule: a changed number, name, status or proof of a right answer is a finding."""
    given = answer_of(PAID, RICH, kb)
    assert [each["id"] for each in given["settles"]] == ["o1", "o2", "o3"]
    assert rule in refuse({**given, member: value}, PAID, RICH, kb)


def test_worse_set_is_refused(kb: KnowledgeBase) -> None:
    """Rule: a set that settles and is not the best one fails, whatever it calls its proof."""
    legs = [leg("o1", "A", "B", 50), leg("o2", "A", "B", 60)]
    best = answer_of(legs, [Balance("A", CUSIP, 60)], kb)
    worse = answer_of(legs[:1], [Balance("A", CUSIP, 60)], kb)
    for proof in (best["proof"], worse["proof"], {"kind": "all_tried", "sets": 4}):
        refuse({**worse, "proof": proof}, legs, [Balance("A", CUSIP, 60)], kb)


@pytest.mark.parametrize("seed", range(25))
def test_each_changed_step_of_an_elimination_is_refused(seed: int, kb: KnowledgeBase) -> None:
    """Rule: no step of a proof can be left out, doubled or given another number."""
    draw = Random(seed)
    legs = THREES_AND_TWOS if not seed else draw_legs(draw, 9, 4, (CUSIP,), 99, 9)
    given = answer_of(legs, [], kb)
    if given["status"] != "deadlock":
        pytest.skip("this net settles")
    steps = given["proof"]["steps"]
    for place, step in enumerate(steps):
        for changed in (
            steps[:place] + steps[place + 1 :],
            [*steps[:place], step, *steps[place:]],
            [*steps[:place], _spoil(step), *steps[place + 1 :]],
        ):
            proof = {"kind": "elimination", "steps": changed}
            assert "net.proof" in refuse({**given, "proof": proof}, legs, [], kb)


def _spoil(step: dict[str, Any]) -> dict[str, Any]:
    if "if" in step:
        *nested, end = step["if"]
        return {**step, "if": [*nested, {**end, "short": end["short"] + 1}]}
    return {**step, "at_most": step["at_most"] + 1}


def test_forged_elimination_of_a_settling_net_is_refused(kb: KnowledgeBase) -> None:
    """Rule: a proof for other balances, or with a circular supposition, proves nothing."""
    poor = answer_of(PAID, [], kb)
    assert poor["status"] == "deadlock"
    assert "net.proof" in refuse(poor, PAID, RICH, kb)
    inner = {"contradiction": ["A", CUSIP], "short": 5}
    steps = [{"dead": each.id, "if": [inner]} for each in PAID]
    forged = {**poor, "proof": {"kind": "elimination", "steps": steps}}
    assert "net.proof" in refuse(forged, PAID, RICH, kb)


def test_step_that_kills_nothing_is_refused(kb: KnowledgeBase) -> None:
    """Rule: a leg that an account can cover is not dead, though the numbers are true."""
    given = answer_of(THREES_AND_TWOS, [], kb)
    first = {"dead": "o1", "account": ["A", CUSIP], "needs": 3, "at_most": 4}
    rest = [
        {"dead": "o2", "account": ["A", CUSIP], "needs": 3, "at_most": 4},
        {"dead": "o3", "account": ["B", CUSIP], "needs": 2, "at_most": 0},
        {"dead": "o4", "account": ["B", CUSIP], "needs": 2, "at_most": 0},
    ]
    proof = {"kind": "elimination", "steps": [first, *rest]}
    assert "net.proof" in refuse({**given, "proof": proof}, THREES_AND_TWOS, [], kb)


def test_true_bound_above_the_value_proves_nothing(kb: KnowledgeBase) -> None:
    """Rule: prices prove the best set only where their bound is its value."""
    legs = [leg("o1", "A", "B", 50), leg("o2", "A", "B", 60)]
    given = answer_of(legs, [Balance("A", CUSIP, 60)], kb)
    assert given["value"] == 60
    for prices, bound in (([], "110"), ([["A", CUSIP, "1/2"]], "85")):
        proof = {"kind": "prices", "prices": prices, "bound": bound}
        assert refuse({**given, "proof": proof}, legs, [Balance("A", CUSIP, 60)], kb) == {
            "net.bound"
        }
    proof = {"kind": "prices", "prices": [["A", CUSIP, "1"]], "bound": "60"}
    assert check_net({**given, "proof": proof}, legs, [Balance("A", CUSIP, 60)], kb.net) == []


@pytest.mark.parametrize(
    ("held", "potential", "is_right"),
    [(5, 0, True), (5, 1, False), (3, 1, True), (3, 2, False)],
)
def test_potential_is_0_where_shares_are_kept(
    held: int, potential: int, is_right: bool, kb: KnowledgeBase
) -> None:
    """Rule: who keeps shares has the potential 0, and no leg with flow loses."""
    pytest.importorskip("networkx")
    legs, balances = [leg("o1", "A", "B", 3)], [Balance("A", CUSIP, held)]
    given = answer_of(legs, balances, kb, "partial")
    proof = {"kind": "residual", "potentials": [["A", potential], ["B", 0]]}
    found = check_net({**given, "proof": proof}, legs, balances, kb.net)
    assert (found == []) == is_right


def test_deep_suppositions_are_a_finding(kb: KnowledgeBase) -> None:
    """Rule: a proof that is nested without end ends in a finding, not in a fault."""
    poor = answer_of(PAID, [], kb)
    steps: list[dict[str, Any]] = []
    for _ in range(sys.getrecursionlimit() * 2):
        steps = [{"dead": "o1", "if": steps}]
    refuse({**poor, "proof": {"kind": "elimination", "steps": steps}}, PAID, [], kb)


def test_spoiled_partial_answers_are_refused(kb: KnowledgeBase) -> None:
    """Rule: a smaller flow, another potential and a wrong order are findings."""
    pytest.importorskip("networkx")
    legs = ring(5, 4, 3)
    given = answer_of(legs, [], kb, "partial")
    less = [{**each, "qty": 2} for each in given["settles"]]
    assert "net.proof" in refuse({**given, "settles": less}, legs, [], kb)
    for potentials in ([], [["A", 1], ["B", 1]], [["A", 2], ["A", 2]], [["A", -2]]):
        proof = {"kind": "residual", "potentials": potentials}
        assert "net.proof" in refuse({**given, "proof": proof}, legs, [], kb)
    chain = [leg("o1", "A", "B", 5), leg("o2", "B", "C", 5)]
    stuck = answer_of(chain, [], kb, "partial")
    for parties in (["B", "A", "C"], ["A", "B"], ["A", "A", "B", "C"], []):
        proof = {"kind": "order", "parties": parties}
        assert "net.proof" in refuse({**stuck, "proof": proof}, chain, [], kb)
    assert "net.proof" in refuse(stuck, chain, [Balance("B", CUSIP, 1)], kb)


def test_own_view_never_says_deadlock(kb: KnowledgeBase) -> None:
    """Rule: the answer of one desk cannot prove a deadlock, and its asks follow from its legs."""
    legs = [leg("o1", "US", "A", 40), leg("o2", "B", "US", 60)]
    given = answer_of(legs, [], kb, own="US")
    assert (given["status"], given["proof"]) == ("own_view", None)
    steps = [{"dead": "o1", "account": ["US", CUSIP], "needs": 40, "at_most": 60}]
    elimination = {"kind": "elimination", "steps": steps}
    assert "net.proof" in refuse({**given, "proof": elimination}, legs, [], kb)
    for member, value in (("ask", []), ("own", "A"), ("status", "deadlock")):
        assert refuse({**given, member: value}, legs, [], kb)


@pytest.mark.parametrize("line", [b"[]", b"{", b"7", b"{}", b'{"status": "settles"}', b""])
def test_line_that_is_no_answer_is_refused(line: bytes, kb: KnowledgeBase) -> None:
    """Rule: any other line gets a verdict with a finding."""
    [verdict] = check_net_lines([line], PAID, RICH, kb.net)
    assert not verdict.ok


@pytest.mark.slow
def test_word_of_a_solver_is_a_note(kb: KnowledgeBase) -> None:
    """Rule: what only a solver says is no finding, and the verdict says so in a note."""
    pytest.importorskip("ortools")
    for seed in range(30):
        draw = Random(seed)
        legs = draw_legs(draw, 18, 3, (CUSIP,), 99, 99)
        balances = draw_balances(draw, legs, 99)
        net = open_net(legs, balances, "whole")
        line = exact_json.encode(solve_net(net, "whole", "value", kb.net).answer)
        [verdict] = check_net_lines([line], legs, balances, kb.net)
        assert verdict.ok
        if b'"kind":"solver"' in line:
            assert isinstance(verdict.notes, list)
            assert verdict.notes[0].rule == "net.proof"
            return
    pytest.fail("prices proved every net")
