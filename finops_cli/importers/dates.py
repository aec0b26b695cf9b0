"""Dates as desks write them. Only a format that the desk gives separates day and month.

Without a format a date is `2026-11-18` or `20261118`. No locale takes part: `%b` is an English
month of three letters.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from finops_cli.clock import moments

DATE_ACCEPTED = "a date, YYYY-MM-DD or YYYYMMDD"
MOMENT_ACCEPTED = "YYYY-MM-DD, YYYYMMDD or YYYY-MM-DDTHH:MM (Eastern Time without an offset)"
FORMAT_ACCEPTED = (
    "a year (%Y or %y), a month (%m or %b) and a day (%d), each once, such as %m/%d/%Y or %d.%m.%Y"
)
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})|([0-9]{4})([0-9]{2})([0-9]{2})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIRECTIVES = {
    "Y": ("year", "[0-9]{4}"),
    "y": ("year", "[0-9]{2}"),
    "m": ("month", "[0-9]{1,2}"),
    "b": ("month", "[A-Za-z]{3}"),
    "d": ("day", "[0-9]{1,2}"),
}
_PIECE = re.compile(r"%(.?)|([^%]+)", re.DOTALL)


def parse_date(text: str) -> str:
    """Return an ISO date from `2026-11-18` or `20261118`. Raises ValueError for other text."""
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(DATE_ACCEPTED)
    year, month, day = (part for part in found.groups() if part is not None)
    return date(int(year), int(month), int(day)).isoformat()


def parse_moment(text: str) -> str:
    """Return a date or a moment in ISO form. Raises ValueError for other text."""
    if _ISO.fullmatch(text):
        return parse_date(text)
    moment = text.replace(" ", "T", 1)
    moments.parse_moment(moment)
    return moment


@lru_cache(maxsize=16)
def compile_format(text: str) -> re.Pattern[str]:
    """Return the pattern of a date format such as `%m/%d/%Y`. Raises ValueError for other text."""
    pattern = ""
    parts: list[str] = []
    for directive, literal in _PIECE.findall(text):
        if literal:
            pattern += re.escape(literal)
        elif directive == "%":
            pattern += "%"
        elif directive in _DIRECTIVES:
            part, digits = _DIRECTIVES[directive]
            parts.append(part)
            pattern += f"(?P<{part}>{digits})" if parts.count(part) == 1 else ""
        else:
            raise ValueError(FORMAT_ACCEPTED)
    if sorted(parts) != ["day", "month", "year"]:
        raise ValueError(FORMAT_ACCEPTED)
    if ")(?P<" in pattern:  # no separator tells where a part of one digit ends
        pattern = pattern.replace("{1,2}", "{2}")
    return re.compile(pattern)


def parse_with_format(text: str, date_format: str) -> str:
    """Return an ISO date from a text in `date_format`. Raises ValueError for other text."""
    found = compile_format(date_format).fullmatch(text)
    if found is None:
        raise ValueError(date_format)
    year, month, day = found["year"], found["month"].lower(), found["day"]
    number = _MONTHS.index(month) + 1 if month.isalpha() else int(month)
    return date(int(year) + (2000 if len(year) == 2 else 0), number, int(day)).isoformat()
