"""The oracle of the close-out clock gives the dates that the specification prints."""

from __future__ import annotations

from datetime import date

import pytest

from tests.support.oracle.clock import Refused, clock_block
from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.records import Block, bought, clock, daily, first, listed_from
from tests.support.records import a_fail

# Section 3: the calendar


@pytest.mark.parametrize(
    ("day", "trades", "settles", "business", "counts"),
    [
        ("2010-12-31", True, True, True, True),
        ("2021-12-31", True, True, True, True),
        ("2010-12-24", False, False, False, False),
        ("2015-07-03", False, False, False, False),
        ("2020-07-03", False, False, False, False),
        ("2021-12-24", False, False, False, False),
        ("2021-06-18", True, True, True, True),
        ("2022-06-20", False, False, False, False),
        ("2021-04-02", False, False, False, False),
        ("2023-04-07", False, False, False, False),
        ("2026-04-03", False, False, False, False),
        ("2025-10-13", True, False, True, False),
        ("2017-11-10", True, True, True, True),
        ("2023-11-10", True, True, True, True),
        ("2006-11-10", True, True, True, True),
        ("2007-11-12", True, False, True, False),
        ("2004-06-11", False, True, True, False),
        ("2007-01-02", False, True, True, False),
        ("2012-10-29", False, True, True, True),
        ("2012-10-30", False, True, True, True),
        ("2018-12-05", False, True, True, False),
        ("2025-01-09", False, True, True, False),
        ("2026-11-21", False, False, False, False),
    ],
)
def test_calendar_printed_days_have_their_kinds(
    day: str, trades: bool, settles: bool, business: bool, counts: bool
) -> None:
    """The days that section 3 prints are of the kinds that it gives them."""
    when = date.fromisoformat(day)
    found = (cal.trades(when), cal.settles(when), cal.business(when), cal.counts_204(when))
    assert found == (trades, settles, business, counts)


@pytest.mark.parametrize("year", range(2004, 2029))
def test_calendar_year_has_at_most_two_days_without_settlement(year: int) -> None:
    """Trading and settlement days differ by the bank holidays and the closings alone."""
    span = cal.days(date(year, 1, 1), date(year, 12, 31), cal.every)
    traded_only = [d for d in span if cal.trades(d) and not cal.settles(d)]
    settled_only = [d for d in span if cal.settles(d) and not cal.trades(d)]
    assert len(traded_only) in (1, 2)
    assert settled_only == [d for d in sorted(cal.CLOSINGS) if d.year == year]
    assert 249 <= sum(map(cal.trades, span)) <= 253


@pytest.mark.parametrize(
    ("day", "hour"),
    [("2026-11-27", 13), ("2026-12-24", 13), ("2023-07-03", 13), ("2026-07-03", 16)],
)
def test_close_on_early_closes_is_13_00(day: str, hour: int) -> None:
    """The exchanges close at 13:00 after Thanksgiving and on the eves that trade (3.6)."""
    assert cal.close(date.fromisoformat(day)).hour == hour


@pytest.mark.parametrize("day", ["2003-12-31", "2029-01-01", "2026-02-30"])
def test_day_outside_the_calendar_is_refused(day: str) -> None:
    """A date outside 2004 to 2028, or of no calendar at all, is refused."""
    with pytest.raises(Refused):
        clock("2026-11-27", settlement_date=day)


# Section 2: moments and missing facts


@pytest.mark.parametrize(
    ("text", "eastern"),
    [
        ("2026-11-27", "2026-11-27T00:00"),
        ("2026-11-27T09:15", "2026-11-27T09:15"),
        ("2026-11-27T14:15:00Z", "2026-11-27T09:15"),
        ("2026-07-01T14:15Z", "2026-07-01T10:15"),
        ("2026-07-01T14:15+02:00", "2026-07-01T08:15"),
        ("2026-03-08T06:59Z", "2026-03-08T01:59"),
        ("2026-03-08T07:00Z", "2026-03-08T03:00"),
        ("2026-11-01T05:59Z", "2026-11-01T01:59"),
        ("2026-11-01T06:00Z", "2026-11-01T01:00"),
        ("2006-04-01T12:00Z", "2006-04-01T07:00"),
        ("2006-04-02T12:00Z", "2006-04-02T08:00"),
        ("2006-10-28T12:00Z", "2006-10-28T08:00"),
        ("2006-10-29T12:00Z", "2006-10-29T07:00"),
        ("2026-01-01T02:00Z", "2025-12-31T21:00"),
    ],
)
def test_as_of_with_an_offset_is_converted(text: str, eastern: str) -> None:
    """A moment with an offset becomes Eastern Time by the rule of section 2.1."""
    assert cal.parse_moment("as_of", text).strftime("%Y-%m-%dT%H:%M") == eastern


