"""The fails of a book and their parts of the plan, on disk: memory does not grow with the book."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from finops_cli.book.allocation.pool import TIERS, DrawingFail
from finops_cli.domain import exact_json
from finops_cli.domain.fail import FailRecord, Ftrs, Inventory
from finops_cli.domain.money import exact
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.pipeline.book_parts import AttachedPart, PlannedFail, encode_part, read_part
from finops_cli.rules.gridlock import Gridlock

OTHER, DRAWS, CASH = 0, 1, 2
"""The roles of a fail: it draws on nothing, on the pool of its security, or settles in cash."""
_NAME_BYTES = 12
_WAITING = 500
"""Parts that are written in one call."""
_ALL_FAILS = (
    "SELECT cusip, line, role, tier, days, score, name, has_name, owed, least, related, snapshot,"
    " body FROM fails ORDER BY cusip, line"
)
_FAILS_OF_ONE = (
    "SELECT cusip, line, role, tier, days, score, name, has_name, owed, least, related, snapshot,"
    " body FROM fails WHERE cusip = ? ORDER BY line"
)
_KEPT = "SELECT line, body FROM kept ORDER BY line"
_TIERS = {tier: place for place, tier in enumerate(TIERS)}


class IndexedFail(NamedTuple):
    """A fail of the index."""

    fail: DrawingFail
    """`line` is the number of its input line."""
    role: int
    has_name: bool
    related: tuple[str, ...]
    """The brokers of its related fails, sorted."""
    snapshot: bytes | None
    """Names the inventory that the record carries; None for a record without one."""

    @property
    def output_name(self) -> str:
        """Return the `fail_id` of the output line."""
        return self.fail.fail_id if self.has_name else f"line-{self.fail.line}"


class OwnInventory(Struct, frozen=True):
    """The inventory and the receives that a record carries itself."""

    inventory: Inventory | None
    ftrs: Ftrs


_OWN = msgspec.json.Decoder(OwnInventory, dec_hook=exact, float_hook=Decimal)


class BookIndex:
    """The fails by security, the inventories that records carry, and the parts of the plan."""

    def __init__(self) -> None:
        self._table = TemporaryTable(
            "CREATE TABLE fails (line INTEGER PRIMARY KEY, cusip TEXT, role INTEGER, tier INTEGER,"
            " days INTEGER, score INTEGER, name TEXT, has_name INTEGER, owed INTEGER,"
            " least INTEGER, related TEXT, snapshot BLOB, body BLOB)",
            "CREATE TABLE parts (line INTEGER PRIMARY KEY, body BLOB, verdict INTEGER)",
            "CREATE TABLE verdicts (id INTEGER PRIMARY KEY, body BLOB)",
            "CREATE TABLE others (cusip TEXT PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE kept (line INTEGER PRIMARY KEY, body BLOB)",
        )
        self._verdicts: dict[Gridlock, int] = {}
        self._last_verdict = 0
        self._waiting: list[tuple[int, bytes, int | None]] = []
        self._shown: tuple[int, bytes] | None = None
        self._names: set[bytes] = set()
        """The names of the inventories that a row has."""
        self._held: tuple[str, dict[bytes, bytes]] = ("", {})
        """The security that was read last, and the inventories that its records carry."""
        self._changed: dict[int, AttachedPart] | None = None

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def add(self, rows: Iterable[tuple[str, IndexedFail, bytes | None]]) -> None:
        """Add fails, each with the security whose sources it concerns, and a new inventory."""
        self._table.insert_many(
            "INSERT INTO fails VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    each.fail.line,
                    cusip,
                    each.role,
                    _TIERS[each.fail.tier],
                    each.fail.days_left,
                    each.fail.score,
                    each.fail.fail_id,
                    each.has_name,
                    each.fail.owed,
                    each.fail.least,
                    " ".join(each.related),
                    each.snapshot,
                    body,
                )
                for cusip, each, body in rows
            ],
        )

    def name_snapshot(self, cusip: str, fail: FailRecord) -> tuple[bytes, bytes | None]:
        """Name the inventory that a record carries, and encode it where it is a new one."""
        body = exact_json.encode(OwnInventory(fail.inventory, fail.ftrs))
        name = hashlib.sha256(cusip.encode() + body).digest()[:_NAME_BYTES]
        if name in self._names:
            return name, None
        self._names.add(name)
        return name, body

    def read_snapshot(self, cusip: str, name: bytes) -> OwnInventory:
        """Return an inventory that a record carries."""
        if self._held[0] != cusip:
            self.read_fails(cusip)
        return _OWN.decode(self._held[1][name])

    def finish(self) -> None:
        """Prepare the index for reading by security."""
        self._names.clear()
        self._table.make("CREATE INDEX by_cusip ON fails (cusip)")

    def stream_pools(self) -> Iterator[tuple[str, list[IndexedFail]]]:
        """Yield each security with its fails, in order; the fails in the order of their lines."""
        rows = self._table.stream(_ALL_FAILS)
        for cusip, group in groupby(rows, key=itemgetter(0)):
            yield cusip, self._hold(cusip, list(group))

    def add_others(self, cusips: Iterable[str]) -> None:
        """Remember the securities of fails that are not planned again."""
        self._table.insert_many(
            "INSERT OR IGNORE INTO others VALUES (?)", [(cusip,) for cusip in cusips]
        )

    def keep_lines(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Keep input lines, each with its number, until it is known what they need."""
        self._table.insert_many("INSERT INTO kept VALUES (?, ?)", lines)

    def read_lines(self, numbers: Container[int]) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the kept lines that have one of the numbers, in their order."""
        rows = (row for row in self._table.stream(_KEPT) if row[0] in numbers)
        while found := list(islice(rows, _WAITING)):
            yield [(number, line) for number, line in found]

    def has(self, cusip: str) -> bool:
        """Return true where a fail concerns the security."""
        return bool(
            self._table.select("SELECT 1 FROM fails WHERE cusip = ? LIMIT 1", (cusip,))
            or self._table.select("SELECT 1 FROM others WHERE cusip = ?", (cusip,))
        )

    def read_fails(self, cusip: str) -> list[IndexedFail]:
        """Return the fails of a security, in the order of their lines."""
        return self._hold(cusip, self._table.select(_FAILS_OF_ONE, (cusip,)))

    def _hold(self, cusip: str, rows: Sequence[tuple[Any, ...]]) -> list[IndexedFail]:
        """Read the rows of a security, and hold the inventories that its records carry."""
        self._held = cusip, {row[-2]: row[-1] for row in rows if row[-1] is not None}
        return [_indexed(row) for row in rows]

    def stream_queue(self) -> Iterator[tuple[str, str]]:
        """Yield the security and the name of each drawing fail, in the queue of the whole book."""
        yield from self._table.stream(
            "SELECT cusip, name FROM fails WHERE role = ?"
            " ORDER BY tier, days IS NULL, days, score DESC, name",
            (DRAWS,),
        )

    def put_parts(self, parts: Sequence[tuple[int, PlannedFail, int | None]]) -> None:
        """Keep the parts of lines, each with the number of its verdict on the gridlock."""
        rows = [(line, encode_part(part), verdict) for line, part, verdict in parts]
        if self._changed is not None:
            for row in rows:
                line, before, [after] = row[0], self.attach(row[0], 1)[0], self._show([row])
                if before is None or _without_change(before) != _without_change(after):
                    self._changed[line] = after
        self._waiting += rows
        if len(self._waiting) >= _WAITING:
            self._write()

    @contextmanager
    def watching(self) -> Iterator[dict[int, AttachedPart]]:
        """Collect the parts that change while the block runs, by line."""
        changed: dict[int, AttachedPart] = {}
        self._changed = changed
        try:
            yield changed
        finally:
            self._changed = None

    def put_verdict(self, verdict: Gridlock) -> int:
        """Keep a verdict on a gridlock; returns its number."""
        known = self._verdicts.get(verdict)
        if known is not None:
            return known
        self._last_verdict += 1
        row = self._last_verdict, msgspec.json.encode(verdict)
        self._table.insert("INSERT INTO verdicts VALUES (?, ?)", row)
        if not verdict.parties:  # one of a few; the others are as many as there are securities
            self._verdicts[verdict] = self._last_verdict
        return self._last_verdict

    def read_part(self, line: int) -> bytes | None:
        """Return the encoded part of a line; None for a line that has none."""
        if self._waiting:
            self._write()
        rows = self._table.select("SELECT body FROM parts WHERE line = ?", (line,))
        return rows[0][0] if rows else None

    def attach(self, first: int, count: int) -> list[AttachedPart | None]:
        """Return the parts of consecutive lines; None for a line that has none."""
        if self._waiting:
            self._write()
        rows = self._table.select(
            "SELECT line, body, verdict FROM parts WHERE line BETWEEN ? AND ?",
            (first, first + count - 1),
        )
        found: list[AttachedPart | None] = [None] * count
        for row, part in zip(rows, self._show(rows), strict=True):
            found[row[0] - first] = part
        return found

    def _show(self, rows: Sequence[tuple[int, bytes, int | None]]) -> list[AttachedPart]:
        """Read the verdicts of rows of parts."""
        return [
            AttachedPart(body, None if verdict is None else self._read_verdict(verdict))
            for _, body, verdict in rows
        ]

    def stream_attached(self) -> Iterator[AttachedPart | None]:
        """Yield the part of each line from the first one on, without end; None: it has none."""
        first = 1
        while True:
            yield from self.attach(first, _WAITING)
            first += _WAITING

    def _write(self) -> None:
        self._table.insert_many("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", self._waiting)
        self._waiting.clear()

    def _read_verdict(self, number: int) -> bytes:
        if self._shown is None or self._shown[0] != number:
            [(body,)] = self._table.select("SELECT body FROM verdicts WHERE id = ?", (number,))
            self._shown = number, body
        return self._shown[1]


def _without_change(attached: AttachedPart) -> AttachedPart:
    """Leave out how a part compares with an earlier plan."""
    part = read_part(attached)
    if part.place is None or part.place.change is None:
        return attached
    place = replace(part.place, change=None)
    return attached._replace(part=encode_part(replace(part, place=place)))


def _indexed(row: tuple[Any, ...]) -> IndexedFail:
    _, line, role, tier, days, score, name, has_name, owed, least, related, snapshot, _ = row
    fail = DrawingFail(name, owed, TIERS[tier], days, score, least, line)
    return IndexedFail(fail, role, bool(has_name), tuple(related.split()), snapshot)
