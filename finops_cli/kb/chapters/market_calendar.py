"""The calendar of US equities: holidays as rules, unscheduled closings as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler, parse_date

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_FIXED = re.compile(r"(0[1-9]|1[0-2])-([0-2][0-9]|3[01])")
_FLOATING = re.compile(rf"(0[1-9]|1[0-2]) ({'|'.join(_WEEKDAYS)}) (-1|[1-5])")
_FOLLOWING = re.compile(r"(.+) ([0-9]{1,2})")
_SATURDAY, _SUNDAY = 5, 6


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


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CalendarRules:
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
    days = [day for day in _days_of_month(year, holiday.month) if day.weekday() == holiday.weekday]
    return days[holiday.nth if holiday.nth < 0 else holiday.nth - 1]


def _days_of_month(year: int, month: int) -> Iterator[date]:
    day = date(year, month, 1)
    while day.month == month:
        yield day
        day += timedelta(1)


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
    span = c.texts("calendar.range", ("id", "first", "last", "reviewed"))
    days = {key: parse_date("calendar.range", span[key]) for key in ("first", "last", "reviewed")}
    since = c.table("calendar.holidays_since")
    early = c.table("calendar.early_closes")
    following = {
        name: found for name, text in early.items() if (found := _FOLLOWING.fullmatch(text))
    }
    return CalendarRules(
        id=span["id"],
        first=days["first"],
        last=days["last"],
        reviewed=days["reviewed"],
        holidays=(
            *_yearly("calendar.fixed_holidays", c),
            *_yearly("calendar.floating_holidays", c),
        ),
        since={name: _year("calendar.holidays_since", text) for name, text in since.items()},
        kept_on_saturday=c.words("calendar.kept_on_saturday"),
        before_easter={
            name: int(text) for name, text in c.table("calendar.easter_holidays").items()
        },
        bank_holidays=_yearly("calendar.bank_holidays", c),
        closings={
            parse_date("calendar.closings", day): name
            for day, name in c.table("calendar.closings").items()
        },
        closings_counted=_days("calendar.closings_counted", c),
        closings_interpreted=_days("calendar.closings_interpreted", c),
        business_interpreted=_days("calendar.business_interpreted", c),
        early_closes=tuple(
            _fixed("calendar.early_closes", name, text)
            for name, text in early.items()
            if name not in following
        ),
        after_holidays={found[1]: int(found[2]) for found in following.values()},
    )


def _days(id: str, c: Compiler) -> frozenset[date]:
    return frozenset(parse_date(id, day) for day in c.words(id))


def _yearly(id: str, c: Compiler) -> tuple[YearlyDay, ...]:
    return tuple(_yearly_day(id, name, text) for name, text in c.table(id).items())


def _yearly_day(id: str, name: str, text: str) -> YearlyDay:
    if found := _FLOATING.fullmatch(text):
        return FloatingDay(name, int(found[1]), _WEEKDAYS.index(found[2]), int(found[3]))
    return _fixed(id, name, text)


def _fixed(id: str, name: str, text: str) -> FixedDay:
    found = _FIXED.fullmatch(text)
    if found is None:
        raise KnowledgeError(
            f"kb entry {id}: {name} is {text}. Expected a month and a day such as 12-25, or a"
            " month, a weekday and its number such as 01 Monday 3."
        )
    return FixedDay(name, int(found[1]), int(found[2]))


def _year(id: str, text: str) -> int:
    if not re.fullmatch("[0-9]{4}", text):
        raise KnowledgeError(f"kb entry {id}: {text} is given. Expected a year.")
    return int(text)