def test_as_of_option_wins_over_the_record() -> None:
    """The option is used first, then the record; without both, the record is refused."""
    record = a_fail(clock_facts={"as_of": "2026-11-20"})
    assert clock_block(record, "2026-11-18")["as_of"] == "2026-11-18T00:00"
    assert clock_block(record, None)["as_of_source"] == "record"
    with pytest.raises(Refused, match="as_of"):
        clock_block(a_fail(), None)


def test_settlement_date_is_counted_back_from_the_age() -> None:
    """Without dates, S lies `age_days` settlement days before the last one (2.3)."""
    block = clock("2026-11-22T12:00", record={"age_days": 7})
    assert block["settlement_date"] == "2026-11-10"
    assert block["settlement_date_basis"] == "age_days"
    assert first(block, "SHO-204(a)")["assumed"] == ["settlement_date", "sale_type"]


@pytest.mark.parametrize(
    ("settlement", "trade"),
    [
        ("2017-09-07", "2017-09-01"),
        ("2024-05-29", "2024-05-24"),
        ("2018-12-07", "2018-12-04"),
        ("2025-01-10", "2025-01-08"),
        ("2026-11-17", "2026-11-16"),
        ("2025-10-14", "2025-10-10"),
    ],
)
def test_trade_date_absent_is_the_strictest(settlement: str, trade: str) -> None:
    """T absent is the earliest that settles on S, else the last that settles before it (2.3)."""
    assert cal.trade_date_for(date.fromisoformat(settlement)).isoformat() == trade


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("trade_date", {"trade_date": "2025-01-09"}),
        ("trade_date", {"trade_date": "2026-11-26"}),
        ("settlement_date", {"settlement_date": "2026-11-11"}),
        ("settlement_date", {"trade_date": "2026-11-17", "settlement_date": "2026-11-16"}),
        ("sale_type", {"sale_type": "naked"}),
        ("fail_history[1].date", {"fail_history": [*daily("2026-11-17", [5]),
                                                   *daily("2026-11-16", [5])]}),
        ("fail_history[0].date", {"fail_history": [{"date": "2026-11-11", "qty": 5}]}),
        ("fail_history[1].open_qty", {"fail_history": [
            {"date": "2026-11-16", "qty": 5}, {"date": "2026-11-17", "qty": 5, "open_qty": 6}]}),
        ("fail_history[0].new", {"fail_history": [{"date": "2026-11-16", "qty": 5, "new": 6}]}),
        ("fail_history[1].qty", {"fail_history": [
            {"date": "2026-11-16", "qty": 5}, {"date": "2026-11-17", "qty": 8, "new": 2}]}),
        ("lots", {"lots": [{"settlement_date": "2026-11-16", "qty": 5}],
                  "fail_history": daily("2026-11-16", [5])}),
        ("events[0].qty", {"events": [{"type": "purchase", "at": "2026-11-16"}]}),
    ],
)  # fmt: skip
def test_facts_that_contradict_are_refused(field: str, facts: Block) -> None:
    """The contradictions of section 2.3 are refused, with the field."""
    with pytest.raises(Refused) as refused:
        clock("2026-11-20", **facts)
    assert refused.value.field == field


# Section 4: settlement dates


