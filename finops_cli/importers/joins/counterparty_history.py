"""`--counterparty-history FILE`: the fail rate of each counterparty over the last settlement days.

    date,counterparty,trades,fails
    2026-11-24,DTC-0352,410,13

The rate is 100 x fails / trades over the days of kb `join.counterparty_days` before the day of
as-of (card 1: "counterparty 15-day fail rate").
"""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.domain.fail import Dtc
from finops_cli.domain.finding import Problem
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers import dates
from finops_cli.importers.mapped_rows.cells import whole
from finops_cli.importers.row_files import Column, GivenRow, RowFaults, RowLayout, read_rows
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

Trades = Annotated[int, Meta(ge=0, le=10**12)]
_NUMBER = re.compile("[0-9]{1,4}")
_COUNT = Column(whole, "a whole number, such as 410 or 1,410")


class CounterpartyDay(Struct, frozen=True, forbid_unknown_fields=True):
    """The trades with a counterparty on one settlement day, and those of them that failed."""

    date: str
    counterparty: Dtc
    trades: Trades
    fails: Trades


class CounterpartyRate(NamedTuple):
    """The fail rate of a counterparty, and the counts that it comes from."""

    pct: Decimal
    trades: int
    fails: int
    first_day: date
    last_day: date


def read_participant(text: str) -> str:
    """Return the DTC participant of a cell: 352 and 0352 are DTC-0352."""
    return f"DTC-{int(text):04d}" if _NUMBER.fullmatch(text) else text


_CODEC = Codec("counterparty-day", CounterpartyDay, {})
_LAYOUT = RowLayout(
    {
        "date": Column(dates.parse_date, dates.DATE_ACCEPTED),
        "counterparty": Column(read_participant),
        "trades": _COUNT,
        "fails": _COUNT,
    },
    required=(("date",), ("counterparty",), ("trades",), ("fails",)),
)


class CounterpartyHistory:
    """The trades and fails of each counterparty by day, on disk."""

    def __init__(self, path: Path, kb: KnowledgeBase, calendar: Calendar) -> None:
        """Read the file. Raises UsageError that lists every fault."""
        self._rules = kb.joins
        self._bands = kb.scoring.cp_history_factor
        self._calendar = calendar
        self._table = TemporaryTable(
            "CREATE TABLE days (counterparty TEXT, day TEXT, trades INTEGER, fails INTEGER,"
            " line INTEGER, PRIMARY KEY (counterparty, day)) WITHOUT ROWID"
        )
        faults = RowFaults(path)
        for given in read_rows(path, _LAYOUT):
            faults.add(given.line, self._take(given))
        faults.refuse()
        self.rate = lru_cache(maxsize=4096)(self._rate)

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def _take(self, given: GivenRow) -> list[Problem]:
        """Add a row to the index, or return its problems."""
        fields = dict(given.fields)
        if given.problems:
            return given.problems
        if isinstance(fields.get("counterparty"), str):
            fields["counterparty"] = read_participant(fields["counterparty"])
        row = _CODEC.read(fields)
        if row is None:
            return _CODEC.explain(fields)
        try:
            day = date.fromisoformat(dates.parse_date(row.date))
            settles = self._calendar.is_counted(day, "settlement")
        except ValueError:
            return [unusable("schema.format", "date", row.date, dates.DATE_ACCEPTED)]
        except OutsideCalendar as error:
            accepted = f"a day from {error.first} to {error.last}, which the calendar covers"
            return [unusable("schema.range", "date", row.date, accepted)]
        if not settles:
            return [unusable("schema.range", "date", row.date, "a settlement day")]
        if row.fails > row.trades:
            accepted = f"at most {row.trades}, the trades of the row"
            return [unusable("schema.range", "fails", str(row.fails), accepted)]
        values = (row.counterparty, day.isoformat(), row.trades, row.fails, given.line)
        if self._table.insert("INSERT OR IGNORE INTO days VALUES (?, ?, ?, ?, ?)", values):
            return []
        [(line,)] = self._table.select(
            "SELECT line FROM days WHERE counterparty = ? AND day = ?", values[:2]
        )
        accepted = f"one row a day for {row.counterparty}; line {line} has that day"
        return [unusable("input.duplicate", "date", row.date, accepted)]

    def _rate(self, counterparty: str, as_of: date) -> CounterpartyRate | None:
        """Return the rate of a counterparty before `as_of`; None where the file has no trades.

        Raises OutsideCalendar.
        """
        days = self._rules.counterparty_days
        first = self._calendar.add(as_of, -days, "settlement")
        last = self._calendar.add(as_of, -1, "settlement")
        [(trades, fails)] = self._table.select(
            "SELECT sum(trades), sum(fails) FROM days WHERE counterparty = ? AND day BETWEEN ? AND"
            " ?",
            (counterparty, first.isoformat(), last.isoformat()),
        )
        if not trades:
            return None
        return CounterpartyRate(self._percent(fails, trades), trades, fails, first, last)

    def _percent(self, fails: int, trades: int) -> Decimal:
        """Divide; keep more decimals where rounding would change the band of the rate."""
        exact = Decimal(100 * fails) / Decimal(trades)
        rounded = exact.quantize(Decimal(1).scaleb(-self._rules.rate_decimals), ROUND_HALF_UP)
        is_same = self._bands.index(rounded) == self._bands.index(exact)
        return rounded if is_same else exact
