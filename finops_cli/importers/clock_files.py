"""Files beside a blotter that `finops clock` joins to its records: history and events.

    --history FILE   CSV or JSON Lines: date, qty, and new, open_qty, sale_type, trade_date
    --events FILE    JSON Lines: type, at, and the other fields of an event (regulatory-clock, 6.2)

Each row names its fail by `fail_id`, `cusip` or `symbol`; where it has several, the first of these
counts, and the others must agree with the record. Rows of a CUSIP or symbol that several records
have belong to none of them: those records are refused. A file with a fault is refused, with all its
faults. Memory holds the rows of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ClockEvent, ClockFacts, HistoryRow
from finops_cli.domain.decode_errors import describe_size
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.importers import dates
from finops_cli.importers.joins.named_rows import KEYS, Key, NamedRows, read_named_rows
from finops_cli.importers.joins.named_series import Series, find_owners, refuse, symbol_of
from finops_cli.importers.mapped_rows.cells import whole
from finops_cli.importers.row_files import Column, RowLayout
from finops_cli.importers.stream import Note
from finops_cli.importers.threshold.days import ThresholdLists
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

_HISTORY = Codec("history-row", HistoryRow, {})
_EVENT = Codec("clock-event", ClockEvent, {})
_DATE = Column(dates.parse_date, dates.DATE_ACCEPTED)
_SHARES = Column(whole, "a whole number of shares, such as 5000 or 5,000")
_HISTORY_LAYOUT = RowLayout(
    {
        **dict.fromkeys(KEYS, Column(str)),
        "date": _DATE,
        "qty": _SHARES,
        "new": _SHARES,
        "open_qty": _SHARES,
        "sale_type": Column(str),
        "trade_date": _DATE,
    },
    required=(("date",), ("qty",), KEYS),
)
_EVENT_LAYOUT = RowLayout(None)


class FileJoin:
    """The files of one call of `finops clock`, which it joins to each record."""

    def __init__(
        self,
        history: Path | None,
        events: Path | None,
        lists: Sequence[Path] = (),
        list_date: str | None = None,
    ) -> None:
        """Read the files. Raises UsageError, also for a damaged line of a threshold list."""
        self._history = None if history is None else read_history(history)
        self._events = None if events is None else read_events(events)
        self._lists = ThresholdLists(list_date)
        self.notes: list[Note] = []
        """The faults of the threshold lists that were tolerated, and the assumptions."""
        for item in self._lists.read(lists):
            if isinstance(item, Note):
                self.notes.append(item)
                continue
            raise UsageError(
                f"{item.file}:{item.line}: {item.problems[0].message}", "correct the line"
            )

    @property
    def needs_owners(self) -> bool:
        """True if rows name a CUSIP or a symbol, so that the records must be read twice."""
        return any(series.is_by_security for series in self._series())

    def find_owners(self, lines: Iterable[bytes]) -> None:
        """Read the lines of all records, before the first of them is joined."""
        find_owners(lines, self._series())

    def __call__(self, record: FailRecord) -> FailRecord | Problem:
        """Join the files to `record`."""
        return join(record, self._history, self._events, self._lists)

    def describe_lists(self) -> Note | None:
        """Say how many securities of the threshold lists no record has; None without a list."""
        return self._lists.describe()

    def list_unused(self) -> list[str]:
        """List the names in the files that no record so far has."""
        return [
            f"{name} in {series.file}" for series in self._series() for name in series.list_unused()
        ]

    def _series(self) -> list[Series[HistoryRow] | Series[ClockEvent]]:
        return [series for series in (self._history, self._events) if series is not None]


def join(
    record: FailRecord,
    history: Series[HistoryRow] | None = None,
    events: Series[ClockEvent] | None = None,
    lists: ThresholdLists | None = None,
) -> FailRecord | Problem:
    """Return `record` with the facts that the files have for it.

    A Problem where the record has such a fact itself, or where its rows are not its own alone.
    """
    facts = record.clock_facts or ClockFacts()
    symbol = symbol_of(record)
    rows = history.find(record) if history is not None else ()
    happened = events.find(record) if events is not None else ()
    if isinstance(rows, Problem):
        return rows
    if isinstance(happened, Problem):
        return happened
    added = {
        "fail_history": rows,
        "events": happened,
        "threshold_days": lists.days_of(symbol) if lists is not None and symbol else (),
    }
    given = {field: found for field, found in added.items() if found}
    for field in given:
        for rival in _RIVALS[field]:
            fact = getattr(facts, rival)
            if fact:
                value = fact if isinstance(fact, str) else describe_size(list(fact))
                accepted = f"facts in the record or in a file with {field}, not in both"
                return refuse(f"clock_facts/{rival}", value, accepted)
    return replace(record, clock_facts=replace(facts, **given)) if given else record


_RIVALS = {
    "fail_history": ("fail_history", "lots"),
    "events": ("events",),
    "threshold_days": ("threshold_days", "threshold_since"),
}
"""The facts of a record that say what a file says too."""


def read_history(path: Path) -> Series[HistoryRow]:
    """Read the history of fails, CSV or JSON Lines. Raises UsageError that lists every fault."""
    rows = read_named_rows(
        path, _HISTORY, _HISTORY_LAYOUT, _check_history, most=limits.HISTORY_ROWS
    )
    return Series(str(path), rows)


def read_events(path: Path) -> Series[ClockEvent]:
    """Read the events of fails, JSON Lines. Raises UsageError that lists every fault."""
    rows = read_named_rows(path, _EVENT, _EVENT_LAYOUT, _check_event, most=limits.CLOCK_EVENTS)
    return Series(str(path), rows)


def _check_history(
    rows: NamedRows[HistoryRow], key: Key, row: HistoryRow, line: int
) -> Problem | None:
    """Refuse a day that is not after the day before it of the same fail."""
    known = rows.by_key[key]
    if known and known[-1].date >= row.date:
        accepted = (
            f"a date after {known[-1].date}, which line {rows.lines[key, '']} has for {key.field}"
            f" {key.value}; sort the rows by date, one a day"
        )
        return unusable("import.order", "date", row.date, accepted)
    rows.lines[key, ""] = line
    return None


def _check_event(
    rows: NamedRows[ClockEvent], key: Key, event: ClockEvent, line: int
) -> Problem | None:
    """Refuse an id that another event of the same fail has."""
    if event.id is None:
        return None
    first = rows.lines.setdefault((key, event.id), line)
    if first == line:
        return None
    accepted = f"an id that no other event of {key.field} {key.value} has; line {first} has it"
    return unusable("input.duplicate", "id", event.id, accepted)