@pytest.mark.parametrize(
    ("trade", "settlement"),
    [
        ("2017-09-01", "2017-09-07"),
        ("2017-09-05", "2017-09-07"),
        ("2024-05-24", "2024-05-29"),
        ("2024-05-28", "2024-05-29"),
        ("2025-01-08", "2025-01-09"),
        ("2025-10-10", "2025-10-14"),
        ("2025-10-13", "2025-10-14"),
        ("2012-10-26", "2012-10-31"),
        ("2007-10-05", "2007-10-11"),
    ],
)
def test_settlement_date_is_regular_way(trade: str, settlement: str) -> None:
    """S is the n-th settlement day after T, with n of the era of T."""
    assert cal.regular_way(date.fromisoformat(trade)).isoformat() == settlement


# Section 17: the worked examples


@pytest.mark.parametrize(
    ("trade", "sale", "settlement", "due"),
    [
        ("2026-11-16", "short", "2026-11-17", "2026-11-18"),
        ("2026-11-16", "long", "2026-11-17", "2026-11-20"),
        ("2025-10-09", "short", "2025-10-10", "2025-10-14"),
        ("2025-01-07", "short", "2025-01-08", "2025-01-10"),
        ("2025-01-07", "long", "2025-01-08", "2025-01-14"),
        ("2026-08-03", "deemed_to_own", "2026-08-04", "2026-09-04"),
        ("2017-09-01", "short", "2017-09-07", "2017-09-08"),
        ("2017-09-05", "short", "2017-09-07", "2017-09-08"),
        ("2012-10-23", "short", "2012-10-26", "2012-10-31"),
        ("2012-10-23", "long", "2012-10-26", "2012-10-31"),
        ("2026-10-07", "deemed_to_own", "2026-10-08", "2026-11-11"),
        ("2018-10-31", "deemed_to_own", "2018-11-02", "2018-12-06"),
    ],
)
def test_rule_204_due_date_is_the_printed_one(
    trade: str, sale: str, settlement: str, due: str
) -> None:
    """Examples 1 to 5, and closings and holidays counted by hand."""
    block = clock(f"{settlement}T12:00", trade_date=trade, sale_type=sale)
    duty = block["obligations"][0]
    assert (block["settlement_date"], duty["due_date"]) == (settlement, due)
    assert (duty["due_time"], duty["state"]) == ("09:30", "running")


def test_lots_of_a_history_are_first_in_first_out() -> None:
    """Example 6: the oldest shares are delivered first."""
    rows = daily("2026-11-16", [500, 800, 600])
    facts = {"settlement_date": "2026-11-16", "sale_type": "long", "fail_history": rows}
    block = clock("2026-11-18T17:00", 600, **facts)
    assert [(lot["settlement_date"], lot["qty"]) for lot in block["lots"]] == [
        ("2026-11-16", 300),
        ("2026-11-17", 300),
    ]
    assert [duty["due_date"] for duty in block["obligations"]] == ["2026-11-19", "2026-11-20"]


@pytest.mark.parametrize(("more", "state"), [({}, "breached"), ({"open_qty": 0}, "cured")])
def test_zero_at_the_end_of_the_due_day_is_not_proof(more: Block, state: str) -> None:
    """Example 7: only the snapshot of 09:00 shows that the fail was gone by the opening."""
    rows = [{"date": "2026-11-16", "qty": 500}, {"date": "2026-11-17", "qty": 0, **more}]
    facts = {"settlement_date": "2026-11-16", "sale_type": "short", "fail_history": rows}
    block = clock("2026-11-18", 500, **facts)
    duty = first(block, "SHO-204(a)")
    assert (duty["due_date"], duty["state"]) == ("2026-11-17", state)
    assert block["lots"] == []


def test_penalty_box_leaves_by_a_settled_purchase() -> None:
    """Example 8: open, closing and released; the breach stays."""
    events = [
        bought(600, "2026-11-18T09:00"),
        bought(400, "2026-11-18T12:00", settled_on="2026-11-19"),
    ]
    facts = {"trade_date": "2026-11-16", "sale_type": "short", "events": events}
    for as_of, box, state, uncured in (
        ("2026-11-18T09:15", "none", "due_today", 400),
        ("2026-11-18T09:30", "none", "due_today", 400),
        ("2026-11-18T11:00", "open", "breached", 400),
        ("2026-11-18T13:00", "closing", "breached", 400),
        ("2026-11-19T15:59", "closing", "breached", 400),
        ("2026-11-19T16:00", "released", "breached", 400),
    ):
        block = clock(as_of, **facts)
        duty = first(block, "SHO-204(a)")
        assert (block["penalty_boxes"][0]["state"], duty["state"]) == (box, state), as_of
        assert duty["open_qty"] == uncured
    assert block["penalty_boxes"][0]["released_on"] == "2026-11-19"
    assert first(block, "SHO-204(c)(2)")["due_date"] == "2026-11-19"


