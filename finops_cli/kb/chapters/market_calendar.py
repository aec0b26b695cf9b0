"""The calendar of US equities: holidays as rules, unscheduled closings as a table."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from msgspec import Struct

from finops_cli.kb.compiler import Compiler, entry_fault, parse_date

_DAYS_OF_WEEK = 7
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_FIXED = re.compile(r"(0[1-9]|1[0-2])-([0-2][0-9]|3[01])")
_FLOATING = re.compile(rf"(0[1-9]|1[0-2]) ({'|'.join(_WEEKDAYS)}) (-1|[1-4])")
_FOLLOWING = re.compile(r"(.+) ([0-9]{1,2})")
_SATURDAY, _SUNDAY = 5, 6
_COMMON_YEAR = 2001
"""A year without 29 February: a holiday on a fixed date has a day in every year."""
_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
"""Each day of a calendar is held in memory."""
_DAYS_BEFORE_EASTER = range(-60, 81)
"""The earliest Easter Sunday is day 81 of its year; a day after Easter is negative."""
_FIXED_EXPECTED = "a month and a day of every year, such as 12-25"
_YEARLY_EXPECTED = (
    f"{_FIXED_EXPECTED}, or a month, a weekday and its number, 1 to 4 or -1 for the last one, such"
    " as 01 Monday 3"
)


class FixedDay(NamedTuple):
    """A holiday on a date of each year."""

    name: str
    month: int
    day: int


class FloatingDay(NamedTuple):
    """A holiday on the `nth` weekday of a month; -1 is the last one."""

    name: str
    month: int
    weekday: int
    nth: int


YearlyDay = FixedDay | FloatingDay


class CalendarRules(Struct, frozen=True, eq=False, kw_only=True):
    """The rules of the calendar (kb: `calendar.*`)."""

    id: str
    first: date
    last: date
    reviewed: date
    holidays: tuple[YearlyDay, ...]
    since: Mapping[str, int]
    kept_on_saturday: frozenset[str]
    before_easter: Mapping[str, int]
    bank_holidays: tuple[YearlyDay, ...]
    closings: Mapping[date, str]
    closings_counted: frozenset[date]
    closings_interpreted: frozenset[date]
    """Closings whose treatment by Rule 204 is our reading."""
    business_interpreted: frozenset[date]
    """Closings whose treatment as a business day is our reading."""
    early_closes: tuple[FixedDay, ...]
    after_holidays: Mapping[str, int]
    """Days after a holiday that close early, by the name of the holiday."""

    def exchange_holidays(self, year: int) -> dict[date, str]:
        """The days of `year` on which the exchanges are closed by schedule, with their names.

        1 January of the next year, moved to Friday, never falls into `year`: it is not moved.
        """
        found: dict[date, str] = {}
        for holiday in self.holidays:
            if year < self.since.get(holiday.name, year):
                continue
            moved = _observe(_place(holiday, year), holiday.name not in self.kept_on_saturday)
            if moved is not None:
                found[moved] = holiday.name
        for name, days in self.before_easter.items():
            if year < self.since.get(name, year):
                continue
            found[easter(year) - timedelta(days)] = name
        return found

    def bank_holidays_of(self, year: int) -> dict[date, str]:
        """The days of `year` on which the exchanges trade and nothing settles."""
        moved = {_observe(_place(each, year), False): each.name for each in self.bank_holidays}
        return {day: name for day, name in moved.items() if day is not None}

    def early_closes_of(self, year: int) -> dict[date, str]:
        """The days of `year` that close early if they trade."""
        found = {date(year, each.month, each.day): each.name for each in self.early_closes}
        for day, name in self.exchange_holidays(year).items():
            if name in self.after_holidays:
                found[day + timedelta(self.after_holidays[name])] = f"day after {name}"
        return found


def _place(holiday: YearlyDay, year: int) -> date:
    if isinstance(holiday, FixedDay):
        return date(year, holiday.month, holiday.day)
    last = monthrange(year, holiday.month)[1]
    first = 1 + (holiday.weekday - date(year, holiday.month, 1).weekday()) % _DAYS_OF_WEEK
    days = range(first, last + 1, _DAYS_OF_WEEK)
    place = holiday.nth if holiday.nth < 0 else holiday.nth - 1
    return date(year, holiday.month, days[place])


def _observe(day: date, saturday_moves: bool) -> date | None:
    """Move a Sunday to Monday and a Saturday to Friday; None for a Saturday that does not move."""
    if day.weekday() == _SUNDAY:
        return day + timedelta(1)
    if day.weekday() == _SATURDAY:
        return day - timedelta(1) if saturday_moves else None
    return day


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by Butcher's method."""
    golden, century = year % 19, year // 100
    skipped = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    moon = skipped - (skipped // 28) * (1 - (29 // (skipped + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    shift = moon - weekday
    month = 3 + (shift + 40) // 44
    return date(year, month, shift + 28 - 31 * (month // 4))


def compile_calendar(c: Compiler) -> CalendarRules:
    """Read the calendar. Raises KnowledgeError naming the entry that does not fit."""
    id, days = _range(c)
    holidays = (*_yearly("calendar.fixed_holidays", c), *_yearly("calendar.floating_holidays", c))
    before_easter = _before_easter(c)
    names = [*(holiday.name for holiday in holidays), *before_easter]
    early_closes, after_holidays = _early_closes(c, names)
    closings = {
        parse_date("calendar.closings", day): name
        for day, name in c.table("calendar.closings").items()
    }
    fixed = [holiday.name for holiday in holidays if isinstance(holiday, FixedDay)]
    return CalendarRules(
        id=id,
        first=days["first"],
        last=days["last"],
        reviewed=days["reviewed"],
        holidays=holidays,
        since=_since(c, names),
        kept_on_saturday=_named("calendar.kept_on_saturday", c, fixed),
        before_easter=before_easter,
        bank_holidays=_yearly("calendar.bank_holidays", c),
        closings=closings,
        closings_counted=_days("calendar.closings_counted", c, closings),
        closings_interpreted=_days("calendar.closings_interpreted", c, closings),
        business_interpreted=_days("calendar.business_interpreted", c, closings),
        early_closes=early_closes,
        after_holidays=after_holidays,
    )


def _range(c: Compiler) -> tuple[str, dict[str, date]]:
    """The id of the calendar, and its first, last and reviewed day."""
    id = "calendar.range"
    span = c.texts(id, ("id", "first", "last", "reviewed"))
    days = {key: parse_date(id, span[key], key) for key in ("first", "last", "reviewed")}
    if days["first"] < _EARLIEST:
        raise entry_fault(id, "first", days["first"], f"a day from {_EARLIEST} on")
    if not days["first"] <= days["last"] <= _LATEST:
        expected = f"a day from first, {days['first']}, to {_LATEST}"
        raise entry_fault(id, "last", days["last"], expected)
    return span["id"], days


def _before_easter(c: Compiler) -> dict[str, int]:
    id = "calendar.easter_holidays"
    found = {}
    for name, text in c.table(id).items():
        if not re.fullmatch("-?[0-9]{1,2}", text) or int(text) not in _DAYS_BEFORE_EASTER:
            expected = (
                f"a whole number of days before Easter Sunday, from {_DAYS_BEFORE_EASTER[0]}"
                f" to {_DAYS_BEFORE_EASTER[-1]}"
            )
            raise entry_fault(id, name, text, expected)
        found[name] = int(text)
    return found


def _since(c: Compiler, names: Sequence[str]) -> dict[str, int]:
    """The first year of each holiday that was not always kept."""
    id = "calendar.holidays_since"
    found = {}
    for name, text in c.table(id).items():
        _check_name(id, name, names)
        if not re.fullmatch("[0-9]{4}", text):
            raise entry_fault(id, name, text, "a year of four digits")
        found[name] = int(text)
    return found


def _early_closes(
    c: Compiler, holidays: Sequence[str]
) -> tuple[tuple[FixedDay, ...], dict[str, int]]:
    """The early closes on a date, and the days after a holiday that close early."""
    id = "calendar.early_closes"
    fixed = []
    after: dict[str, int] = {}
    for name, text in c.table(id).items():
        found = _FOLLOWING.fullmatch(text)
        if found is None:
            fixed.append(_fixed(id, name, text, f"{_FIXED_EXPECTED}, or a holiday and a number"))
            continue
        _check_name(id, found[1], holidays, name)
        if found[1] in after:
            raise entry_fault(id, name, text, f"one early close after {found[1]}, which has one")
        after[found[1]] = int(found[2])
    return tuple(fixed), after


def _check_name(id: str, name: str, names: Sequence[str], field: str = "a name") -> None:
    """Raise KnowledgeError for a name that no holiday has: it would have no effect."""
    if name not in names:
        raise entry_fault(id, field, name, f"a holiday: {', '.join(names)}")


def _named(id: str, c: Compiler, names: Sequence[str]) -> frozenset[str]:
    found = c.words(id)
    for name in sorted(found):
        _check_name(id, name, names)
    return found


def _days(id: str, c: Compiler, closings: Mapping[date, str]) -> frozenset[date]:
    """Days of `calendar.closings`. Another day would have no effect."""
    found = frozenset(parse_date(id, day) for day in c.words(id))
    for day in sorted(found - closings.keys()):
        raise entry_fault(id, "a date", day, "a day of calendar.closings")
    return found


def _yearly(id: str, c: Compiler) -> tuple[YearlyDay, ...]:
    return tuple(_yearly_day(id, name, text) for name, text in c.table(id).items())


def _yearly_day(id: str, name: str, text: str) -> YearlyDay:
    if found := _FLOATING.fullmatch(text):
        return FloatingDay(name, int(found[1]), _WEEKDAYS.index(found[2]), int(found[3]))
    return _fixed(id, name, text, _YEARLY_EXPECTED)


def _fixed(id: str, name: str, text: str, expected: str) -> FixedDay:
    found = _FIXED.fullmatch(text)
    if found is None:
        raise entry_fault(id, name, text, expected)
    try:
        day = date(_COMMON_YEAR, int(found[1]), int(found[2]))
    except ValueError as error:
        raise entry_fault(id, name, text, expected) from error
    return FixedDay(name, day.month, day.day)
