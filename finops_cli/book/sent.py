"""`--sent FILE`: what an earlier plan sent out, and what of it cannot be taken back (book, 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from finops_cli.book.allocation.pool import BookPool, DrawingFail, Source, can_serve
from finops_cli.book.index import BookIndex, IndexedFail
from finops_cli.domain import limits
from finops_cli.domain.allotment import SourceKind
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.fail import Identifier, Shares
from finops_cli.domain.finding import Finding, Problem
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.files.line_files import reading_lines
from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.pipeline.book_parts import AttachedPart, read_part
from finops_cli.pipeline.parse import decode
from finops_cli.verify.codecs import Codec

_WAITING = 500
"""Rows that are written in one call."""
_ACCEPTED = (
    'lines {"fail_id", "kind", "id", "qty", "firm": false}, or the output lines of finops book'
)


class SentLine(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of one source that were sent out for one fail."""

    fail_id: Identifier
    kind: SourceKind
    qty: Shares
    id: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""
    firm: bool = False
    """The part cannot be taken back: a borrow done, a recall issued, a movement instructed."""


class _Allotted(Struct, frozen=True):
    """The fields of an entry of an output line that matter here."""

    kind: SourceKind
    id: str
    qty: int
    firm: bool = False
    beside_borrow: bool = False


class _OutputLine(Struct, frozen=True):
    fail_id: str
    status: str
    allotment: tuple[_Allotted, ...] | None = None


_OUTPUT = msgspec.json.Decoder(_OutputLine)
_LINE = Codec("sent-line", SentLine, {})


class SentPart(NamedTuple):
    """Shares that were sent out for a fail."""

    kind: str
    id: str
    qty: int
    is_firm: bool

    @property
    def key(self) -> tuple[str, str]:
        """Return the name of the source inside its pool."""
        return self.kind, self.id


class SentShares(Protocol):
    """The instructions that were sent for the fails of a book."""

    def find(self, fail: IndexedFail) -> list[SentPart] | None:
        """Return what was sent for a fail; None for a fail that was not planned before."""

    def list_unknown(self) -> list[tuple[str, int]]:
        """List the fails with firm parts that the book does not have, and their shares."""


class SentPlan:
    """The parts of an earlier plan, by fail, on disk."""

    def __init__(self, path: Path, reads: bool = True) -> None:
        """Read the file; `reads` False: `take` gets the lines that matter.

        Raises UsageError naming the line of a fault.
        """
        self.path = path
        self._waiting: list[tuple[str, str, str, int, int]] = []
        self._table = TemporaryTable(
            "CREATE TABLE sent (name TEXT, kind TEXT, id TEXT, firm INTEGER, qty INTEGER,"
            " PRIMARY KEY (name, kind, id, firm)) WITHOUT ROWID",
            "CREATE TABLE known (name TEXT PRIMARY KEY) WITHOUT ROWID",
        )
        if not reads:
            return
        with reading_lines(path) as file:
            for number, (line, _) in enumerate(lines_of(file), start=1):
                if line.strip():
                    self.take(number, line)

    def close(self) -> None:
        """Delete the index."""
        self._table.close()

    def find(self, fail: IndexedFail) -> list[SentPart] | None:
        """Return what was sent for a fail; None for a fail that the file does not have."""
        self._write()
        name = fail.output_name
        self._table.insert("INSERT OR IGNORE INTO known VALUES (?)", (name,))
        rows = self._table.select(
            "SELECT kind, id, qty, firm FROM sent WHERE name = ? ORDER BY kind, id", (name,)
        )
        parts = [SentPart(kind, id, qty, bool(firm)) for kind, id, qty, firm in rows if kind]
        return parts if rows else None

    def list_unknown(self) -> list[tuple[str, int]]:
        """List the fails with firm parts that the book does not have, and their shares."""
        self._write()
        return self._table.select(
            "SELECT name, sum(qty) FROM sent WHERE firm = 1"
            " AND name NOT IN (SELECT name FROM known) GROUP BY name ORDER BY name LIMIT 100"
        )

    def take(self, number: int, line: bytes) -> None:
        """Take a line. Raises UsageError for a fault."""
        try:
            self._add_output(_OUTPUT.decode(line))
            return
        except UNREADABLE:
            given = decode(line)
        if isinstance(given, Problem) or not isinstance(given, dict):
            text = given.message if isinstance(given, Problem) else "is not an object"
            raise UsageError(f"{self.path}:{number}: {text}", f"give {_ACCEPTED}")
        if "status" in given or "allotment" in given:
            self._take_output(number, given)
            return
        sent = _LINE.read(given)
        if sent is None:
            problems = _LINE.explain(given)
            raise UsageError(f"{self.path}:{number}: {problems[0].message}", f"give {_ACCEPTED}")
        self._add(sent.fail_id, sent.kind, sent.id, int(sent.firm), sent.qty)

    def _take_output(self, number: int, given: dict[str, Any]) -> None:
        try:
            self._add_output(msgspec.convert({"status": "", **given}, _OutputLine))
        except msgspec.ValidationError as error:
            raise UsageError(f"{self.path}:{number}: {error}", f"give {_ACCEPTED}") from error

    def _add_output(self, line: _OutputLine) -> None:
        if line.allotment is None:
            return
        self._add(line.fail_id, "", "", 0, 0)  # the fail was planned, perhaps without a share
        for each in line.allotment:
            if not each.beside_borrow:
                self._add(line.fail_id, each.kind, each.id, int(each.firm), each.qty)

    def _add(self, name: str, kind: str, id: str, firm: int, qty: int) -> None:
        self._waiting.append((name, kind, id, firm, qty))
        if len(self._waiting) >= _WAITING:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._table.insert_many(
                "INSERT INTO sent VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET qty = qty + excluded.qty",
                self._waiting,
            )
            self._waiting.clear()