@pytest.mark.parametrize(
    ("as_of", "counted"),
    [
        ("2005-01-14T17:00", 5),
        ("2005-01-17T17:00", 5),
        ("2005-01-21T17:00", 9),
        ("2005-01-27T15:00", 12),
        ("2005-01-27T16:00", 13),
    ],
)
def test_threshold_count_of_january_2005_is_the_printed_one(as_of: str, counted: int) -> None:
    """Example 9: thirteen days from the first list, due on 2005-01-28."""
    facts = {"settlement_date": "2005-01-10", "threshold_since": "2005-01-10"}
    threshold = clock(as_of, **facts)["threshold"]
    assert threshold["days_counted"] == counted
    assert (threshold["last_day"], threshold["due_date"]) == ("2005-01-27", "2005-01-28")


def test_threshold_count_starts_anew_after_a_day_off() -> None:
    """Example 10: off on 10-29, back on 10-30; day 13 is 11-18, due 11-19."""
    days = listed_from(("2026-10-01", True), ("2026-10-29", False), ("2026-10-30", True))
    block = clock("2026-11-10T17:00", settlement_date="2026-10-01", threshold_days=days)
    threshold = block["threshold"]
    assert (threshold["days_counted"], threshold["first_day"]) == (8, "2026-10-30")
    assert (threshold["last_day"], threshold["due_date"]) == ("2026-11-18", "2026-11-19")


def test_customer_long_sale_has_ten_business_days() -> None:
    """Example 11: S 2026-11-17, due 2026-12-02."""
    facts = {"settlement_date": "2026-11-17", "sale_type": "long", "customer": True}
    duty = first(clock("2026-11-20", **facts), "15c3-3(m)")
    assert (duty["due_date"], duty["due_time"], duty["days_left"]) == ("2026-12-02", None, 7)


def test_buy_in_outside_cns_starts_on_the_third_day() -> None:
    """Example 12: notice by Tuesday 17 12:00, buy-in from Thursday 19."""
    block = clock("2026-11-16", settlement_date="2026-11-16", venue="ex_clearing")
    right = block["rights"][0]
    assert (right["earliest_notice_date"], right["notice_by"]) == ("2026-11-17", "12:00")
    assert (right["earliest_execution_date"], right["holder"]) == ("2026-11-19", "counterparty")
    assert [duty["state"] for duty in block["obligations"]] == ["not_applicable"]


def test_block_of_section_11_is_the_printed_one() -> None:
    """The example of section 11, key by key."""
    block = clock("2026-11-17", trade_date="2026-11-16")
    assert block["obligations"] == [
        {
            "rule": "SHO-204(a)",
            "kind": "duty",
            "lot": "2026-11-17",
            "holder": "participant",
            "qty": 1000,
            "open_qty": 1000,
            "start_date": "2026-11-17",
            "nominal_date": "2026-11-18",
            "due_date": "2026-11-18",
            "due_time": "09:30",
            "days_left": 1,
            "state": "running",
            "remedy": ["purchase", "borrow"],
            "assumed": ["sale_type"],
            "alternatives": [
                {
                    "if": "a long sale, shown on books and records",
                    "rule": "SHO-204(a)(1)",
                    "due_date": "2026-11-20",
                }
            ],
            "confidence": "verified",
        }
    ]
    assert (block["binding"], block["binding_due"]) == ("SHO-204(a)", "2026-11-18")
    assert block["deadline_days"] == 1
    assert block["card"] == {"deadline": "T+13", "date": "2026-12-07", "later_than_law_by": 12}
    assert block["threshold"] is None
