"""The changes between two outputs, and how their lines are matched."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any

import pytest

from finops_cli.views.answer_index import AnswerIndex
from finops_cli.views.changes import Change, Changes
from tests.views.test_answer_index import line

CLOCK = {
    "as_of": "2026-11-17T08:00",
    "settlement_date": "2026-11-16",
    "deadline_days": 1,
    "binding_due": None,
}
AGED_30 = {"score_components": {"age_factor": 30}}


def compare(today: list[bytes], earlier: list[bytes]) -> tuple[list[Change], Changes]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(AnswerIndex(lines))) for lines in (today, earlier)
        )
        changes = Changes(first, second)
        return list(changes.list()), changes


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        ({}, {}, []),
        ({"priority_tier": "HIGH"}, {"priority_tier": "CRITICAL"}, ["escalated"]),
        ({"priority_tier": "HIGH"}, {"priority_tier": "LOW"}, ["eased"]),
        ({"escalation_level": "L3"}, {"escalation_level": "L4"}, ["escalated"]),
        ({"escalation_level": "L4"}, {"escalation_level": "L3"}, []),
        ({"age_days": 4}, {"age_days": 5}, []),
        (AGED_30, {"score_components": {"age_factor": 60}}, ["aged"]),
        ({"qty": 500}, {"qty": 200}, ["part_delivered"]),
        ({"qty": 200}, {"qty": 500}, ["grown"]),
        ({"priority_tier": "LOW", "qty": 9}, {"priority_tier": "HIGH", "qty": 8},
         ["escalated", "part_delivered"]),
        ({}, {"status": "rejected", "error": {"line": 1, "message": "bad"}}, ["unusable"]),
    ],
)  # fmt: skip
def test_change_is_named_by_its_kinds(
    before: dict[str, Any], now: dict[str, Any], kinds: list[str]
) -> None:
    """A fail that is the same in both outputs has no change; others have each kind that holds."""
    found, changes = compare([line(**now)], [line(**before)])
    assert [kind for change in found for kind in change.kinds] == kinds
    assert changes.unchanged == (not kinds)


def test_fail_of_one_output_is_new_or_cleared() -> None:
    """A fail without a match is new in today's output, and cleared in the earlier one."""
    found, changes = compare(
        [line("A"), line("N", cusip="037833100")], [line("A"), line("C", cusip="36467W109")]
    )
    assert [(change.kinds, change.answer.fail_id) for change in found] == [
        (("new",), "N"),
        (("cleared",), "C"),
    ]
    assert changes.counts == {"new": 1, "cleared": 1}


def test_fails_without_ids_are_matched_by_their_facts() -> None:
    """`line-7` names no fail: CUSIP, counterparty and settlement date do."""
    found, changes = compare(
        [line("line-1", clock=CLOCK, qty=300)], [line("line-9", clock=CLOCK, qty=500)]
    )
    assert [change.kinds for change in found] == [("part_delivered",)]
    other_day = {**CLOCK, "settlement_date": "2026-11-13"}
    found, changes = compare([line("line-1", clock=CLOCK)], [line("line-1", clock=other_day)])
    assert changes.counts == {"new": 1, "cleared": 1}


def test_ambiguous_facts_match_nothing() -> None:
    """Two fails of one CUSIP, counterparty and date are not guessed apart; they are counted."""
    twice = [line("line-1", clock=CLOCK), line("line-2", clock=CLOCK)]
    _, changes = compare([line("line-1", clock=CLOCK)], twice)
    assert changes.unmatched == 1
    assert changes.counts == {"new": 1, "cleared": 2}


def test_match_by_facts_leaves_named_fails_alone() -> None:
    """A fail that today's output names itself is not taken for another one."""
    today = [line("A", clock=CLOCK, qty=1), line("line-2", clock=CLOCK, qty=2)]
    found, changes = compare(today, [line("A", clock=CLOCK, qty=1)])
    assert changes.counts == {"new": 1}
    assert found[0].answer.fail_id == "line-2"
