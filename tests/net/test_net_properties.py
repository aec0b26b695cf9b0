"""Properties of nets, on nets that hypothesis makes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_cli.checking.net_answers import check_net
from finops_cli.domain import exact_json
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.net.answers import NetAnswer
from finops_cli.net.legs import Balance, Leg, Mode, Objective
from finops_cli.net.solve import open_net, solve_net
from tests.support.nets import CUSIP, can_settle

pytest.importorskip("networkx")
RULES = load_kb(bundled_kb_dir()).net
PARTIES = ("A", "B", "C", "D")
AMOUNTS = st.one_of(st.integers(1, 6), st.integers(10**12 - 3, 10**12))


@st.composite
def legs_of(draw: st.DrawFn, cash: bool = True) -> list[Leg]:
    """Make up to eight legs between four parties."""
    size = draw(st.integers(1, 8))
    pairs = st.permutations(PARTIES)
    return [
        Leg(
            f"o{place + 1}",
            *draw(pairs)[:2],
            CUSIP,
            draw(AMOUNTS),
            draw(st.sampled_from((0, 0, 1, 5, 10**12))) if cash else 0,
        )
        for place in range(size)
    ]


BALANCES = st.lists(
    st.builds(
        Balance, st.sampled_from(PARTIES), st.sampled_from((CUSIP, "CASH")), st.integers(0, 7)
    ),
    max_size=4,
    unique_by=lambda each: (each.party, each.asset),
)
MODES = st.sampled_from(("whole", "partial"))
OBJECTIVES = st.sampled_from(("value", "count"))


def answer_of(
    legs: list[Leg], balances: list[Balance], mode: Mode, objective: Objective
) -> NetAnswer:
    return solve_net(open_net(legs, balances, mode), mode, objective, RULES).answer


@settings(deadline=None, max_examples=60)
@given(legs_of(), BALANCES, MODES, OBJECTIVES, st.integers(0, 99))
def test_permuted_input_gives_equal_bytes(
    legs: list[Leg], balances: list[Balance], mode: Mode, objective: Objective, seed: int
) -> None:
    """Rule: the answer is a function of the data, not of the order of its lines."""
    expected = exact_json.encode(answer_of(legs, balances, mode, objective))
    mixed, held = list(legs), list(balances)
    Random(seed).shuffle(mixed)
    Random(seed).shuffle(held)
    assert exact_json.encode(answer_of(mixed, held, mode, objective)) == expected


@settings(deadline=None, max_examples=60)
@given(legs_of(), BALANCES, MODES, OBJECTIVES)
def test_every_answer_passes_its_check(
    legs: list[Leg], balances: list[Balance], mode: Mode, objective: Objective
) -> None:
    """Rule: set, witness, words and proof of each answer are verified without a solver."""
    answer = answer_of(legs, balances, mode, objective)
    given = exact_json.decode(exact_json.encode(answer))
    assert check_net(given, legs, balances, RULES) == []


@settings(deadline=None, max_examples=60)
@given(legs_of(), BALANCES, OBJECTIVES)
def test_named_set_settles_and_no_leg_can_be_added(
    legs: list[Leg], balances: list[Balance], objective: Objective
) -> None:
    """Rule: the set overdraws nobody, and each leg that is left out would overdraw somebody."""
    answer = answer_of(legs, balances, "whole", objective)
    settled = {each.id for each in answer.settles}
    parts = [each.qty if each.id in settled else 0 for each in legs]
    assert can_settle(legs, balances, parts)
    for place, each in enumerate(legs):
        if each.id not in settled:
            more = [*parts[:place], each.qty, *parts[place + 1 :]]
            assert not can_settle(legs, balances, more)


@settings(deadline=None, max_examples=40)
@given(legs_of(cash=False), BALANCES, MODES, st.integers(2, 5))
def test_scaled_amounts_scale_the_answer(
    legs: list[Leg], balances: list[Balance], mode: Mode, scale: int
) -> None:
    """Rule: all amounts times a number give the same legs and the value times the number."""
    scaled = [Leg(each.id, each.giver, each.taker, each.asset, each.qty * scale) for each in legs]
    held = [Balance(each.party, each.asset, each.qty * scale) for each in balances]
    one = answer_of(legs, balances, mode, "value")
    many = answer_of(scaled, held, mode, "value")
    assert many.value == one.value * scale
    assert [(each.id, each.qty) for each in many.settles] == [
        (each.id, each.qty * scale) for each in one.settles
    ]


@settings(deadline=None, max_examples=40)
@given(legs_of(cash=False), BALANCES)
def test_parts_settle_at_least_what_whole_legs_do(legs: list[Leg], balances: list[Balance]) -> None:
    """Rule: the mode partial is never worth less, and has a deadlock only where whole has one."""
    whole = answer_of(legs, balances, "whole", "value")
    partial = answer_of(legs, balances, "partial", "value")
    assert partial.value >= whole.value
    assert partial.status == "settles" or whole.status == "deadlock"


@settings(deadline=None, max_examples=40)
@given(legs_of(), BALANCES, st.integers(0, 3))
def test_richer_accounts_never_settle_less(
    legs: list[Leg], balances: list[Balance], more: int
) -> None:
    """Rule: a larger balance never lowers the value of the best set."""
    richer = [Balance(each.party, each.asset, each.qty + more) for each in balances]
    poor = answer_of(legs, balances, "whole", "value")
    assert answer_of(legs, richer, "whole", "value").value >= poor.value
