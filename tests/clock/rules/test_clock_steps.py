"""The clock of a long history takes steps in proportion to its rows and events."""

from __future__ import annotations

import sys
from datetime import date
from types import FrameType
from typing import Any

import pytest

from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules.deadlines import deadline_day
from tests.support.oracle.clock import calendar as cal
from tests.support.records import a_fail

Row = dict[str, Any]
ROWS = 60
FIRST = date(2016, 1, 5)
SETTLED: Row = {"type": "purchase", "qty": 90, "settled_on": 3, "net_position": "flat"}
SALES: dict[str, tuple[str, str, Row]] = {
    "settled purchases": ("short", "grows", SETTLED),
    "purchases of a long sale": ("long", "grows", {"type": "purchase", "qty": 90}),
    "purchases before the deadline": ("deemed_to_own", "grows", {"type": "purchase", "qty": 130}),
    "deliveries": ("short", "grows", {"type": "delivery", "qty": 40}),
    "allocations": ("long", "grows", {"type": "allocation", "qty": 70, "to": 0}),
    "shares that arrive": ("short", "falls", SETTLED),
    "many covers of one lot": ("deemed_to_own", "falls", {**SETTLED, "settled_on": 20, "qty": 7}),
    "new fails at an equal quantity": ("short", "stays", SETTLED),
    "lots": ("short", "lots", {"type": "purchase", "qty": 130}),
    "allocations of lots": ("deemed_to_own", "lots", {"type": "allocation", "qty": 70, "to": 0}),
}
"""Sale type, kind of position, and the event of each day; `settled_on` is in settlement days."""


def position(kind: str, days: list[date]) -> Row:
    """Return the history of a kind, or lots, one for each day."""
    if kind == "lots":
        return {"lots": [{"settlement_date": day.isoformat(), "qty": 100} for day in days]}
    quantities = {
        "grows": [100 * (place + 1) for place in range(len(days))],
        "falls": [100 * (len(days) - place) for place in range(len(days))],
        "stays": [100 * len(days)] * len(days),
    }[kind]
    rows: list[Row] = [
        {"date": day.isoformat(), "qty": qty} for day, qty in zip(days, quantities, strict=True)
    ]
    if kind == "stays":
        for row in rows[1:]:
            row["new"] = 100
    return {"fail_history": rows}


def event_of(pattern: Row, day: date, number: int) -> Row:
    """Return the event of a day."""
    event = {**pattern, "at": f"{day}T08:30"}
    if "settled_on" in pattern:
        event["settled_on"] = cal.add(day, pattern["settled_on"], cal.settles).isoformat()
    if "to" in pattern:
        event["to"] = f"BD-{number}"
    return event


def count_lines(case: str, rows: int, kb: KnowledgeBase) -> int:
    """Return how many lines of Python run for the clock of a fail with `rows` rows and events."""
    sale_type, kind, pattern = SALES[case]
    days = [cal.add(FIRST, place, cal.settles) for place in range(rows + 1)]
    facts = position(kind, days[:-1]) | {
        "settlement_date": FIRST.isoformat(),
        "sale_type": sale_type,
        "customer": True,
        "threshold_days": [{"date": day.isoformat(), "listed": True} for day in days],
        "events": [event_of(pattern, day, number) for number, day in enumerate(days[1:])],
    }
    qty = 100 * rows
    fail = parse_fail(a_fail(qty=qty, cns_position=-qty, age_days=rows, clock_facts=facts)).value
    assert fail is not None
    as_of = AsOf(moment=parse_moment(f"{days[-1]}T17:00"), source="option")
    given = (fail, as_of, deadline_day(fail, kb.triage), builtin_calendar(kb.calendar), kb.clock)
    clock_block(*given)  # what is computed once for a date is no step of the replay
    lines = 0

    def count(_frame: FrameType, what: str, _value: Any) -> Any:
        nonlocal lines
        lines += what == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        clock_block(*given)
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("case", SALES)
def test_clock_of_twice_the_rows_takes_twice_the_steps(case: str, kb: KnowledgeBase) -> None:
    """Rule: twice the rows and events take at most 2.2 times the lines, whatever the events are."""
    once, twice = count_lines(case, ROWS, kb), count_lines(case, 2 * ROWS, kb)
    assert once > 100 * ROWS
    assert 10 * twice < 22 * once
