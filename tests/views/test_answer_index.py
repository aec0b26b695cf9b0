"""The ranked list of an output: its order, its filters, and lines that finops did not write."""

from __future__ import annotations

import json
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.views.answer_index import AnswerIndex, Filter
from finops_cli.views.answers import Answer, NotALine, read_answer

TIERS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")


def line(name: str = "F-1", **changes: Any) -> bytes:
    """An output line; `changes` name a field of the fail, of the triage, or of the line."""
    fail = {
        "cusip": "594918104",
        "symbol": "MSFT",
        "side": "Sell",
        "qty": 500,
        "counterparty": "DTC-0005",
        "counterparty_name": "Acme Securities",
        "market_value": 1000.5,
        "age_days": 4,
    }
    triage = {
        "score_components": {"age_factor": 30},
        "priority_score": 50.5,
        "priority_tier": "HIGH",
        "category": "CNS_FAIL",
        "action": "LOCATE_AND_DELIVER",
        "escalation_level": "L2",
        "lifecycle_state": "OPEN",
        "deadline": "T+13",
        "reason": "A reason.",
    }
    headline = {"action": "DELIVER", "qty": 500, "by": None, "text": "Deliver it."}
    given: dict[str, Any] = {
        "fail_id": name,
        "status": "ok",
        "format": 1,
        "fail": fail,
        "headline": headline,
        "triage": triage,
        "verification": {},
        "unknown": [1, {"a": None}],
    }
    for field, value in changes.items():
        part = next((each for each in (fail, triage) if field in each), given)
        part[field] = value
    return json.dumps(given).encode()


def ranked(*lines: bytes, wanted: Filter | None = None) -> list[str]:
    with closing(AnswerIndex(lines)) as index:
        return [each.fail_id for each in index.ranked(wanted or Filter())]


def test_list_ranks_by_tier_deadline_score_and_name() -> None:
    """A later key decides only where the earlier ones are equal; no deadline comes last."""
    lines = [
        line("low", priority_tier="LOW", priority_score=99, age_days=20),
        line("late", priority_tier="CRITICAL", age_days=20, priority_score=1),
        line("none", priority_tier="CRITICAL", deadline=None, priority_score=100),
        line("b", priority_tier="CRITICAL"),
        line("a", priority_tier="CRITICAL"),
        line("score", priority_tier="CRITICAL", priority_score=77.7),
        line("bad", status="rejected", fail=None, triage=None, headline=None),
    ]
    assert ranked(*lines) == ["late", "score", "a", "b", "none", "low", "bad"]


@given(st.lists(st.tuples(st.sampled_from(TIERS), st.integers(0, 30), st.integers(0, 1000))))
def test_rank_order_equals_a_plain_sort(rows: list[tuple[str, int, int]]) -> None:
    """The order of the index equals a sort by its four keys."""
    lines = [
        line(f"F-{n:03}", priority_tier=tier, age_days=age, priority_score=score / 10)
        for n, (tier, age, score) in enumerate(rows)
    ]
    keyed = [(-TIERS.index(tier), 13 - age, -score, n) for n, (tier, age, score) in enumerate(rows)]
    assert ranked(*lines) == [f"F-{key[-1]:03}" for key in sorted(keyed)]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(tiers=("CRITICAL", "LOW")), ["c", "l"]),
        (Filter(securities=("AAPL",)), ["c"]),
        (Filter(securities=("594918104",)), ["h", "l"]),
        (Filter(counterparties=("Acme Securities",)), ["c", "h", "l"]),
        (Filter(counterparties=("DTC-0161",)), ["l"]),
        (Filter(within_days=0), ["c"]),
        (Filter(within_days=9), ["c", "h", "l"]),
        (Filter(tiers=("CRITICAL",), counterparties=("DTC-0161",)), []),
    ],
)
def test_filter_takes_the_lines_that_it_names(wanted: Filter, names: list[str]) -> None:
    """Values of one option are alternatives; several options must all hold."""
    lines = [
        line("h"),
        line("c", priority_tier="CRITICAL", age_days=13, cusip="037833100", symbol="AAPL"),
        line("l", priority_tier="LOW", counterparty="DTC-0161"),
    ]
    assert ranked(*lines, wanted=wanted) == names


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"fail_id": "x"}', b"\xff", b'"a"', b"[" * 9999]
)
def test_line_of_another_kind_is_refused(text: bytes) -> None:
    """A line that no run wrote is counted, and the others are listed."""
    assert isinstance(read_answer(text, 7), NotALine)
    with closing(AnswerIndex([text, line()])) as index:
        assert (index.bad_lines, index.bad[0].number, index.count()) == (1, 1, 1)


def test_answer_keeps_exact_numbers_and_the_clock() -> None:
    """Days left are those of the clock where the line has one; money stays exact."""
    clock = {
        "as_of": "2026-11-17T08:00",
        "settlement_date": "2026-11-16",
        "deadline_days": -3,
        "binding_due": "2026-11-12",
    }
    answer = read_answer(line(clock=clock), 1)
    assert isinstance(answer, Answer)
    assert (answer.days_left, answer.settlement_date) == (-3, "2026-11-16")
    assert answer.market_value == Decimal("1000.5")
