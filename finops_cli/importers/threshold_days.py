"""Threshold lists of several days: on which days a symbol is on a list.

The date of a list is in the name of its file, or in its rows. One file without a date holds for
every day: it gives the flag of a record, and no days. Symbols are compared without separators, and
their case counts.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ThresholdDay
from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.importers.symbols import compare_form
from finops_cli.importers.threshold_list import listed

_DAY_IN_NAME = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})(-?)([0-9]{2})\2([0-9]{2})(?![0-9])")
_ACCEPTED = "a name with one date, YYYYMMDD or YYYY-MM-DD, such as nasdaqth20261118.txt"
_CURE = "name each file by the day of its list"


def day_in_name(path: Path) -> str | None:
    """Return the ISO date in the name of a file; None for a name without one.

    Raises UsageError for two dates, and for a date that does not exist.
    """
    found = {match.group(1, 3, 4) for match in _DAY_IN_NAME.finditer(path.name)}
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(f"{path}: the name has {len(found)} dates; accepted: {_ACCEPTED}", _CURE)
    year, month, day = found.pop()
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError as error:
        raise UsageError(
            f"{path}: {year}{month}{day} in the name is not a day; accepted: {_ACCEPTED}", _CURE
        ) from error


class ThresholdLists:
    """The lists of some days. Memory holds, for each symbol, the days on which it is listed."""

    def __init__(self) -> None:
        self.days: list[str] = []
        """The days that have a list, in order, in ISO form."""
        self._files: dict[str, Path] = {}
        self._listed: dict[str, list[str]] = {}
        self._undated: dict[str, bool] = {}

    def read(self, paths: Sequence[Path]) -> Iterator[Damage]:
        """Read the lists and yield their damaged lines.

        Raises UsageError for a second list of a day, and for a file of several without a date.
        """
        for path in paths:
            name_day = day_in_name(path)
            claimed: set[str] = set()
            is_dated_by_row = False
            for entry in listed(path):
                if isinstance(entry, Damage):
                    yield entry
                    continue
                is_dated_by_row |= entry.date is not None
                day = entry.date or name_day
                if day is None:
                    _refuse_undated(path, paths)
                    self._undated[compare_form(entry.symbol)] = entry.threshold
                    continue
                self._claim(day, path, claimed)
                days = self._listed.setdefault(compare_form(entry.symbol), [])
                if entry.threshold:
                    days.append(day)
            if name_day is None and not is_dated_by_row:
                _refuse_undated(path, paths)
            elif name_day is not None and not is_dated_by_row:
                self._claim(name_day, path, claimed)  # a list without a row counts too

    def is_listed(self, symbol: str, day: str) -> bool | None:
        """True if `symbol` is listed on `day`, by the latest list up to it.

        None if no list up to the day is known, or no list names the symbol: it may belong to
        another market.
        """
        symbol = compare_form(symbol)
        if symbol in self._undated:
            return self._undated[symbol]
        latest = bisect_right(self.days, day) - 1
        if symbol not in self._listed or latest < 0:
            return None
        return self.days[latest] in self._listed[symbol]

    def days_of(self, symbol: str, until: str | None = None) -> tuple[ThresholdDay, ...]:
        """The days of the lists up to `until`, with the state of `symbol`.

        Empty if no list names the symbol.
        """
        symbol = compare_form(symbol)
        if symbol not in self._listed:
            return ()
        end = len(self.days) if until is None else bisect_right(self.days, until)
        on_list = {*self._listed[symbol]}
        return tuple(
            ThresholdDay(day, day in on_list)
            for day in self.days[max(0, end - limits.HISTORY_ROWS) : end]
        )

    def _claim(self, day: str, path: Path, claimed: set[str]) -> None:
        """Make `path` the list of `day`. Raises UsageError if another file is."""
        if day in claimed:
            return
        claimed.add(day)
        first = self._files.setdefault(day, path)
        if day in self.days:
            raise UsageError(
                f"{path} is a second threshold list of {day}, after {first}; accepted: one list"
                " a day",
                "give one list of each day; OCC publishes the lists of all markets as one",
            )
        insort(self.days, day)


def _refuse_undated(path: Path, paths: Sequence[Path]) -> None:
    """Raise UsageError for a list without a date that is not the only one."""
    if len(paths) > 1:
        raise UsageError(f"{path} has no date in its name; accepted: {_ACCEPTED}", _CURE)
