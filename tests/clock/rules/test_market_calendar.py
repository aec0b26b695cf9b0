"""The rules of the calendar as tables of days (regulatory-clock, section 3)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.clock.market_calendar import (
    Calendar,
    Counter,
    DayFacts,
    DayOverride,
    OutsideCalendar,
    builtin_calendar,
)
from finops_cli.kb.chapters.market_calendar import easter
from finops_cli.kb.load import bundled_kb_dir, load_kb

CALENDAR = builtin_calendar(load_kb(bundled_kb_dir()).calendar)
COUNTERS: tuple[Counter, ...] = ("trading", "settlement", "counts_204", "business", "calendar")
KINDS = {
    "holiday": (False, False, False, False),
    "bank holiday": (True, False, True, False),
    "closing": (False, True, True, False),
    "counted closing": (False, True, True, True),
    "plain": (True, True, True, True),
}
"""Does a day trade, settle, count as a business day, and count for Rule 204."""
DAYS = st.dates(date(2004, 6, 1), date(2028, 6, 30))
COUNTS = st.integers(-60, 60)


def kinds(day: str, calendar: Calendar = CALENDAR) -> tuple[bool, bool, bool, bool]:
    """Return the kinds of a day in the order of KINDS."""
    facts = calendar.facts(date.fromisoformat(day))
    return facts.trading, facts.settlement, facts.business, facts.counts_204


@pytest.mark.parametrize(
    ("day", "kind", "name"),
    [
        ("2026-01-01", "holiday", "New Year's Day"),
        ("2026-01-19", "holiday", "Martin Luther King Jr. Day"),
        ("2026-02-16", "holiday", "Washington's Birthday"),
        ("2026-04-03", "holiday", "Good Friday"),
        ("2008-03-21", "holiday", "Good Friday"),
        ("2011-04-22", "holiday", "Good Friday"),
        ("2026-05-25", "holiday", "Memorial Day"),
        ("2010-05-31", "holiday", "Memorial Day"),
        ("2026-06-19", "holiday", "Juneteenth"),
        ("2025-07-04", "holiday", "Independence Day"),
        ("2026-09-07", "holiday", "Labor Day"),
        ("2026-11-26", "holiday", "Thanksgiving Day"),
        ("2012-11-22", "holiday", "Thanksgiving Day"),
        ("2026-12-25", "holiday", "Christmas Day"),
        # A Sunday moves to Monday.
        ("2023-01-02", "holiday", "New Year's Day"),
        ("2022-06-20", "holiday", "Juneteenth"),
        ("2021-07-05", "holiday", "Independence Day"),
        ("2022-12-26", "holiday", "Christmas Day"),
        ("2018-11-12", "bank holiday", "Veterans Day"),
        # A Saturday moves to Friday, whether or not the Federal Reserve works.
        ("2010-12-24", "holiday", "Christmas Day"),
        ("2015-07-03", "holiday", "Independence Day"),
        ("2020-07-03", "holiday", "Independence Day"),
        ("2021-12-24", "holiday", "Christmas Day"),
        ("2026-07-03", "holiday", "Independence Day"),
        ("2027-06-18", "holiday", "Juneteenth"),
        # New Year's Day and Veterans Day on a Saturday are not kept.
        ("2004-12-31", "plain", ""),
        ("2010-12-31", "plain", ""),
        ("2021-12-31", "plain", ""),
        ("2027-12-31", "plain", ""),
        ("2006-11-10", "plain", ""),
        ("2017-11-10", "plain", ""),
        ("2023-11-10", "plain", ""),
        # Juneteenth is kept from 2022.
        ("2019-06-19", "plain", ""),
        ("2021-06-18", "plain", ""),
        ("2020-06-19", "plain", ""),
        ("2026-10-12", "bank holiday", "Columbus Day"),
        ("2025-10-13", "bank holiday", "Columbus Day"),
        ("2026-11-11", "bank holiday", "Veterans Day"),
        ("2004-06-11", "closing", "Mourning for President Reagan"),
        ("2007-01-02", "closing", "Mourning for President Ford"),
        ("2012-10-29", "counted closing", "Hurricane Sandy"),
        ("2012-10-30", "counted closing", "Hurricane Sandy"),
        ("2018-12-05", "closing", "Mourning for President Bush"),
        ("2025-01-09", "closing", "Mourning for President Carter"),
        ("2026-11-21", "holiday", "Saturday or Sunday"),
        ("2026-11-22", "holiday", "Saturday or Sunday"),
        ("2022-01-01", "holiday", "Saturday or Sunday"),
    ],
)
def test_calendar_day_has_its_kinds_and_its_reason(day: str, kind: str, name: str) -> None:
    """Rule: sections 3.2 to 3.4 say what each day is, and the reason names the holiday."""
    assert kinds(day) == KINDS[kind]
    assert CALENDAR.facts(date.fromisoformat(day)).reason.startswith(name)
    if kind == "plain":
        assert CALENDAR.facts(date.fromisoformat(day)).reason == ""


@pytest.mark.parametrize(
    ("day", "is_early"),
    [
        ("2026-11-27", True),
        ("2012-11-23", True),
        ("2026-12-24", True),
        ("2025-07-03", True),
        ("2023-07-03", True),
        ("2026-07-03", False),
        ("2022-12-24", False),
        ("2021-12-24", False),
        ("2026-11-25", False),
        ("2025-12-26", False),
    ],
)
def test_calendar_early_close_only_where_it_trades(day: str, is_early: bool) -> None:
    """Rule: the day after Thanksgiving, 24 December and 3 July close at 13:00 where they trade."""
    facts = CALENDAR.facts(date.fromisoformat(day))
    assert facts.early_close == is_early
    assert not is_early or (facts.trading and facts.settlement)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [(2004, 4, 11), (2008, 3, 23), (2011, 4, 24), (2019, 4, 21), (2024, 3, 31), (2026, 4, 5)],
)
def test_easter_year_gives_the_printed_sunday(year: int, month: int, day: int) -> None:
    """Rule: Good Friday is two days before the Easter Sunday that almanacs print."""
    assert easter(year) == date(year, month, day)


@pytest.mark.parametrize("year", range(2004, 2029))
def test_calendar_year_has_its_number_of_days(year: int) -> None:
    """Rule: a year has 9 or 10 exchange holidays and 1 or 2 bank holidays; the closings alone
    settle without trading.
    """
    span = [facts for _, facts in CALENDAR.days(date(year, 1, 1), date(year, 12, 31))]
    reasons = [facts.reason for facts in span]
    holidays = sum(reason.endswith("exchange holiday") for reason in reasons)
    banks = sum(reason.endswith("bank holiday") for reason in reasons)
    closings = sum(reason.endswith("exchanges closed") for reason in reasons)
    kept = (10 if year >= 2022 else 9) - (date(year, 1, 1).weekday() == 5)
    assert (holidays, banks) == (kept, 1 if date(year, 11, 11).weekday() == 5 else 2)
    assert closings == {2004: 1, 2007: 1, 2012: 2, 2018: 1, 2025: 1}.get(year, 0)
    assert sum(facts.settlement and not facts.trading for facts in span) == closings
    assert sum(facts.trading and not facts.settlement for facts in span) == banks


@pytest.mark.parametrize(
    ("start", "count", "counter", "expected"),
    [
        ("2025-10-10", 1, "settlement", "2025-10-14"),
        ("2025-10-10", 1, "trading", "2025-10-13"),
        ("2025-10-10", 1, "business", "2025-10-13"),
        ("2025-10-10", 1, "calendar", "2025-10-11"),
        ("2025-01-08", 1, "settlement", "2025-01-09"),
        ("2025-01-08", 1, "counts_204", "2025-01-10"),
        ("2025-01-08", 3, "counts_204", "2025-01-14"),
        ("2025-01-08", 1, "trading", "2025-01-10"),
        ("2012-10-26", 2, "counts_204", "2012-10-30"),
        ("2026-11-17", 10, "business", "2026-12-02"),
        ("2026-11-30", -1, "settlement", "2026-11-27"),
        ("2026-11-27", -1, "settlement", "2026-11-25"),
        ("2026-11-28", -1, "trading", "2026-11-27"),
        ("2026-11-28", 1, "trading", "2026-11-30"),
        ("2026-11-28", 0, "trading", "2026-11-28"),
    ],
)
def test_add_counts_only_the_days_of_its_kind(
    start: str, count: int, counter: Counter, expected: str
) -> None:
    """Rule: the n-th counted day comes after the start, which itself is not counted."""
    assert str(CALENDAR.add(date.fromisoformat(start), count, counter)) == expected


@given(DAYS, COUNTS, st.sampled_from(COUNTERS))
def test_add_equals_stepping_day_by_day(day: date, count: int, counter: Counter) -> None:
    """Rule: `add` finds the day that a walk over each day finds."""
    left, found, step = abs(count), day, timedelta(1 if count > 0 else -1)
    while left:
        found += step
        left -= CALENDAR.is_counted(found, counter)
    assert CALENDAR.add(day, count, counter) == found


@given(DAYS, st.integers(1, 60), st.sampled_from(COUNTERS))
def test_count_of_added_days_is_their_number(day: date, count: int, counter: Counter) -> None:
    """Rule: `count` is the inverse of `add`, and changes its sign with the direction."""
    end = CALENDAR.add(day, count, counter)
    assert CALENDAR.count(day, end, counter) == count
    assert CALENDAR.count(end, day, counter) == -count
    assert CALENDAR.count(day, end - timedelta(1), counter) == count - 1


@given(DAYS, DAYS, DAYS, st.sampled_from(COUNTERS))
def test_count_over_a_middle_day_is_the_sum(
    first: date, middle: date, last: date, counter: Counter
) -> None:
    """Rule: a count from A to C is the count from A to B and from B to C, in any order of days."""
    parts = CALENDAR.count(first, middle, counter) + CALENDAR.count(middle, last, counter)
    assert CALENDAR.count(first, last, counter) == parts


@given(DAYS, st.sampled_from(COUNTERS))
def test_nearest_counted_days_enclose_the_day(day: date, counter: Counter) -> None:
    """Rule: a counted day is its own nearest; else nothing counted lies between the two."""
    before, after = CALENDAR.on_or_before(day, counter), CALENDAR.on_or_after(day, counter)
    assert CALENDAR.is_counted(before, counter)
    assert CALENDAR.is_counted(after, counter)
    if CALENDAR.is_counted(day, counter):
        assert before == day == after
    else:
        assert before < day < after
        assert CALENDAR.count(before, after, counter) == 1


@given(DAYS)
def test_kinds_of_a_day_imply_one_another(day: date) -> None:
    """Rule: what counts for Rule 204 settles, what settles or trades is a business day."""
    facts = CALENDAR.facts(day)
    assert facts.settlement or not facts.counts_204
    assert facts.business or not (facts.settlement or facts.trading)
    assert facts.trading or not facts.early_close
    assert facts.reason or facts == DayFacts(True, True, True, True, "")


@pytest.mark.parametrize("day", [date(2003, 12, 31), date(2029, 1, 1), date.min, date.max])
def test_calendar_day_outside_raises_with_its_range(day: date) -> None:
    """Rule: a day that the calendar does not cover is refused, with the days that it covers."""
    with pytest.raises(OutsideCalendar, match=f"{day} is outside .* 2004-01-01 to 2028-12-31"):
        CALENDAR.facts(day)


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize(
    ("day", "count"), [(date(2028, 12, 31), 1), (date(2004, 1, 1), -1), (date(2026, 1, 2), 9_000)]
)
def test_count_that_leaves_the_calendar_raises(day: date, count: int, counter: Counter) -> None:
    """Rule: a count never ends on a guessed day beyond the calendar."""
    with pytest.raises(OutsideCalendar):
        CALENDAR.add(day, count, counter)


def test_count_with_an_end_outside_raises() -> None:
    """Rule: both ends of a count are days of the calendar."""
    inside, outside = date(2026, 1, 2), date(2029, 1, 2)
    for counter in COUNTERS:
        with pytest.raises(OutsideCalendar):
            CALENDAR.count(inside, outside, counter)
        with pytest.raises(OutsideCalendar):
            CALENDAR.count(outside, inside, counter)


@pytest.mark.parametrize(
    ("start", "end", "counter", "is_unsure"),
    [
        ("2012-10-26", "2012-10-31", "counts_204", True),
        ("2012-10-30", "2012-10-31", "counts_204", False),
        ("2025-01-08", "2025-01-10", "counts_204", True),
        ("2018-12-04", "2018-12-06", "counts_204", False),
        ("2018-12-04", "2018-12-06", "business", True),
        ("2004-06-10", "2004-06-14", "business", False),
        ("2025-01-08", "2025-01-10", "settlement", False),
    ],
)
def test_is_unsure_over_closings_of_our_reading(
    start: str, end: str, counter: Counter, is_unsure: bool
) -> None:
    """Rule: a count over a closing that section 3.4 tags as our reading is an interpretation."""
    days = date.fromisoformat(start), date.fromisoformat(end)
    assert CALENDAR.is_unsure(*days, counter) == is_unsure


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (DayOverride(trading=False), (False, True, True, False)),
        (DayOverride(settlement=False), (True, False, True, False)),
        (DayOverride(business=False), (True, True, False, True)),
        (DayOverride(counts_204=False), (True, True, True, False)),
        (DayOverride(trading=False, counts_204=True), (False, True, True, True)),
        (DayOverride(name="day of mourning"), (True, True, True, True)),
    ],
)
def test_override_changes_only_what_it_gives(
    override: DayOverride, expected: tuple[bool, bool, bool, bool]
) -> None:
    """Rule: an absent kind stays built in; a day that stops trading stops counting for Rule 204."""
    rules = load_kb(bundled_kb_dir()).calendar
    calendar = Calendar(rules, {date(2026, 12, 9): override})
    assert kinds("2026-12-09", calendar) == expected
    assert kinds("2026-12-10", calendar) == KINDS["plain"]
    assert calendar.identity.overrides == 1
    assert calendar.identity.id == CALENDAR.identity.id
    assert calendar.identity.sha256 != CALENDAR.identity.sha256
