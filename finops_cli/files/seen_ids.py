"""The `fail_id`s of a run, kept on disk so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from finops_cli.domain.finding import Problem
from finops_cli.files.jsonl import FilePlace
from finops_cli.files.temporary_table import TemporaryTable


class SeenIds:
    """Remembers which line used each `fail_id` first.

    It keeps them in a temporary database that is deleted at the end of the run.
    """

    def __init__(self) -> None:
        self._table = TemporaryTable(
            "CREATE TABLE seen (fail_id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID"
        )

    def __enter__(self) -> SeenIds:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._table.close()

    def register(self, names: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Remember (fail_id, line) pairs, in file order.

        Returns the number of the first line with the same name, for each line that repeats one.
        """
        added = self._table.insert_many("INSERT OR IGNORE INTO seen VALUES (?, ?)", names)
        if added == len(names):
            return {}
        first_lines = ((line, self._first_line(name)) for name, line in names)
        return {line: first for line, first in first_lines if first != line}

    def _first_line(self, name: str) -> int:
        [(line,)] = self._table.select("SELECT line FROM seen WHERE fail_id = ?", (name,))
        return int(line)


def duplicate(fail_id: str, first_line: int, place: FilePlace | None = None) -> Problem:
    """Return the problem of a repeated name. `place` is the first line in an input of files."""
    where = f"line {first_line}" if place is None else f"{place.file} line {place.line}"
    accepted = "a fail_id that no other line of the file has"
    message = f"fail_id {fail_id} was used on {where} already; accepted: {accepted}"
    return Problem(
        rule="input.duplicate", path="/fail_id", value=fail_id, accepted=accepted, message=message
    )
