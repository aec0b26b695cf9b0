"""Dates as desks write them. Only a format that the desk gives separates day and month.

Without a format a date is `2026-11-18` or `20261118`. No locale takes part: `%b` is an English
month of three letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
_TIME = re.compile(
    r"""
    [ T]+ (?P<hour>[0-9]{1,2}) : (?P<minute>[0-9]{2})
    (?: : (?P<second>[0-9]{2}) (?: [.,][0-9]{1,9} )? )?
    (?: [ ]? (?P<half>[AP]) [.]?M[.]? )?
    (?: [ ]? (?P<zone>Z | UTC | GMT | E[SD]?T | [+-][0-9]{2}:?[0-9]{2}) )? $
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A time of day behind a date."""
_EASTERN = frozenset({"ET", "EST", "EDT"})
_FIRST_DAY = "1900-01-01"
"""An earlier day is a year of two digits that something filled with zeros."""
_SERIAL = re.compile(r"[0-9]{5}(?:[.,][0-9]{1,12})?")
_SERIALS = range(29_221, 73_051)
"""The day numbers of Excel for 1980 to 2099."""
SERIAL_FIX = "format the column as a date (YYYY-MM-DD) in the spreadsheet, and save the file again"


class DateFault(ValueError):
    """Why a text is not a date, or not one date only."""

    def __init__(self, why: str = "", fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        """It completes "CELL is TEXT, "; or is empty."""
        self.fix = fix
        """How to read the text; or empty."""


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


def read_day(text: str, formats: Sequence[str]) -> str:
    """Return an ISO date from a text in one of `formats`, or in ISO form where no format is given.

    A time of day is left out. Raises DateFault.
    """
    found = _TIME.search(text)
    if found is None:
        return _read_date(text, formats)
    day = _read_date(text[: found.start()], formats)
    _read_time(found)
    if found["zone"] and found["zone"].upper() not in _EASTERN:
        raise DateFault(
            "a moment with a time zone, which may be another day in New York",
            "write the date in Eastern Time without a zone, such as 2026-11-18",
        )
    return day


def read_moment(text: str, formats: Sequence[str]) -> str:
    """Return a date or a moment in ISO form, as `read_day` does. Raises DateFault."""
    found = _TIME.search(text)
    if found is None:
        return _read_date(text, formats)
    try:
        day = _read_date(text[: found.start()], formats)
    except DateFault:
        return _read_iso_moment(text)
    time = _read_time(found)
    if found["zone"] and found["zone"].upper() not in _EASTERN:
        if not formats:
            return _read_iso_moment(text)
        raise DateFault(
            "a moment with a time zone",
            "write it as 2026-11-18T08:30-05:00, or in Eastern Time without a zone",
        )
    return f"{day}T{time}"


def _read_iso_moment(text: str) -> str:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise DateFault() from error


def _read_time(found: re.Match[str]) -> str:
    """Return HH:MM or HH:MM:SS. Raises DateFault for a time that no clock shows."""
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    half = (found["half"] or "").upper()
    if minute > 59 or second > 59 or hour > 23 or (half and not 1 <= hour <= 12):
        raise DateFault("with a time of day that does not exist")
    if half:
        hour = hour % 12 + (12 if half == "P" else 0)
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if found["second"] else "")


def _read_date(text: str, formats: Sequence[str]) -> str:
    read = set()
    for each in formats or (None,):
        try:
            read.add(parse_date(text) if each is None else parse_with_format(text, each))
        except ValueError:
            continue
    if len(read) == 1 and (day := min(read)) >= _FIRST_DAY:
        return day
    if len(read) == 1:
        raise DateFault(f"a date before {_FIRST_DAY}", "write the year with four digits")
    if read:
        raise DateFault(
            f"which the formats of the mapping read as {' and as '.join(sorted(read))}",
            "leave one of the formats out of csv: {dates: [...]} in the mapping",
        )
    if _SERIAL.fullmatch(text) and int(text[:5]) in _SERIALS:
        raise DateFault("a day number of a spreadsheet", SERIAL_FIX)
    raise DateFault()


def find_overlap(formats: Sequence[str]) -> tuple[str, str, str] | None:
    """Find two formats that can both read one text, and that text."""
    for number, first in enumerate(formats):
        for second in formats[number + 1 :]:
            for text in (*_samples(first), *_samples(second)):
                if _reads(text, first) and _reads(text, second):
                    return first, second, text
    return None


def _samples(date_format: str) -> Iterator[str]:
    """Yield texts in `date_format` whose parts could be other parts as well."""
    for year, month, day in ((2010, 11, 12), (2011, 1, 2), (2012, 10, 9), (2020, 11, 12)):
        for width in (2, 1):
            parts = {
                "Y": str(year),
                "y": f"{year % 100:02}",
                "m": f"{month:0{width}}",
                "b": _MONTHS[month - 1],
                "d": f"{day:0{width}}",
                "%": "%",
            }
            text = "".join(
                literal or parts[directive] for directive, literal in _PIECE.findall(date_format)
            )
            if _reads(text, date_format):
                yield text


def _reads(text: str, date_format: str) -> bool:
    try:
        parse_with_format(text, date_format)
    except ValueError:
        return False
    return True
