"""The facts that the clock refuses, as a truth table, and what it assumes (section 2.3)."""

from __future__ import annotations

from typing import Any

import pytest

from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock import Clock
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from tests.support.records import a_fail

AS_OF = "2026-11-20"
RANGE = "a date whose count stays between 2004-01-01 and 2028-12-31"
NOTICES = "SHO-204(c)(1), SHO-204(c)(2)"
EXTENDED = "15c3-3(m), 15c3-3(d)(2), 15c3-3(d)(3)"
Object = dict[str, Any]


def row(date: str, qty: int = 5000, **more: object) -> Object:
    """A row of `fail_history`."""
    return {"date": date, "qty": qty, **more}


def event(type: str, **more: object) -> Object:
    """An event on 18 November."""
    return {"type": type, "at": "2026-11-18T10:00", **more}


def history(*rows: Object) -> Object:
    return {"fail_history": list(rows)}


def compute(kb: KnowledgeBase, facts: Object, as_of: str = AS_OF, **changes: object) -> Clock:
    """Compute the clock of a fail with these clock facts."""
    fail = parse_fail(a_fail(clock_facts=facts, **changes)).value
    assert fail is not None
    moment = AsOf(moment=parse_moment(as_of), source="option")
    return clock_block(fail, moment, 13, builtin_calendar(kb.calendar), kb.clock)


