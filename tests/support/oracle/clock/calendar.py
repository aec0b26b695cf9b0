"""The calendar of section 3, the settlement cycles of section 4 and the times of section 2.1."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import cache

DAY = timedelta(days=1)
FIRST, LAST = date(2004, 1, 1), date(2028, 12, 31)
MON, THU = 0, 3

CLOSINGS = {  # day: does it count towards S+1 and S+3 of Rule 204 (section 3.4)?
    date(2004, 6, 11): False,
    date(2007, 1, 2): False,
    date(2012, 10, 29): True,
    date(2012, 10, 30): True,
    date(2018, 12, 5): False,
    date(2025, 1, 9): False,
}
CYCLES = ((date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3))

Kind = Callable[[date], bool]


class Refused(Exception):
    """A fact that the clock does not accept, with its field."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"{field}: {value!r}")
        self.field, self.value = field, value


def nth(year: int, month: int, weekday: int, n: int) -> date:
    """Return the n-th such weekday of the month; n = -1 is the last one."""
    days = [date(year, month, 1) + i * DAY for i in range(31)]
    days = [d for d in days if d.month == month and d.weekday() == weekday]
    return days[n - 1 if n > 0 else n]


def easter(year: int) -> date:
    """Return Easter Sunday (the algorithm of Meeus, Jones and Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return date(year, month, day + 1)


@cache
def exchange_holidays(year: int) -> frozenset[date]:
    """Return the scheduled exchange holidays that are kept in a year (section 3.2)."""
    days = {
        nth(year, 1, MON, 3),
        nth(year, 2, MON, 3),
        easter(year) - 2 * DAY,
        nth(year, 5, MON, -1),
        nth(year, 9, MON, 1),
        nth(year, 11, THU, 4),
    }
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 12, 25)]
    for day in [*fixed, *([date(year, 6, 19)] if year >= 2022 else [])]:
        if day.weekday() == 6:
            days.add(day + DAY)
        elif day.weekday() < 5:
            days.add(day)
        elif day.month != 1:
            days.add(day - DAY)
    return frozenset(days)


@cache
def bank_holidays(year: int) -> frozenset[date]:
    """Return Columbus Day and Veterans Day: a Sunday moves to Monday, a Saturday nowhere."""
    veterans = date(year, 11, 11)
    return frozenset(
        {nth(year, 10, MON, 2), veterans + DAY if veterans.weekday() == 6 else veterans}
    )


def inside(day: date) -> date:
    """Return the day.

    Raises Refused when it lies outside the built-in calendar.
    """
    if not FIRST <= day <= LAST:
        raise Refused("calendar", day.isoformat())
    return day


def business(day: date) -> bool:
    """True on weekdays that are not exchange holidays."""
    return inside(day).weekday() < 5 and day not in exchange_holidays(day.year)


def trades(day: date) -> bool:
    """True when the exchanges open."""
    return business(day) and day not in CLOSINGS


def settles(day: date) -> bool:
    """True when trades settle; an unscheduled closing settles, a bank holiday does not."""
    return business(day) and day not in bank_holidays(day.year)


def counts_204(day: date) -> bool:
    """True when the day counts for Rule 204."""
    return settles(day) and CLOSINGS.get(day, True)


def every(day: date) -> bool:
    """True: each calendar day counts."""
    return inside(day) == day


def add(day: date, n: int, kind: Kind) -> date:
    """Return the n-th day of a kind after `day`, or before it when n is negative."""
    step = DAY if n > 0 else -DAY
    for _ in range(abs(n)):
        day += step
        while not kind(day):
            day += step
    return covered(day)


def covered(day: date) -> date:
    """Return a day that the calendar has.

    Raises Refused.
    """
    if not FIRST <= day <= LAST:
        raise Refused("calendar", day.isoformat())
    return day


def shown(day: date, n: int, kind: Kind) -> date | None:
    """Return what `add` does, for a date that binds nobody; None outside the calendar."""
    try:
        return add(day, n, kind)
    except Refused:
        return None


def on_or_before(day: date, kind: Kind) -> date:
    """Return the last day of a kind that is not after `day`."""
    while not kind(day):
        day -= DAY
    return day


def count(start: date, end: date, kind: Kind) -> int:
    """Count the days of a kind in (start, end]; negative when `end` is before `start`."""
    if end < start:
        return -count(end, start, kind)
    return sum(kind(start + i * DAY) for i in range(1, (end - start).days + 1))


def days(start: date, end: date, kind: Kind) -> list[date]:
    """List the days of a kind in [start, end]."""
    span = [start + i * DAY for i in range((end - start).days + 1)]
    return [d for d in span if kind(d)]


def cycle(trade: date) -> int:
    """Return n of T+n on a trade date."""
    for start, n in CYCLES:
        if trade >= start:
            return n
    raise Refused("trade_date", trade.isoformat())


def regular_way(trade: date) -> date:
    """Return the settlement date of a trade date."""
    return add(trade, cycle(trade), settles)


def trade_date_for(settlement: date) -> date:
    """Return the earliest trade date that settles regular way on a day.

    If no trade date settles on it, return the last trade date that settles before it.
    """
    exact, before = [], []
    day = settlement
    while len(before) < 1:
        day -= DAY
        if not trades(day):
            continue
        if regular_way(day) == settlement:
            exact.append(day)
        elif regular_way(day) < settlement:
            before.append(day)
    return exact[-1] if exact else before[0]


def close(day: date) -> datetime:
    """Return the end of regular trading hours: 13:00 on early closes, else 16:00 (section 3.6)."""
    after_thanksgiving = day == nth(day.year, 11, THU, 4) + DAY
    eve = (day.month, day.day) in ((12, 24), (7, 3)) and trades(day)
    return at(day, 13 if after_thanksgiving or eve else 16)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """Return a moment of a day, in Eastern Time."""
    return datetime.combine(day, time(hour, minute))  # Eastern Time, by definition


def to_eastern(utc: datetime) -> datetime:
    """Convert a naive moment of UTC (section 2.1)."""
    y, sunday = utc.year, 6
    if y >= 2007:
        start, end = nth(y, 3, sunday, 2), nth(y, 11, sunday, 1)
    else:
        start, end = nth(y, 4, sunday, 1), nth(y, 10, sunday, -1)
    summer = at(start, 7) <= utc < at(end, 6)
    return utc - timedelta(hours=4 if summer else 5)


def parse_day(field: str, text: str) -> date:
    """Return a day of the calendar.

    Raises Refused.
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise Refused(field, text)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Refused(field, text) from None
    if not FIRST <= day <= LAST:
        raise Refused(field, text)
    return day


def parse_moment(field: str, text: str) -> datetime:
    """Return a moment in Eastern Time, whose day is in the calendar.

    Raises Refused.
    """
    form = r"(\d{4}-\d\d-\d\d)(?:T(\d\d):(\d\d)(?::(\d\d))?(Z|[+-]\d\d:\d\d)?)?"
    found = re.fullmatch(form, text)
    if found is None:
        raise Refused(field, text)
    day, hour, minute, second, offset = found.groups()
    try:
        moment = at(date.fromisoformat(day), int(hour or 0), int(minute or 0))
        moment = moment.replace(second=int(second or 0))
    except ValueError:
        raise Refused(field, text) from None
    if offset is not None:
        if offset != "Z":
            ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
            moment -= ahead if offset[0] == "+" else -ahead
        moment = to_eastern(moment)
    if not FIRST <= moment.date() <= LAST:
        raise Refused(field, text)
    return moment
