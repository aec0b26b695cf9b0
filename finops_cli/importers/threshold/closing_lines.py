"""The last lines of threshold lists: a time at which the list was made, or a count of its rows.

20210128210501    20210128|    2021-01-28 23:00:17    File Creation Date: 20210128230017
File Creation Time: 0128202123:00    0000001
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

CLOSING_ACCEPTED = (
    "YYYYMMDD with or without a time, YYYY-MM-DD HH:MM:SS, File Creation Date: YYYYMMDD, or a count"
    " of rows"
)
_TITLE = re.compile(r"File Creation (Time|Date)\b *:? *", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"((?:19|20)[0-9]{2})(-?)([0-9]{2})\2([0-9]{2})(?:[T ]?[0-9:.]{2,12})?")
_MONTH_FIRST = re.compile(r"([0-9]{2})([-/]?)([0-9]{2})\2((?:19|20)[0-9]{2})(?: ?[0-9:]{4,8})?")
# a longer number that begins with another digit is a time that was cut
_COUNT = re.compile(r"0[0-9]{0,9}|[0-9]{1,6}")
_DIGITS = re.compile(r"[0-9][0-9 :./T-]*")


class Closing(NamedTuple):
    """A last line: the ISO date or the count that it states. Neither: it cannot be read."""

    date: str | None = None
    rows: int | None = None


def read_closing(text: str) -> Closing | None:
    """Read a last line; None if the line is something else, such as a row."""
    given = text.strip(" |\t")
    title = _TITLE.match(given)
    stated = given[title.end() :] if title is not None else given
    if title is None and _DIGITS.fullmatch(stated) is None:
        return None
    day = _find_date(stated)
    if day is not None:
        return Closing(date=day)
    if title is None and _COUNT.fullmatch(stated):
        return Closing(rows=int(stated))
    return Closing()


def _find_date(text: str) -> str | None:
    """Find a date by its year: no month or day is 19 or 20 hundred, so two readings never fit."""
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None:
        return _iso(found[1], found[3], found[4])
    found = _MONTH_FIRST.fullmatch(text)
    return None if found is None else _iso(found[4], found[1], found[3])


def _iso(year: str, month: str, day: str) -> str | None:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None
