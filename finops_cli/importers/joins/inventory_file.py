"""`--inventory FILE`: the desk's stock, one line for each source (specification of the book, 2).

    {"snapshot": {"as_of": "2026-11-27T18:00:00-05:00", "source": "stock record"}}
    {"cusip": "594918104", "kind": "BOX", "qty": 8000}
    {"cusip": "594918104", "kind": "BORROW", "id": "L1", "qty": 3000, "rate_bps": 40}

CSV, or the sheet of an Excel workbook, has the same names as columns. A line without a kind is the
box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.moments import parse_moment
from finops_cli.domain import cusip as cusips
from finops_cli.domain import exact_json, money
from finops_cli.domain.finding import Problem
from finops_cli.domain.inventory_lines import (
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    InventoryLine,
    Snapshot,
    SourceKind,
)
from finops_cli.errors import UsageError
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.importers.joins.counterparty_history import read_participant
from finops_cli.importers.mapped_rows.cells import truth, whole
from finops_cli.importers.row_files import (
    Column,
    GivenRow,
    RowFaults,
    RowLayout,
    json_row,
    read_rows,
)
from finops_cli.kb.chapters.joins import JoinRules
from finops_cli.verify.codecs import Codec
from finops_cli.verify.schemas import unusable

_CODEC = Codec("inventory-line", InventoryLine, {})
_SNAPSHOT = Codec("inventory-snapshot", Snapshot, {})
_WHOLE = Column(whole, "a whole number, such as 5000 or 5,000")
_TEXT = Column(str)
_LAYOUT = RowLayout(
    {
        "cusip": _TEXT,
        "kind": Column(str.upper),
        "id": _TEXT,
        "qty": _WHOLE,
        "dtc": Column(read_participant),
        **dict.fromkeys(
            ("transit_days", "notice_days", "rate_bps", "age_days", "chase_attempts"), _WHOLE
        ),
        "settlement_type": _TEXT,
        "settlement_date": _TEXT,
        "cp_fail_rate_pct": Column(money.parse_percent, money.PERCENT_ACCEPTED),
        "partial_delivery_history": Column(truth, "Yes, No, Y, N, true, false, 1 or 0"),
        "usd": _TEXT,
    },
    required=(("cusip",), ("qty", "usd")),
)
_ALWAYS = ("cusip", "kind", "id")
_Row = tuple[str, str, str, int, bytes]
"""A row of `sources`: the CUSIP, the kind, the id, the number of the line, the line."""
_AT_ONCE = 256
"""Lines that are written to the table in one call."""
_CURE = "correct the line of the inventory file"


class _Fields(NamedTuple):
    """Which fields a line of one kind must have, and which it may not have."""

    required: tuple[str, ...]
    excluded: tuple[str, ...]
    required_of: Callable[[InventoryLine], tuple[Any, ...]]
    excluded_of: Callable[[InventoryLine], tuple[Any, ...]]

    @classmethod
    def of_kind(cls, kind: SourceKind) -> _Fields:
        """Return the fields of a kind."""
        required = REQUIRED_FIELDS[kind]
        allowed = {*_ALWAYS, *required, *OPTIONAL_FIELDS[kind]}
        excluded = tuple(name for name in InventoryLine.__struct_fields__ if name not in allowed)
        # `kind` is never None; with one name alone attrgetter would return no tuple
        return cls(required, excluded, attrgetter("kind", *required), attrgetter(*excluded))


_FIELDS = {kind: _Fields.of_kind(kind) for kind in REQUIRED_FIELDS}


class Pool(NamedTuple):
    """The sources of one CUSIP, as a record carries them."""

    inventory: dict[str, Any]
    ftrs: list[dict[str, Any]]


class InventoryFile:
    """The sources of each CUSIP, on disk, and the CUSIPs whose lines cannot be used."""

    def __init__(self, path: Path, as_of: str | None = None) -> None:
        """Read the file. `as_of` is the moment of a file that has none.

        Raises UsageError for a file whose faults have no CUSIP: nobody knows whom they concern.
        """
        self.path = path
        self.lines = 0
        self.kinds: set[str] = set()
        self.snapshot: Snapshot | None = None
        self._table = TemporaryTable(
            "CREATE TABLE sources (cusip TEXT, kind TEXT, id TEXT, line INTEGER, body BLOB,"
            " PRIMARY KEY (cusip, kind, id)) WITHOUT ROWID",
            "CREATE TABLE changed (cusip TEXT, kind TEXT, id TEXT, line INTEGER,"
            " PRIMARY KEY (cusip, kind, id)) WITHOUT ROWID",
            "CREATE TABLE doubts (cusip TEXT PRIMARY KEY, problem BLOB) WITHOUT ROWID",
        )
        self._waiting: list[_Row] = []
        """Rows of `sources` that are not written yet."""
        self._delta: str | None = None
        self._touched: set[str] = set()
        self._read(path)
        self._date(as_of)

    def apply_delta(self, path: Path) -> set[str]:
        """Read a file of changes: an equal key replaces its line, and `qty` 0 removes it.

        Returns the CUSIPs of its lines. Raises UsageError for a file whose faults have no CUSIP.
        """
        return self._apply(path, read_rows(path, _LAYOUT))

    def apply_lines(self, name: Path, lines: Iterable[tuple[int, bytes]]) -> set[str]:
        """Take changes as lines of JSON, each with its number in `name`; see `apply_delta`."""
        return self._apply(name, (json_row(number, line) for number, line in lines))

    def _apply(self, name: Path, rows: Iterable[GivenRow]) -> set[str]:
        self._delta = str(name)
        self._touched = set()
        self._table.make("DELETE FROM changed")
        self._take_rows(name, rows)
        self._date(None)
        return self._touched

    def _read(self, path: Path) -> None:
        self._take_rows(path, read_rows(path, _LAYOUT))

    def _take_rows(self, path: Path, rows: Iterable[GivenRow]) -> None:
        faults = RowFaults(path)
        for given in rows:
            if problems := self._take(given):
                faults.add(given.line, problems)
        self._write()
        faults.refuse()

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def refuse_stale(self, day: date, calendar: Calendar, rules: JoinRules) -> None:
        """Raise UsageError for a snapshot that is too old, or later than `day`."""
        if self.snapshot is None:
            return
        taken = parse_moment(self.snapshot.as_of).date()
        if taken > day:
            raise UsageError(
                f"{self.path}: the inventory is of {taken}, after --as-of {day}",
                "give the inventory of that day or of the day before",
            )
        try:
            oldest = calendar.add(day, -rules.inventory_max_age_days, "settlement")
        except OutsideCalendar as error:
            raise UsageError(f"--as-of: {error}", "give a day that the calendar covers") from error
        if taken < oldest:
            raise UsageError(
                f"{self.path}: the inventory is of {taken}, before {oldest}; --as-of is {day}",
                "give a newer inventory, or --allow-stale (kb: book.max_age_days)",
            )

    def find(self, cusip: str) -> Pool | Problem | None:
        """Return the pool of a CUSIP, the problem that puts it in doubt, or None for no line."""
        lines = self.find_lines(cusip)
        if isinstance(lines, Problem):
            return lines
        return _pool(lines) if lines else None

    def find_lines(self, cusip: str) -> list[InventoryLine] | Problem:
        """Return the lines of a CUSIP, each with its `id`, or the problem that puts it in doubt."""
        doubt = self._table.select("SELECT problem FROM doubts WHERE cusip = ?", (cusip,))
        if doubt:
            return msgspec.json.decode(doubt[0][0], type=Problem)
        rows = self._table.select(
            "SELECT body FROM sources WHERE cusip = ? ORDER BY kind, id", (cusip,)
        )
        return [line for (body,) in rows if (line := _CODEC.read_line(body)) is not None]

    def find_box(self, cusip: str) -> int | None:
        """Return the shares in the box of a CUSIP; None for one without a line, or in doubt."""
        rows = self._table.select(
            "SELECT kind, body FROM sources WHERE cusip = ? ORDER BY kind LIMIT 100", (cusip,)
        )
        if not rows or self._table.select("SELECT 1 FROM doubts WHERE cusip = ?", (cusip,)):
            return None
        boxes = [_CODEC.read_line(body) for kind, body in rows if kind == "BOX"]
        return sum(line.qty or 0 for line in boxes if line is not None)

    def list_cusips(self) -> Iterator[str]:
        """Yield each CUSIP that has a line or is in doubt, in order."""
        rows = self._table.stream(
            "SELECT cusip FROM sources UNION SELECT cusip FROM doubts ORDER BY 1"
        )
        yield from (cusip for (cusip,) in rows)

    def describe(self) -> str:
        """Name the file and its moment."""
        when = f"of {self.snapshot.as_of}" if self.snapshot is not None else "undated"
        return f"inventory {self.path}, {when}"

    def _take(self, given: GivenRow) -> list[Problem]:
        """Add a line, put its CUSIP in doubt, or return the problems of a line without one."""
        fields = dict(given.fields)
        if set(fields) == {"snapshot"} and given.line == 1:
            return self._take_snapshot(fields["snapshot"])
        self.lines += 1
        cusip = fields.get("cusip")
        if not isinstance(cusip, str) or not cusips.is_valid(cusip):
            accepted = "a CUSIP: nine characters, the last one the right check digit"
            shown = "" if cusip is None else str(cusip)
            return given.problems or [unusable("schema.format", "cusip", shown, accepted)]
        if self._delta is not None:
            self._touched.add(cusip)
        line = _CODEC.read(fields) if not given.problems else None
        problems = given.problems
        if line is None:
            problems = problems or _CODEC.explain(fields)
        else:
            problems = _faults_of_kind(line) or self._store(line, given.line)
        if problems:
            self._write()  # the first fault of a CUSIP is named, and a line before may have one
            self._doubt(cusip, given.line, problems)
        return []

    def _store(self, line: InventoryLine, number: int) -> list[Problem]:
        self.kinds.add(line.kind)
        id = line.id
        if id is None:
            id = line.dtc or ""
            line = replace(line, id=id)
        row = (line.cusip, line.kind, id, number, exact_json.encode(line))
        if self._delta is not None:
            return self._change(line, row)
        self._waiting.append(row)
        if len(self._waiting) == _AT_ONCE:
            self._write()
        return []

    def _write(self) -> None:
        """Write the lines that wait. The second line of a source puts its CUSIP in doubt."""
        rows, self._waiting = self._waiting, []
        statement = "INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?, ?)"
        if self._table.insert_many(statement, rows) == len(rows):
            return
        for cusip, kind, id, number, _ in rows:
            [(first,)] = self._table.select(
                "SELECT line FROM sources WHERE cusip = ? AND kind = ? AND id = ?",
                (cusip, kind, id),
            )
            if first != number:
                accepted = f"one line for {kind} {id!r}; line {first} has it: give the second an id"
                problem = unusable("book.duplicate_source", "id", id, accepted)
                self._doubt(cusip, number, [problem])

    def _change(self, line: InventoryLine, row: _Row) -> list[Problem]:
        """Replace or remove the line of a key, once for a file of changes."""
        key, id = row[:3], row[2]
        if not self._table.insert("INSERT OR IGNORE INTO changed VALUES (?, ?, ?, ?)", row[:4]):
            return [
                unusable("book.duplicate_source", "id", id, f"one change of {line.kind} {id!r}")
            ]
        self._table.insert("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)", row)
        if line.qty == 0:
            self._table.insert("DELETE FROM sources WHERE cusip = ? AND kind = ? AND id = ?", key)
        return []

    def _doubt(self, cusip: str, number: int, problems: Sequence[Problem]) -> None:
        first = problems[0]
        message = (
            f"the inventory of {cusip} is in doubt: {self._delta or self.path}:{number}:"
            f" {first.message}; {_CURE}"
        )
        problem = Problem(
            rule="book.inventory_in_doubt",
            path="/inventory",
            value=first.value,
            accepted=first.accepted,
            message=message,
        )
        self._table.insert(
            "INSERT OR IGNORE INTO doubts VALUES (?, ?)", (cusip, msgspec.json.encode(problem))
        )

    def _take_snapshot(self, given: Any) -> list[Problem]:
        snapshot = _SNAPSHOT.read(given)
        if snapshot is None:
            return _SNAPSHOT.explain(given)
        self.snapshot = snapshot
        return []

    def _date(self, as_of: str | None) -> None:
        """Take the moment of the option, and check the moment of the file."""
        if as_of is not None and self.snapshot is not None:
            raise UsageError(
                f"{self.path} has a snapshot of {self.snapshot.as_of}, and --inventory-as-of is"
                f" {as_of}",
                "leave --inventory-as-of out",
            )
        if as_of is not None:
            self.snapshot = Snapshot(as_of)
        if self.snapshot is None:
            return
        try:
            parse_moment(self.snapshot.as_of)
        except ValueError as error:
            raise UsageError(
                f"{self.path}: as_of is {self.snapshot.as_of!r}. Expected a day or a moment that"
                " exists.",
                "write it as 2026-11-27 or 2026-11-27T18:00:00-05:00",
            ) from error


def _faults_of_kind(line: InventoryLine) -> list[Problem]:
    """Find the fields that a line of this kind lacks, or may not have."""
    fields = _FIELDS[line.kind]
    without = fields.excluded_of(line).count(None)
    if None not in fields.required_of(line) and without == len(fields.excluded):
        return []
    problems = [
        unusable("schema.required", name, "", f"a value: a {line.kind} line needs {name}")
        for name in fields.required
        if getattr(line, name) is None
    ]
    accepted = ", ".join((*fields.required, *OPTIONAL_FIELDS[line.kind]))
    return problems + [
        unusable(
            "schema.unknown",
            name,
            str(getattr(line, name)),
            f"a {line.kind} line without it; its fields are {accepted}",
        )
        for name in fields.excluded
        if getattr(line, name) is not None
    ]


def _pool(lines: Sequence[InventoryLine]) -> Pool:
    """Sum the lines of one CUSIP by kind.

    Shares of several depots take the longest transit of them.
    """
    shares = dict.fromkeys(("BOX", "BORROW", "RECALL", "PENDING", "DEPOT"), 0)
    for line in lines:
        if line.kind in shares:
            shares[line.kind] += line.qty or 0
    inventory: dict[str, Any] = {
        "box_qty": shares["BOX"],
        "stock_loan_available": shares["BORROW"],
        "recall_outstanding": shares["RECALL"],
        "pending_receives": shares["PENDING"],
    }
    depots = [line.transit_days or 0 for line in lines if line.kind == "DEPOT" and line.qty]
    if depots:
        inventory |= {"depot_qty": shares["DEPOT"], "depot_transit_days": max(depots)}
    return Pool(inventory, [_ftr(line) for line in lines if line.kind == "FTR" and line.qty])


def _ftr(line: InventoryLine) -> dict[str, Any]:
    """Return a receive as a record has it; what the line lacks is left out."""
    names = ("dtc", "qty", "age_days", *OPTIONAL_FIELDS["FTR"])
    return {name: value for name in names if (value := getattr(line, name)) is not None}