@pytest.mark.parametrize(
    ("facts", "field", "value", "accepted"),
    [
        (
            {"trade_date": "2026-11-14"},
            "trade_date",
            "2026-11-14",
            "a day that trades, such as 2026-11-13 or 2026-11-16 (2026-11-14: Saturday or Sunday)",
        ),
        (
            {"trade_date": "2025-01-09"},
            "trade_date",
            "2025-01-09",
            "a day that trades, such as 2025-01-08 or 2025-01-10",
        ),
        (
            {"settlement_date": "2026-11-11"},
            "settlement_date",
            "2026-11-11",
            "a day that settles, such as 2026-11-10 or 2026-11-12 (2026-11-11: Veterans Day, bank",
        ),
        (
            {"settlement_date": "2026-04-03"},
            "settlement_date",
            "2026-04-03",
            "a day that settles, such as 2026-04-02 or 2026-04-06 (2026-04-03: Good Friday,",
        ),
        (
            {"settlement_date": "2028-12-31"},
            "settlement_date",
            "2028-12-31",
            "a day that settles, such as 2028-12-29 (2028-12-31: Saturday or Sunday)",
        ),
        (
            {"trade_date": "2026-11-17", "settlement_date": "2026-11-16"},
            "settlement_date",
            "2026-11-16",
            "a day from 2026-11-17 on, the trade date",
        ),
        ({"trade_date": "2026-02-30"}, "trade_date", "2026-02-30", "a day that exists, YYYY-MM-DD"),
        ({"trade_date": "2003-12-31"}, "trade_date", "2003-12-31", RANGE),
        ({"settlement_date": "2029-01-02"}, "settlement_date", "2029-01-02", RANGE),
        ({"trade_date": "2028-12-29"}, "trade_date", "2029-01-01", RANGE),
        (
            {"threshold_since": "2026-11-31"},
            "threshold_since",
            "2026-11-31",
            "a day that exists, YYYY-MM-DD",
        ),
        ({"threshold_since": "1999-01-04"}, "threshold_since", "1999-01-04", RANGE),
        (
            {"threshold_days": [{"date": "2035-01-02", "listed": True}]},
            "threshold_days/0/date",
            "2035-01-02",
            RANGE,
        ),
        (
            {
                "threshold_days": [
                    {"date": "2026-11-17", "listed": True},
                    {"date": "2026-11-17", "listed": False},
                ]
            },
            "threshold_days/1/date",
            "2026-11-17",
            "a day after 2026-11-17: the days rise",
        ),
        (
            history(row("2026-11-17"), row("2026-11-16")),
            "fail_history/1/date",
            "2026-11-16",
            "a day after 2026-11-17: the rows rise",
        ),
        (
            history(row("2026-11-17"), row("2026-11-17")),
            "fail_history/1/date",
            "2026-11-17",
            "a day after 2026-11-17: the rows rise",
        ),
        (
            history(row("2026-11-11")),
            "fail_history/0/date",
            "2026-11-11",
            "a day that settles, such as 2026-11-10 or 2026-11-12",
        ),
        (
            history(row("2026-11-17", 500), row("2026-11-18", 500, open_qty=501)),
            "fail_history/1/open_qty",
            "501",
            "at most the quantity before it, 500",
        ),
        (
            {"settlement_date": "2026-11-17", **history(row("2026-11-17", open_qty=500))},
            "fail_history/0/open_qty",
            "500",
            "0, or a settlement_date before 2026-11-17",
        ),
        (
            {
                "settlement_date": "2026-11-16",
                **history(row("2026-11-17", 701, open_qty=500, new=200)),
            },
            "fail_history/0/qty",
            "701",
            "at most the quantity before it plus new, 700",
        ),
        (history(row("2026-11-17", 500, new=501)), "fail_history/0/new", "501", "at most qty, 500"),
        (
            history(row("2026-11-17", 500), row("2026-11-18", 701, new=200)),
            "fail_history/1/qty",
            "701",
            "at most the quantity before it plus new, 700",
        ),
        (
            history(row("2026-11-17", 500), row("2026-11-18", 501, open_qty=300, new=200)),
            "fail_history/1/qty",
            "501",
            "at most the quantity before it plus new, 500",
        ),
        (
            history(row("2026-11-18", trade_date="2026-11-15")),
            "fail_history/0/trade_date",
            "2026-11-15",
            "a day that trades, such as 2026-11-13 or 2026-11-16",
        ),
        (
            history(row("2026-11-18", trade_date="2026-11-19")),
            "fail_history/0/trade_date",
            "2026-11-19",
            "a day up to 2026-11-18, the settlement date",
        ),
        (history(row("2035-01-02")), "fail_history/0/date", "2035-01-02", RANGE),
        (
            {"lots": [{"settlement_date": "2026-11-11", "qty": 5000}]},
            "lots/0/settlement_date",
            "2026-11-11",
            "a day that settles, such as 2026-11-10 or 2026-11-12",
        ),
        (
            {"lots": [{"settlement_date": "2026-11-18", "qty": 5, "trade_date": "2026-11-19"}]},
            "lots/0/trade_date",
            "2026-11-19",
            "a day up to 2026-11-18, the settlement date",
        ),
        (
            {"lots": [{"settlement_date": "2026-11-18", "qty": 5}], **history(row("2026-11-18"))},
            "lots",
            "given beside fail_history",
            "one of the two",
        ),
        (
            {"events": [event("purchase")]},
            "events/0/qty",
            "missing",
            "the shares of the purchase",
        ),
        ({"events": [event("receipt")]}, "events/0/qty", "missing", "the shares of the receipt"),
        (
            {"events": [event("purchase", qty=5), event("allocation", qty=5)]},
            "events/1/to",
            "missing",
            "the broker-dealer that gets the shares",
        ),
        ({"events": [event("notice")]}, "events/0/rule", "missing", NOTICES),
        ({"events": [event("notice", rule="204(c)")]}, "events/0/rule", "204(c)", NOTICES),
        (
            {"events": [event("extension", until="2026-12-09")]},
            "events/0/rule",
            "missing",
            EXTENDED,
        ),
        (
            {"events": [event("extension", rule="SHO-204(c)(1)", until="2026-12-09")]},
            "events/0/rule",
            "SHO-204(c)(1)",
            EXTENDED,
        ),
        (
            {"events": [event("receipt", qty=5, id="A"), event("purchase", qty=5, id="A")]},
            "events/1/id",
            "A",
            "an id that no other event has",
        ),
        (
            {"events": [event("extension", rule="15c3-3(m)")]},
            "events/0/until",
            "missing",
            "the day that it extends to",
        ),
        (
            {"events": [event("extension", rule="15c3-3(m)", until="2035-01-02")]},
            "events/0/until",
            "2035-01-02",
            RANGE,
        ),
        (
            {"events": [event("purchase", qty=5, settled_on="2026-11-17")]},
            "events/0/settled_on",
            "2026-11-17",
            "a day from 2026-11-18 on",
        ),
        (
            {"events": [event("purchase", qty=5, for_settlement_date="2026-11-15")]},
            "events/0/for_settlement_date",
            "2026-11-15",
            "a day that settles, such as 2026-11-13 or 2026-11-16",
        ),
        (
            {"events": [{"type": "notice", "rule": "x", "at": "2026-11-18T25:00"}]},
            "events/0/at",
            "2026-11-18T25:00",
            "a day or moment that exists",
        ),
        (
            {"events": [{"type": "notice", "rule": "x", "at": "0001-01-01T00:00:00+10:00"}]},
            "events/0/at",
            "0001-01-01T00:00:00+10:00",
            "a day or moment that exists",
        ),
        (
            {"events": [{"type": "notice", "rule": "x", "at": "1999-01-04"}]},
            "events/0/at",
            "1999-01-04",
            RANGE,
        ),
    ],
)
def test_clock_refuses_fact_with_field_and_value(
    facts: Object, field: str, value: str, accepted: str, kb: KnowledgeBase
) -> None:
    """Rule: a refusal names the path of the fact, its value and what is accepted."""
    with pytest.raises(Refused) as refused:
        compute(kb, facts)
    problem = refused.value.problem
    assert (problem.path, problem.value) == (f"/clock_facts/{field}", value)
    assert problem.accepted is not None
    assert problem.accepted.startswith(accepted)
    name = field.replace("/", ".")
    assert problem.message.startswith(f"clock_facts.{name} is {value}; accepted: {accepted}")


