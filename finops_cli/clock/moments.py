"""Moments in Eastern Time, without a time zone of the machine (regulatory-clock, section 2.1)."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from finops_cli.domain.clock_facts import DAY_PATTERN, MOMENT_PATTERN

_DAY, _MOMENT = re.compile(DAY_PATTERN), re.compile(MOMENT_PATTERN)
_MIDNIGHT_AT_THE_END = "T24"
"""ISO 8601 has it, Python reads it from 3.14 on, and a record has 00:00 of the next day."""
_STANDARD, _SUMMER = timedelta(hours=5), timedelta(hours=4)
_SUMMER_BEGINS, _SUMMER_ENDS = timedelta(hours=7), timedelta(hours=6)
"""The time of the change in UTC: 02:00 of standard time, and 02:00 of summer time."""
_LAW_OF_2005_FROM = 2007
_SUNDAY = 6
_WEEK = 7
_MARCH, _APRIL, _NOVEMBER = 3, 4, 11


def parse_day(text: str) -> date:
    """Read a day, YYYY-MM-DD.

    Raises ValueError for another form and for a day that does not exist.
    """
    if not _DAY.match(text):
        raise ValueError(f"{text} is not of the form YYYY-MM-DD")
    return date.fromisoformat(text)


def parse_moment(text: str) -> datetime:
    """Read a date or moment as Eastern Time; a date is its beginning, 00:00.

    Raises ValueError for another form than that of `clock_facts`, and for a day or a time that does
    not exist, such as 24:00, or the hour that the clocks skip in March.
    """
    if not _MOMENT.match(text):
        raise ValueError(f"{text} is not a day, and not a moment of the form YYYY-MM-DDTHH:MM")
    if _MIDNIGHT_AT_THE_END in text:
        raise ValueError(f"{text} has the hour 24; the day ends with 23:59")
    parsed = datetime.fromisoformat(text)
    offset = parsed.utcoffset()
    if offset is None:
        if _is_skipped(parsed):
            raise ValueError(f"{text} does not exist: the clocks go from 02:00 to 03:00")
        return parsed
    try:
        return to_eastern(parsed.replace(tzinfo=None) - offset)
    except OverflowError as error:
        raise ValueError(f"{text} is before or after every year that has days") from error


def to_eastern(utc: datetime) -> datetime:
    """Convert a moment in UTC, both without a time zone."""
    begins, ends = _summer_time(utc.year)
    return utc - (_SUMMER if begins <= utc < ends else _STANDARD)


def to_utc(eastern: datetime) -> datetime:
    """Convert a moment in Eastern Time; in the hour that occurs twice, summer time is taken."""
    begins, ends = _summer_time(eastern.year)
    in_summer = begins - _STANDARD <= eastern < ends - _SUMMER
    return eastern + (_SUMMER if in_summer else _STANDARD)


def _is_skipped(eastern: datetime) -> bool:
    """True in the hour that does not exist on the day when summer time begins."""
    begins, _ = _summer_time(eastern.year)
    return begins - _STANDARD <= eastern < begins - _SUMMER


def format_moment(moment: datetime) -> str:
    """Write a moment as YYYY-MM-DDTHH:MM, with seconds only where they are not 0."""
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def _summer_time(year: int) -> tuple[datetime, datetime]:
    """The first moment of summer time and of standard time of `year`, in UTC."""
    if year >= _LAW_OF_2005_FROM:
        begins, ends = _sunday(year, _MARCH, 2), _sunday(year, _NOVEMBER, 1)
    else:
        begins, ends = _sunday(year, _APRIL, 1), _sunday(year, _NOVEMBER, 1) - timedelta(_WEEK)
    midnight = datetime.min.time()
    return (
        datetime.combine(begins, midnight) + _SUMMER_BEGINS,
        datetime.combine(ends, midnight) + _SUMMER_ENDS,
    )


def _sunday(year: int, month: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((_SUNDAY - first.weekday()) % _WEEK + _WEEK * (number - 1))
