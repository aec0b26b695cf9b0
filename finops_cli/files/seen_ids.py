"""The `fail_id`s of a run. Many are kept on disk, so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from finops_cli.domain.finding import Problem
from finops_cli.files.jsonl import FilePlace
from finops_cli.files.temporary_table import TemporaryTable

_MOST_IN_MEMORY = 32_768
"""Names that take 4 MiB. A database takes three times as long for each."""


class SeenIds:
    """Remembers which line used each `fail_id` first.

    It keeps the names of a long file in a temporary database that is deleted at the end of the run.
    """

    def __init__(self) -> None:
        self._first_lines: dict[str, int] = {}
        """The line of each name, while there are few."""
        self._table: TemporaryTable | None = None
        """The names of a file with many."""

    def __enter__(self) -> SeenIds:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._table is not None:
            self._table.close()

    def register(self, names: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Remember (fail_id, line) pairs, in file order.

        Returns the number of the first line with the same name, for each line that repeats one.
        """
        if self._table is None:
            if len(self._first_lines) + len(names) <= _MOST_IN_MEMORY:
                known = self._first_lines
                found = [(line, known.setdefault(name, line)) for name, line in names]
                return {line: first for line, first in found if first != line}
            self._table = _open_table(self._first_lines)
            self._first_lines = {}
        return _register(self._table, names)


def _open_table(first_lines: dict[str, int]) -> TemporaryTable:
    """Open a database with the names so far."""
    table = TemporaryTable(
        "CREATE TABLE seen (fail_id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID"
    )
    table.insert_many(_INSERT, first_lines.items())
    return table


_INSERT = "INSERT OR IGNORE INTO seen VALUES (?, ?)"


def _register(table: TemporaryTable, names: Sequence[tuple[str, int]]) -> dict[int, int]:
    if table.insert_many(_INSERT, names) == len(names):
        return {}
    first_lines = ((line, _first_line(table, name)) for name, line in names)
    return {line: first for line, first in first_lines if first != line}


def _first_line(table: TemporaryTable, name: str) -> int:
    [(line,)] = table.select("SELECT line FROM seen WHERE fail_id = ?", (name,))
    return int(line)


def duplicate(fail_id: str, first_line: int, place: FilePlace | None = None) -> Problem:
    """Return the problem of a repeated name. `place` is the first line in an input of files."""
    where = f"line {first_line}" if place is None else f"{place.file} line {place.line}"
    accepted = "a fail_id that no other line of the file has"
    message = f"fail_id {fail_id} was used on {where} already; accepted: {accepted}"
    return Problem(
        rule="input.duplicate", path="/fail_id", value=fail_id, accepted=accepted, message=message
    )
