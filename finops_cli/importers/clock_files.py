"""Files beside a blotter that `finops clock` joins to its records: history and events.

    --history FILE   CSV or JSON Lines: date, qty, and new, open_qty, sale_type, trade_date
    --events FILE    JSON Lines: type, at, and the other fields of an event (regulatory-clock, 6.2)

Each row names its fail by `fail_id`, `cusip` or `symbol`; where it has several, the first of these
counts. A file with a fault is refused, with all its faults. Memory holds the rows of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ClockEvent, ClockFacts, HistoryRow
from finops_cli.domain.decode_errors import describe_size
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.jsonl import lines_of
from finops_cli.importers import dates
from finops_cli.importers.cells import whole
from finops_cli.importers.threshold_days import ThresholdLists
from finops_cli.pipeline.parse import decode
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import schema_errors, unusable

T = TypeVar("T", bound=Struct)
KEYS = ("fail_id", "cusip", "symbol")
"""The fields that name the fail of a row, the narrowest first."""
_KEY_ACCEPTED = "a fail_id, cusip or symbol in each row"
_SHARES_ACCEPTED = "a whole number of shares, such as 5000 or 5,000"
_HISTORY = Codec("history-row", HistoryRow, {})
_EVENT = Codec("clock-event", ClockEvent, {})


class Key(NamedTuple):
    """The field that names a fail, and its value: ("cusip", "594918104")."""

    field: str
    value: str


class Series(Generic[T]):
    """The rows of a file, by the fail, CUSIP or symbol that they belong to."""

    def __init__(self, file: str, rows: dict[Key, tuple[T, ...]]) -> None:
        self.file = file
        self._rows = rows
        self._joined: dict[tuple[Key, str], str] = {}

    def find(self, record: FailRecord) -> tuple[T, ...] | Problem:
        """Return the rows of `record`; empty if the file has none.

        A Problem where the record has rows under two names, and where another record of the same
        day has them already: no share counts twice.
        """
        found = [key for key in keys_of(record) if key in self._rows]
        if not found:
            return ()
        key = found[0]
        if len(found) > 1:
            also = found[1]
            return _refuse(
                f"/{also.field}",
                also.value,
                f"rows for {key.field} {key.value} or for {also.field} {also.value}, not for both"
                f" in {self.file}",
            )
        return self._taken(key, record) or self._rows[key]

    def list_unused(self) -> list[str]:
        """List the names that no record has had, such as `cusip 594918104`."""
        used = {key for key, _ in self._joined}
        return [f"{key.field} {key.value}" for key in self._rows if key not in used]

    def _taken(self, key: Key, record: FailRecord) -> Problem | None:
        """Give the rows of `key` to `record`; a Problem if another of the same day has them."""
        facts = record.clock_facts
        day = "" if facts is None or facts.as_of is None else facts.as_of[:10]
        first = self._joined.get((key, day))
        if first is None or first == record.fail_id:
            self._joined[key, day] = record.fail_id or "a record without fail_id"
            return None
        return _refuse(
            f"/{key.field}",
            key.value,
            f"one record for the rows of {key.field} {key.value} in {self.file}, which {first} has;"
            " name the rows of each record by fail_id",
        )


def keys_of(record: FailRecord) -> Iterator[Key]:
    """Yield the names under which a file may have rows of `record`, the narrowest first.

    The symbol is the one in `origin`.
    """
    symbol = (record.origin or {}).get("symbol")
    for field, value in zip(KEYS, (record.fail_id, record.cusip, symbol), strict=True):
        if isinstance(value, str) and value:
            yield Key(field, value)


def join(
    record: FailRecord,
    history: Series[HistoryRow] | None = None,
    events: Series[ClockEvent] | None = None,
    lists: ThresholdLists | None = None,
) -> FailRecord | list[Problem]:
    """Return `record` with the facts that the files have for it.

    The problems where the record has such a fact itself, or where its rows are not its own alone.
    """
    facts = record.clock_facts or ClockFacts()
    added: dict[str, tuple[Struct, ...]] = {}
    problems = []
    for field, rivals, series in (
        ("fail_history", ("fail_history", "lots"), history),
        ("events", ("events",), events),
    ):
        found = series.find(record) if series is not None else ()
        if isinstance(found, Problem):
            problems.append(found)
        elif series is not None and found:
            added[field] = found
            problems += _refuse_rivals(facts, rivals, series.file)
    symbol = dict(keys_of(record)).get("symbol")
    days = lists.days_of(symbol) if lists is not None and symbol is not None else ()
    if days:
        added["threshold_days"] = days
        rivals = ("threshold_days", "threshold_since")
        problems += _refuse_rivals(facts, rivals, "the threshold lists")
    if problems or not added:
        return problems or record
    return replace(record, clock_facts=replace(facts, **added))


def _refuse_rivals(facts: ClockFacts, rivals: tuple[str, ...], file: str) -> Iterator[Problem]:
    """Yield a problem for each fact of the record that the file gives too."""
    for field in rivals:
        fact = getattr(facts, field)
        if fact:
            value = fact if isinstance(fact, str) else describe_size(list(fact))
            accepted = f"facts of the record or of {file}, not of both"
            yield _refuse(f"/clock_facts/{field}", value, accepted)


def _refuse(path: str, value: str, accepted: str) -> Problem:
    return Problem(
        rule="input.duplicate",
        path=path,
        value=value,
        accepted=accepted,
        message=f"{path[1:].replace('/', '.')} is {value}; accepted: {accepted}",
    )


def read_history(path: Path) -> Series[HistoryRow]:
    """Read the history of fails, CSV or JSON Lines. Raises UsageError that lists every fault."""
    return _read(path, _HISTORY, _HISTORY_CELLS, _check_history, limits.HISTORY_ROWS)


def read_events(path: Path) -> Series[ClockEvent]:
    """Read the events of fails, JSON Lines. Raises UsageError that lists every fault."""
    return _read(path, _EVENT, None, _check_event, limits.CLOCK_EVENTS)


_HISTORY_CELLS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(KEYS, str),
    "date": dates.parse_date,
    "qty": whole,
    "new": whole,
    "open_qty": whole,
    "sale_type": str,
    "trade_date": dates.parse_date,
}
"""How a cell of a history file is read."""
_DAYS = ("date", "trade_date", "settled_on", "for_settlement_date", "until")
_MOMENTS = ("at",)


class _GivenRow(NamedTuple):
    """A row as the file has it, or its problems."""

    line: int
    fields: dict[str, Any]
    problems: list[Problem]


class _Fault(NamedTuple):
    line: int
    message: str


class _Rows(Generic[T]):
    """The rows read so far, by their names."""

    def __init__(self) -> None:
        self.by_key: dict[Key, list[T]] = {}
        self.lines: dict[tuple[Key, str], int] = {}
        """The line of the last date, and of each event id."""


_Check = Callable[[_Rows[T], Key, T, int], Problem | None]


def _read(
    path: Path,
    codec: Codec[T],
    cells: dict[str, Callable[[str], Any]] | None,
    check: _Check[T],
    most: int,
) -> Series[T]:
    rows: _Rows[T] = _Rows()
    faults: list[_Fault] = []
    try:
        with path.open("rb") as file:
            for given in _given_rows(path, file, cells):
                problems = [*given.problems] or _take(given, codec, rows, check, most)
                faults += [_Fault(given.line, problem.message) for problem in problems]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "give a file") from error
    if faults:
        raise UsageError(_describe(path, faults), f"correct these lines of {path}")
    return Series(str(path), {key: tuple(each) for key, each in rows.by_key.items()})


def _describe(path: Path, faults: list[_Fault]) -> str:
    if len(faults) == 1:
        return f"{path}:{faults[0].line}: {faults[0].message}"
    shown = [f"  line {line}: {message}" for line, message in faults[: limits.PROBLEMS]]
    more = len(faults) - len(shown)
    return "\n".join(
        [f"{path} has {len(faults)} faults:", *shown, *([f"  and {more} more"] if more else [])]
    )


def _given_rows(
    path: Path, file: BinaryIO, cells: dict[str, Callable[[str], Any]] | None
) -> Iterator[_GivenRow]:
    """Yield the rows of CSV where `cells` allows it and the file does not begin with {."""
    first = file.read(limits.SHOWN_CHARS).lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    file.seek(0)
    if cells is not None and first != b"{":
        yield from _csv_rows(path, file, cells)
        return
    for number, (line, _) in enumerate(lines_of(file), start=1):
        if line.strip():
            yield _json_row(number, decode(line))


def _json_row(number: int, given: Any) -> _GivenRow:
    if isinstance(given, Problem):
        return _GivenRow(number, {}, [given])
    if not isinstance(given, dict):
        problem = unusable("schema.type", "line", str(given), "one JSON object per line")
        return _GivenRow(number, {}, [problem])
    return _GivenRow(number, given, [])


def _csv_rows(
    path: Path, file: BinaryIO, cells: dict[str, Callable[[str], Any]]
) -> Iterator[_GivenRow]:
    text = TextIOWrapper(file, "utf-8-sig", "replace", newline="")
    rows = csv_rows(text, ",")
    header = next(rows, None)
    names = [] if header is None else [name.strip() for name in header.cells]
    _check_header(path, names, cells)
    for row in rows:
        if row.fault is not None:
            yield _GivenRow(row.line, {}, [unusable("schema.format", "row", row.fault, "CSV")])
        else:
            yield _csv_row(
                row.line, dict(zip(names, map(str.strip, row.cells), strict=True)), cells
            )


def _csv_row(line: int, texts: dict[str, str], cells: dict[str, Callable[[str], Any]]) -> _GivenRow:
    """Read the cells of a row; an empty cell leaves its field out."""
    fields: dict[str, Any] = {}
    problems = []
    for name, text in texts.items():
        try:
            if text:
                fields[name] = cells[name](text)
        except ValueError:
            accepted = dates.DATE_ACCEPTED if name in _DAYS else _SHARES_ACCEPTED
            problems.append(unusable("schema.type", name, text, accepted))
    return _GivenRow(line, fields, problems)


def _check_header(path: Path, names: list[str], cells: dict[str, Callable[[str], Any]]) -> None:
    """Raise UsageError for a header without the columns of a history."""
    accepted = f"the columns {', '.join(cells)}, separated by commas"
    cure = f"write the names of the columns into the first line of {path}"
    for name in names:
        if name not in cells:
            raise UsageError(f"{path}:1: column {name!r} is not known; accepted: {accepted}", cure)
        if names.count(name) > 1:
            raise UsageError(f"{path}:1: column {name!r} stands twice; accepted: {accepted}", cure)
    missing = [name for name in ("date", "qty") if name not in names]
    if not any(key in names for key in KEYS):
        missing.append(" or ".join(KEYS))
    if missing:
        raise UsageError(
            f"{path}:1: column {missing[0]} is missing; accepted: {accepted}",
            cure,
        )


def _take(
    given: _GivenRow, codec: Codec[T], rows: _Rows[T], check: _Check[T], most: int
) -> list[Problem]:
    """Add a row to `rows`, or return its problems."""
    fields = {name: value for name, value in given.fields.items() if name not in KEYS}
    key, problems = _key_of(given.fields)
    problems += _tidy_dates(fields)
    row = codec.read(fields) if not problems else None
    if key is None or row is None:
        return problems or schema_errors(fields, codec.json_schema)
    known = rows.by_key.setdefault(key, [])
    wrong = check(rows, key, row, given.line)
    if wrong is None and len(known) == most:
        wrong = unusable("schema.range", key.field, key.value, f"at most {most:,} rows")
    if wrong is not None:
        return [wrong]
    known.append(row)
    return []


def _key_of(fields: dict[str, Any]) -> tuple[Key | None, list[Problem]]:
    """Find the narrowest name of a row."""
    for field in KEYS:
        value = fields.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > limits.ID_CHARS:
            accepted = f"text of up to {limits.ID_CHARS} characters"
            return None, [unusable("schema.type", field, str(value), accepted)]
        if field == "cusip" and not cusips.is_valid(value):
            accepted = "nine capital letters and digits, the last one the right check digit"
            return None, [unusable("schema.format", field, value, accepted)]
        return Key(field, value), []
    return None, [unusable("schema.required", KEYS[0], "", _KEY_ACCEPTED)]


def _tidy_dates(fields: dict[str, Any]) -> list[Problem]:
    """Write the dates of a row in ISO form, in place, and return those that do not exist."""
    problems = []
    for names, parse, accepted in (
        (_DAYS, dates.parse_date, dates.DATE_ACCEPTED),
        (_MOMENTS, dates.parse_moment, dates.MOMENT_ACCEPTED),
    ):
        for name in names:
            text = fields.get(name)
            if isinstance(text, str):
                try:
                    fields[name] = parse(text)
                except ValueError:
                    problems.append(unusable("schema.format", name, text, accepted))
    return problems


def _check_history(rows: _Rows[HistoryRow], key: Key, row: HistoryRow, line: int) -> Problem | None:
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


def _check_event(rows: _Rows[ClockEvent], key: Key, event: ClockEvent, line: int) -> Problem | None:
    """Refuse an id that another event of the same fail has."""
    if event.id is None:
        return None
    first = rows.lines.setdefault((key, event.id), line)
    if first == line:
        return None
    accepted = f"an id that no other event of {key.field} {key.value} has; line {first} has it"
    return unusable("input.duplicate", "id", event.id, accepted)