class PartsBefore:
    """The parts that the index has from the plan before this one, as a plan that was sent out."""

    def __init__(self, index: BookIndex) -> None:
        self._index = index

    def find(self, fail: IndexedFail) -> list[SentPart] | None:
        """Return the part of a fail; None for a fail that has no allotment."""
        body = self._index.read_part(fail.fail.line)
        allotment = None if body is None else read_part(AttachedPart(body)).allotment
        if allotment is None:
            return None
        return [
            SentPart(each.kind, each.id, each.qty, each.firm)
            for each in allotment
            if not each.beside_borrow
        ]

    def list_unknown(self) -> list[tuple[str, int]]:
        """List nothing: every fail that was planned is in the book."""
        return []


class FirmPart(NamedTuple):
    """Shares that cannot be taken back. `source` and `fail` are places in their pool."""

    fail: int
    source: int
    qty: int


class FirmSplit(NamedTuple):
    """The problem without its firm parts, these parts, and what is wrong with the others."""

    pool: BookPool
    parts: list[FirmPart]
    findings: dict[int, list[Finding]]
    """By place of the fail."""


def split_firm(pool: BookPool, sent: dict[str, list[SentPart]]) -> FirmSplit:
    """Take the firm parts out of a pool, fails in the queue and sources in their rank."""
    if not any(part.is_firm for parts in sent.values() for part in parts):
        return FirmSplit(pool, [], {})
    place = {source.key: number for number, source in enumerate(pool.sources)}
    left = [source.qty for source in pool.sources]
    owed = [fail.owed for fail in pool.fails]
    parts: list[FirmPart] = []
    findings: dict[int, list[Finding]] = {}
    for number, fail in enumerate(pool.fails):
        firm = [part for part in sent.get(fail.fail_id, ()) if part.is_firm and part.qty]
        for part in sorted(firm, key=lambda each: place.get(each.key, len(left))):
            source = place.get(part.key)
            room = 0 if source is None else min(left[source], owed[number])
            fault = _find_fault(part, fail, None if source is None else pool.sources[source], room)
            if fault is not None:
                findings.setdefault(number, []).append(fault)
            if source is None or (fault is not None and fault.rule == "book.firm_unreachable"):
                continue
            taken = min(part.qty, room)
            if taken:
                parts.append(FirmPart(number, source, taken))
                left[source] -= taken
                owed[number] -= taken
    fails = tuple(
        fail._replace(owed=rest, least=max(1, fail.least - (fail.owed - rest)) if rest else 1)
        for fail, rest in zip(pool.fails, owed, strict=True)
    )
    sources = tuple(
        source._replace(qty=rest) for source, rest in zip(pool.sources, left, strict=True)
    )
    return FirmSplit(pool._replace(fails=fails, sources=sources), parts, findings)


def _find_fault(
    part: SentPart, fail: DrawingFail, source: Source | None, room: int
) -> Finding | None:
    where = f"the {part.kind} {part.id}".rstrip()
    path = f"/allotment/{part.kind}/{part.id}"
    if source is None:
        return _finding("book.firm_unknown", path, "a source of the security", part.qty, where)
    if not can_serve(source.kind, source.days, fail.days_left):
        return _finding("book.firm_unreachable", path, "in time", part.qty, where)
    if part.qty > room:
        return _finding("book.firm_exceeds", path, room, part.qty, where)
    return None


def _finding(rule: str, path: str, expected: Any, qty: int, where: str) -> Finding:
    texts = {
        "book.firm_unknown": f"{qty:,} firm shares are from {where}, which the book does not have",
        "book.firm_unreachable": f"{qty:,} firm shares from {where} no longer arrive in time",
        "book.firm_exceeds": f"{qty:,} firm shares are from {where}; {expected} are left",
    }
    return Finding(rule=rule, path=path, expected=expected, actual=qty, message=texts[rule])
