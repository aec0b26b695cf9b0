"""The rows of all letters, on disk, in the order of the letters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, get_args

import msgspec

from finops_cli.files.temporary_table import TemporaryTable
from finops_cli.kb.chapters.wording.letters import LetterKind
from finops_cli.letters.rows import LetterRow, NoLetter

_TABLE = (
    "CREATE TABLE rows (kind INTEGER, party TEXT, line INTEGER, part INTEGER, body BLOB,"
    " PRIMARY KEY (kind, party, line, part)) WITHOUT ROWID"
)
_NONE = "CREATE TABLE without (line INTEGER, part INTEGER, body BLOB, PRIMARY KEY (line, part))"
_ORDER = get_args(LetterKind)
_ROWS = msgspec.json.Decoder(LetterRow)
_WITHOUT = msgspec.json.Decoder(NoLetter)


class Group(NamedTuple):
    """The rows that belong together: one party, or for recalls one security."""

    kind: LetterKind
    key: str


class Spool:
    """Rows of letters, and the fails that have none."""

    def __init__(self) -> None:
        self._table = TemporaryTable(_TABLE, _NONE)
        self._part = 0

    def close(self) -> None:
        """Delete the rows."""
        self._table.close()

    def add(self, kind: LetterKind, line: int, row: LetterRow | NoLetter) -> None:
        """Keep what output line `line` asks for."""
        self._part += 1
        body = msgspec.json.encode(row)
        if isinstance(row, NoLetter):
            self._table.insert("INSERT INTO without VALUES (?, ?, ?)", (line, self._part, body))
            return
        key = str(row.cells["cusip"]) if kind == "recall" else row.recipient
        values = (_ORDER.index(kind), key, line, self._part, body)
        self._table.insert("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", values)

    def groups(self) -> Iterator[Group]:
        """Yield the groups: by kind, then by party."""
        query = "SELECT DISTINCT kind, party FROM rows ORDER BY kind, party"
        for kind, party in self._table.stream(query):
            yield Group(_ORDER[kind], party)

    def rows(self, group: Group) -> list[LetterRow]:
        """Return the rows of a group, in the order of the output."""
        query = "SELECT body FROM rows WHERE kind = ? AND party = ? ORDER BY line, part"
        found = self._table.select(query, (_ORDER.index(group.kind), group.key))
        return [_ROWS.decode(body) for (body,) in found]

    def without(self) -> Iterator[NoLetter]:
        """Yield the fails that get no letter, in the order of the output."""
        for (body,) in self._table.stream("SELECT body FROM without ORDER BY line, part"):
            yield _WITHOUT.decode(body)
