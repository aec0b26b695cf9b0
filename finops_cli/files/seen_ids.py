"""The `fail_id`s of a run, kept on disk so that memory does not grow with the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from types import TracebackType

from finops_cli.domain.finding import Problem
from finops_cli.errors import Unfinished


class SeenIds:
    """Remembers which line used each `fail_id` first.

    It keeps them in a temporary database that is deleted at the end of the run.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect(
            "", isolation_level=None
        )  # "": a private file that SQLite spills to and deletes
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-2048"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute(
            "CREATE TABLE seen (fail_id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")

    def __enter__(self) -> SeenIds:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def register(self, names: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Remember (fail_id, line) pairs, in file order.

        Returns the number of the first line with the same name, for each line that repeats one.
        """
        before = self._db.total_changes
        try:
            self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", names)
        except sqlite3.OperationalError as error:
            raise Unfinished(
                f"the names seen so far cannot be kept in the temporary folder: {error}",
                "free some space",
            ) from error
        if self._db.total_changes - before == len(names):
            return {}
        first_lines = ((line, self._first_line(name)) for name, line in names)
        return {line: first for line, first in first_lines if first != line}

    def _first_line(self, name: str) -> int:
        [line] = self._db.execute("SELECT line FROM seen WHERE fail_id = ?", (name,)).fetchone()
        return int(line)


def duplicate(fail_id: str, first_line: int) -> Problem:
    accepted = "a fail_id that no other line of the file has"
    message = f"fail_id {fail_id} was used on line {first_line} already; accepted: {accepted}"
    return Problem(
        rule="input.duplicate", path="/fail_id", value=fail_id, accepted=accepted, message=message
    )
