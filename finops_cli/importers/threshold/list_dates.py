"""The date of a threshold list: in its last line, else in the name of its file, else as given."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from finops_cli.errors import UsageError
from finops_cli.importers.dates import DATE_ACCEPTED, parse_date
from finops_cli.importers.stream import Note
from finops_cli.importers.threshold.lists import ThresholdList

_DAY_IN_NAME = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})([-_.]?)([0-9]{2})\2([0-9]{2})(?![0-9])")
_ACCEPTED = "a name with one date, YYYYMMDD or YYYY-MM-DD, such as nasdaqth20261118.txt"
_CURE = "name each file by the day of its list, or give --list-date YYYY-MM-DD"


def day_in_name(name: str, shown: str = "") -> str | None:
    """Return the ISO date in the name of a file; None for a name without one.

    `shown` is the file in a message. Raises UsageError for two dates, and for a day
    that does not exist.
    """
    found = {match.group(1, 3, 4) for match in _DAY_IN_NAME.finditer(name)}
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(
            f"{shown or name}: the name has {len(found)} dates; accepted: {_ACCEPTED}", _CURE
        )
    year, month, day = found.pop()
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError as error:
        raise UsageError(
            f"{shown or name}: {year}{month}{day} in the name is not a day; accepted: {_ACCEPTED}",
            _CURE,
        ) from error


class FoundDate(NamedTuple):
    """The ISO date of a list, and what is to be told about it."""

    date: str
    note: Note | None = None


class ListDates:
    """Finds the dates of lists."""

    def __init__(self, given: str | None) -> None:
        """`given`: the value of --list-date. Raises UsageError."""
        try:
            self._given = None if given is None else parse_date(given)
        except ValueError as error:
            raise UsageError(
                f"--list-date is {given!r}; accepted: {DATE_ACCEPTED}", "give the day of the list"
            ) from error
        self._is_used = False

    @property
    def is_needless(self) -> bool:
        """True if a date was given that no list so far has taken."""
        return self._given is not None and not self._is_used

    def find(self, part: ThresholdList) -> FoundDate:
        """Find the date of a list; empty where each of its rows has one. Raises UsageError."""
        if part.has_dated_rows:
            return FoundDate("")
        if part.closing_date is not None:
            return FoundDate(part.closing_date, _note_other_name(part, part.closing_date))
        named = day_in_name(part.file.own_name, part.shown)
        if named is not None:
            return FoundDate(named)
        if self._given is None:
            raise UsageError(
                f"{part.shown} has no date, neither in its last line nor in its name; accepted:"
                f" {_ACCEPTED}",
                _CURE,
            )
        self._is_used = True
        return FoundDate(self._given)


def _note_other_name(part: ThresholdList, closing_date: str) -> Note | None:
    """Return a note if the name of the file has another date than the last line, which counts."""
    try:
        named = day_in_name(part.file.own_name)
    except UsageError:
        return None
    if named in (None, closing_date):
        return None
    text = f"is taken as the list of {closing_date}, as its last line says, not of {named}"
    return Note(part.shown, text)
