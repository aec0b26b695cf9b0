"""Properties of the clock beside its worked examples (regulatory-clock, section 18)."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf, regular_way
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused
from finops_cli.clock.rule_204 import deadline_of
from finops_cli.domain.clock import Clock, Obligation
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from tests.support.oracle.clock.histories import random_record
from tests.support.records import a_fail

Object = dict[str, Any]
SALE_TYPES = ("short", "long", "market_maker", "deemed_to_own")


def compute(kb: KnowledgeBase, record: Object, as_of: str) -> Clock | str:
    """Return the clock of a record, or the path of the fact that it refuses."""
    fail = parse_fail(record).value
    assert fail is not None
    moment = AsOf(moment=parse_moment(as_of), source="option")
    try:
        return clock_block(fail, moment, 13, builtin_calendar(kb.calendar), kb.clock)
    except Refused as refused:
        return refused.problem.path


def duty(kb: KnowledgeBase, as_of: str, rule: str, **facts: object) -> Obligation:
    """Return the obligation of a rule."""
    found = compute(kb, a_fail(clock_facts=facts, reg_sho_threshold=False), as_of)
    assert isinstance(found, Clock)
    return next(each for each in found.obligations if each.rule == rule)


@pytest.mark.parametrize("year", range(2009, 2028))
def test_rule_204_due_dates_of_a_year_trade(year: int, kb: KnowledgeBase) -> None:
    """Rule: every due date trades; a short sale is due no later than a long one, and a market maker
    has the days of a long sale; a later trade is never due earlier.
    """
    calendar = builtin_calendar(kb.calendar)
    before: dict[str, date] = {}
    day = date(year, 8, 3)
    while day < date(year + 1, 8, 3):
        if calendar.facts(day).trading:
            settlement = regular_way(day, calendar, kb.clock)
            due = {}
            for sale_type in SALE_TYPES:
                found = deadline_of(day, settlement, sale_type, calendar, kb.clock)
                assert found is not None
                due[sale_type] = found.due.date()
                assert calendar.facts(due[sale_type]).trading
                assert due[sale_type] >= before.get(sale_type, due[sale_type])
            assert settlement < due["short"] <= due["long"] == due["market_maker"]
            before = due
        day += timedelta(1)


@pytest.mark.parametrize(
    ("settlement", "sale_type", "rule"),
    [
        ("2026-11-19", "short", "SHO-204(a)"),
        ("2026-11-19", "long", "SHO-204(a)(1)"),
        ("2026-11-10", "long", "SHO-204(a)(1)"),
        ("2025-01-07", "market_maker", "SHO-204(a)(3)"),
        ("2018-12-03", "long", "SHO-204(a)(1)"),
    ],
)
def test_days_left_falls_by_one_each_counted_day(
    settlement: str, sale_type: str, rule: str, kb: KnowledgeBase
) -> None:
    """Rule: the due day has 0 days left; each day that counts for Rule 204 takes one, the other
    days none; a day after the due day has fewer than 0.
    """
    calendar = builtin_calendar(kb.calendar)
    facts = {"settlement_date": settlement, "sale_type": sale_type}
    start = date.fromisoformat(settlement)
    due = duty(kb, settlement, rule, **facts).due_date
    assert due is not None
    left = duty(kb, settlement, rule, **facts).days_left
    for day in (start + timedelta(number) for number in range(1, 15)):
        found = duty(kb, str(day), rule, **facts)
        assert left is not None
        left -= calendar.facts(day).counts_204
        assert found.days_left == left
        assert str(day) != due or (left, found.state) == (0, "due_today")
        assert (found.state == "breached") == (str(day) > due)


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_clock_does_not_depend_on_the_order_of_events(seed: int, kb: KnowledgeBase) -> None:
    """Rule: events in another order give the same block, texts included."""
    record, as_of = random_record(seed)
    events = list(record["clock_facts"].get("events", []))
    expected = compute(kb, record, as_of)
    Random(seed).shuffle(events)
    changed = record | {"clock_facts": record["clock_facts"] | {"events": events}}
    found = compute(kb, changed, as_of)
    if isinstance(expected, str):
        assert isinstance(found, str)
    else:
        assert found == expected


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_clock_of_a_replay_ignores_what_came_later(seed: int, kb: KnowledgeBase) -> None:
    """Rule: a replay with an earlier moment gives what the desk could have known: events after the
    moment change nothing.
    """
    record, as_of = random_record(seed)
    now = parse_moment(as_of)
    facts = record["clock_facts"]
    known = [each for each in facts.get("events", []) if parse_moment(each["at"]) <= now]
    found = compute(kb, record | {"clock_facts": facts | {"events": known}}, as_of)
    expected = compute(kb, record, as_of)
    assert isinstance(expected, str) or found == expected


@pytest.mark.parametrize("gap", [None, 0, 5, 11])
def test_threshold_count_grows_by_one_listed_day(gap: int | None, kb: KnowledgeBase) -> None:
    """Rule: one more listed day adds one to the count, and a day off the list sets it to 0."""
    calendar = builtin_calendar(kb.calendar)
    day, before = date(2026, 9, 1), 0
    rows: list[Object] = []
    for number in range(16):
        rows.append({"date": str(day), "listed": number != gap})
        facts = {"settlement_date": "2026-08-03", "threshold_days": rows}
        found = compute(kb, a_fail(clock_facts=facts), f"{day}T16:00")
        assert isinstance(found, Clock)
        assert found.threshold is not None
        expected = 0 if number == gap else before + 1
        assert found.threshold.days_counted == expected
        before = expected
        day = calendar.add(day, 1, "settlement")