@pytest.mark.parametrize(
    ("as_of", "age_days", "field", "value"),
    [
        ("2003-12-31", 0, "as_of", "2003-12-31"),
        ("2029-01-01", 0, "as_of", "2029-01-01"),
        ("2004-01-05", 5, "settlement_date", "2003-12-31"),
    ],
)
def test_clock_refuses_as_of_outside_the_calendar(
    as_of: str, age_days: int, field: str, value: str, kb: KnowledgeBase
) -> None:
    """Rule: neither the moment nor a day that is counted from it lies outside the calendar."""
    with pytest.raises(Refused) as refused:
        compute(kb, {}, as_of, age_days=age_days)
    problem = refused.value.problem
    assert (problem.path, problem.value) == (f"/clock_facts/{field}", value)
    assert problem.accepted == RANGE


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"sale_type": "naked"}, "/clock_facts/sale_type"),
        ({"venue": "dtc"}, "/clock_facts/venue"),
        ({"security_type": "bond"}, "/clock_facts/security_type"),
        ({"receivable": "dividend"}, "/clock_facts/receivable"),
        ({"customer": "yes"}, "/clock_facts/customer"),
        ({"trade_date": "16.11.2026"}, "/clock_facts/trade_date"),
        ({"as_of": "2026-11-20 09:15"}, "/clock_facts/as_of"),
        ({"as_of": "now"}, "/clock_facts/as_of"),
        ({"asof": "2026-11-20"}, "/clock_facts/asof"),
        ({"events": [event("sale", qty=5)]}, "/clock_facts/events/0/type"),
        ({"events": [event("purchase", qty=0)]}, "/clock_facts/events/0/qty"),
        ({"events": [event("purchase", qty=5, net_position="net")]}, "/clock_facts/events/0"),
        ({"fail_history": [row("2026-11-17", -1)]}, "/clock_facts/fail_history/0/qty"),
        ({"fail_history": [row("2026-11-17")] * 2001}, "/clock_facts/fail_history"),
        ({"events": [event("notice", rule="x")] * 2001}, "/clock_facts/events"),
    ],
)
def test_record_refuses_clock_facts_of_other_values(facts: Object, path: str) -> None:
    """Rule: unknown keys, words, forms and sizes are refused as everywhere in a record."""
    problems = parse_fail(a_fail(clock_facts=facts)).problems
    assert problems
    assert all(problem.path.startswith(path) for problem in problems)


@pytest.mark.parametrize(
    ("facts", "settlement", "trade", "basis"),
    [
        ({"settlement_date": "2026-11-16"}, "2026-11-16", "2026-11-13", "given"),
        ({"trade_date": "2026-11-13"}, "2026-11-16", "2026-11-13", "trade_date"),
        ({}, "2026-11-17", "2026-11-16", "age_days"),
        # Two trade dates settle on the first day of a shorter cycle: the earlier one is stricter.
        ({"settlement_date": "2024-05-29"}, "2024-05-29", "2024-05-24", "given"),
        ({"settlement_date": "2017-09-07"}, "2017-09-07", "2017-09-01", "given"),
        # None settles on the day after a closing: the last one that settles before it.
        ({"settlement_date": "2025-01-10"}, "2025-01-10", "2025-01-08", "given"),
        ({"settlement_date": "2018-12-07"}, "2018-12-07", "2018-12-04", "given"),
    ],
)
def test_clock_without_dates_takes_the_strictest(
    facts: Object, settlement: str, trade: str, basis: str, kb: KnowledgeBase
) -> None:
    """Rule: S is given, else regular way from T, else counted back; T absent is the earliest."""
    found = compute(kb, facts, age_days=3)
    assert (found.settlement_date, found.trade_date) == (settlement, trade)
    assert found.settlement_date_basis == basis
    absent = "".join(found.assumptions)
    assert ("trade_date absent" in absent) == ("trade_date" not in facts)
    assert ("settlement_date absent" in absent) == (basis == "age_days")


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        ({"settlement_date": "2026-11-17"}, "age_days is 7, the dates give 3"),
        (
            {"trade_date": "2026-11-09", "settlement_date": "2026-11-12"},
            "settlement_date 2026-11-12 is not regular way: 2026-11-09 gives 2026-11-10",
        ),
    ],
)
def test_clock_of_contradicting_dates_warns(facts: Object, warning: str, kb: KnowledgeBase) -> None:
    """Rule: the dates win over the age, and S wins over T; both with a warning."""
    found = compute(kb, facts)
    assert warning in found.warnings
    assert found.settlement_date == facts["settlement_date"]
