"""A table on disk, so that memory does not grow with the file that it indexes."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from finops_cli.errors import Unfinished


class TemporaryTable:
    """A private SQLite database that is deleted when it is closed."""

    def __init__(self, *statements: str) -> None:
        """Make the tables of `statements`."""
        # the garbage of a reader that raised may be collected in another thread
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)  # a reader of a faulty file raises before close()
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-4096"):
            self._db.execute(f"PRAGMA {setting}")
        for statement in statements:
            self._db.execute(statement)
        self._db.execute("BEGIN")

    def insert(self, statement: str, row: Sequence[Any]) -> bool:
        """Insert a row; False where its key is there already (`INSERT OR IGNORE`).

        Raises Unfinished when the temporary folder is full.
        """
        with _name_full_folder():
            return self._db.execute(statement, row).rowcount > 0

    def insert_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Insert rows in one call, which takes a fraction of the time of single ones.

        Returns how many were added: `INSERT OR IGNORE` leaves out rows whose key is there already.
        Raises Unfinished when the temporary folder is full.
        """
        before = self._db.total_changes
        with _name_full_folder():
            self._db.executemany(statement, rows)
        return self._db.total_changes - before

    def make(self, statement: str) -> None:
        """Make a further index or table. Raises Unfinished when the temporary folder is full."""
        with _name_full_folder():
            self._db.execute(statement)

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _name_full_folder():
            return self._db.execute(statement, values).fetchall()

    def stream(self, statement: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query one by one."""
        with _name_full_folder():
            # `yield from` would close the cursor of an unfinished reader, after its database
            for row in self._db.execute(statement, values):  # noqa: UP028
                yield row

    def close(self) -> None:
        """Delete the database."""
        self._db.close()


@contextmanager
def _name_full_folder() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unfinished(
            f"the temporary folder cannot hold the index of a file: {error}",
            "free some space, or set TMPDIR to a folder with more",
        ) from error
