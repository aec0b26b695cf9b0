"""Threshold lists of several days and markets: is a symbol on a list of a day?

The lists of one day are united. The date of a list is the one in its rows, else in its last line,
else in the name of its file, else the date that the caller gives. A day without a list of a market
takes the latest earlier one of that market, never a later one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ThresholdDay
from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.importers.stream import Note
from finops_cli.importers.symbols import compare_form
from finops_cli.importers.threshold.list_dates import ListDates
from finops_cli.importers.threshold.lists import ThresholdList, read_lists
from finops_cli.importers.threshold.shapes import CBOE, NYSE, OCC, Listed

_SEVERAL_MARKETS = (NYSE, CBOE)
"""Houses that publish a list for each of their markets. An empty one does not say of which."""
_SHOWN = 5
"""The symbols that a message names."""


class Market(NamedTuple):
    """The publisher of a list, and the market that it is about."""

    house: str
    category: str = ""
    """The market category in the rows of NYSE, which publishes a list for each."""


class ListState(NamedTuple):
    """The answer for a symbol and a day: listed or not, and how it is known."""

    listed: bool | None
    """None: no list up to the day, or none names the symbol. It may belong to another market."""
    date: str | None = None
    """The day of the list that says so."""
    is_assumed: bool = False
    """The list that decides is of an earlier day, or damaged."""
    symbol: str = ""
    """The symbol as the lists write it."""


class _DayList(NamedTuple):
    """The symbols of a market on a day, and the list that has them."""

    source: ThresholdList
    flags: dict[str, bool]
    is_damaged: bool


class ThresholdLists:
    """The lists of some days. Memory holds the symbols of each list."""

    def __init__(self, list_date: str | None = None) -> None:
        """`list_date`: the date of lists that have none themselves. Raises UsageError."""
        self.days: list[str] = []
        """The days that have a list, in order, in ISO form."""
        self._list_dates = ListDates(list_date)
        self._lists: dict[Market, dict[str, _DayList]] = {}
        self._dates: dict[Market, list[str]] = {}
        self._written: dict[str, str] = {}
        """How the lists write a symbol, by the form in which symbols are compared."""
        self._markets: dict[str, set[Market]] = {}
        self._threshold: set[str] = set()
        self._met: set[str] = set()
        self._current: dict[str, dict[Market, str]] = {}
        self._count = 0

    def read(self, paths: Iterable[Path]) -> Iterator[Damage | Note]:
        """Read the lists, and yield their damaged lines and what was noted.

        The order of `paths` does not matter. Raises UsageError for two lists of a market and a day
        that differ, and for a list without a date.
        """
        for path in sorted(set(paths), key=str):
            for part in read_lists(path):
                if not isinstance(part, ThresholdList):
                    yield part
                    continue
                self._count += 1
                found = self._list_dates.find(part)
                if found.note is not None:
                    yield found.note
                yield from self._add(part, found.date)
        if self._list_dates.is_needless:
            yield Note("--list-date", "was not used: no list lacks a date")
        self._dates = {market: sorted(days) for market, days in self._lists.items()}
        self.days = sorted({day for days in self._lists.values() for day in days})

    def state_of(self, symbol: str, day: str) -> ListState:
        """Return whether `symbol` is on a list of the ISO date `day`, or on the latest before."""
        form = compare_form(symbol)
        if form not in self._markets:
            return ListState(None)
        self._met.add(form)
        return self._state(form, day)

    def days_of(self, symbol: str, until: str | None = None) -> tuple[ThresholdDay, ...]:
        """Return the days of the lists up to `until`, with the state of `symbol`.

        Empty if no list names the symbol.
        """
        form = compare_form(symbol)
        if form not in self._markets:
            return ()
        self._met.add(form)
        return tuple(
            ThresholdDay(day, self._state(form, day).listed or False)
            for day in self._days_up_to(until)
        )

    def has_assumed_days(self, symbol: str, until: str) -> bool:
        """True if a day of `days_of` takes the state of `symbol` from a list of another day."""
        form = compare_form(symbol)
        return form in self._markets and any(
            self._state(form, day).is_assumed for day in self._days_up_to(until)
        )

    def _days_up_to(self, until: str | None) -> list[str]:
        end = len(self.days) if until is None else bisect_right(self.days, until)
        return self.days[max(0, end - limits.HISTORY_ROWS) : end]

    def describe(self) -> Note | None:
        """Say how many listed symbols were not asked for; None without a list."""
        if not self._count:
            return None
        unmet = sorted(self._written[form] for form in self._threshold - self._met)
        names = ", ".join(unmet[:_SHOWN]) + (", ..." if len(unmet) > _SHOWN else "")
        span = f" ({' to '.join(sorted({*self.days[:1], *self.days[-1:]}))})" if self.days else ""
        return Note(
            "--threshold-list",
            f"lists {self._count:,}  days {len(self.days):,}{span}  threshold securities"
            f" {len(self._threshold):,}  without a row {len(unmet):,}"
            + (f": {names}" if unmet else ""),
            is_summary=True,
        )

    def _state(self, form: str, day: str) -> ListState:
        current = self._current_dates(day)
        on_list = [
            listed_on
            for market, listed_on in current.items()
            if self._lists[market][listed_on].flags.get(form)
        ]
        if on_list:
            decides = max(on_list)
        else:
            own = [self._decides(market, current) for market in self._markets[form]]
            decides = min((listed_on for listed_on in own if listed_on), default="")
        if not decides:
            return ListState(None)
        is_assumed = decides < day or (not on_list and self._is_damaged(decides, current))
        return ListState(bool(on_list), decides, is_assumed, self._written[form])

    def _is_damaged(self, day: str, current: dict[Market, str]) -> bool:
        """True if a list of `day` may lack a row: that a symbol is not in it proves nothing."""
        return any(
            self._lists[market][listed_on].is_damaged
            for market, listed_on in current.items()
            if listed_on == day
        )

    def _decides(self, market: Market, current: dict[Market, str]) -> str:
        """Return the date of the list that is now about `market`; empty without one."""
        return max(current.get(each, "") for each in (market, Market(market.house), Market(OCC)))

    def _current_dates(self, day: str) -> dict[Market, str]:
        """Return the date of each market's latest list up to `day`.

        A later list of OCC, which is of all markets, and a later empty one of the same house
        replace a list.
        """
        known = self._current.get(day)
        if known is not None:
            return known
        latest = {
            market: days[place - 1]
            for market, days in self._dates.items()
            if (place := bisect_right(days, day))
        }
        current = {
            market: listed_on
            for market, listed_on in latest.items()
            if listed_on >= max(latest.get(Market(OCC), ""), latest.get(Market(market.house), ""))
        }
        self._current[day] = current
        return current

    def _add(self, part: ThresholdList, day: str) -> Iterator[Note]:
        """Add the rows of a list of `day`, or of the days that its rows have."""
        found: dict[tuple[Market, str], list[Listed]] = {}
        if not part.rows:
            found[Market(part.house), day] = []
        for row in part.rows:
            market = Market(part.house, row.category if part.house == NYSE else "")
            found.setdefault((market, row.date or day), []).append(row)
        for (market, own_day), rows in found.items():
            flags: dict[str, bool] = {}
            for row in rows:
                form = compare_form(row.symbol)
                flags[form] = flags.get(form, False) or row.threshold
                self._written[form] = min(self._written.get(form, row.symbol), row.symbol)
                self._markets.setdefault(form, set()).add(market)
                if row.threshold:
                    self._threshold.add(form)
            yield from self._unite(market, own_day, _DayList(part, flags, part.is_damaged))

    def _unite(self, market: Market, day: str, added: _DayList) -> Iterator[Note]:
        days = self._lists.setdefault(market, {})
        first = days.setdefault(day, added)
        if first is added:
            return
        mine, other = _on(added.flags), _on(first.flags)
        is_page = first.source.file == added.source.file and added.source.has_dated_rows
        if is_page:  # of one query: the pages have different symbols
            shared = first.flags.keys() & added.flags.keys()
            mine, other = mine & shared, other & shared
        if mine != other and not (market.house in _SEVERAL_MARKETS and not (mine and other)):
            raise _refuse_difference(market, day, first, added)
        if mine and not is_page:
            yield Note(
                added.source.shown, f"is the list of {day} that {first.source.shown} has too"
            )
        flags = {
            form: first.flags.get(form, False) or added.flags.get(form, False)
            for form in first.flags | added.flags
        }
        days[day] = _DayList(first.source, flags, first.is_damaged or added.is_damaged)


def _on(flags: dict[str, bool]) -> set[str]:
    return {form for form, threshold in flags.items() if threshold}


def _refuse_difference(market: Market, day: str, first: _DayList, added: _DayList) -> UsageError:
    differing = sorted(_on(first.flags) ^ _on(added.flags))
    names = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
    category = f", market {market.category}" if market.category else ""
    return UsageError(
        f"{first.source.shown} and {added.source.shown} are lists of {market.house}{category} of"
        f" {day} that differ: only one of them has {names}",
        "give the right one of the two; if they are of two days, correct the date of one, and if"
        " they are pages of one query, join them to one file",
    )
