"""SQLite: a file in the folder of the service, with one writer and one reader.

Each has a thread of its own. Several readers would fight over the interpreter row by row.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from finops_cli.errors import FinopsError, Unfinished, UsageError
from finops_cli.files.safe_io import for_owner, lock
from finops_cli.service.store.database import DatabaseLost, Work
from finops_cli.service.store.group_commit import (
    GroupCommit,
    Outcome,
    Waiting,
    fail_all,
    run_works,
    settle,
)
from finops_cli.service.store.migrations import MIGRATIONS

T = TypeVar("T")
DATABASE_FILE, _LOCK = "finops.sqlite", "finops.lock"
_WAIT_MS = 10_000
_FULL = "SQLITE_FULL"


class SqliteDatabase:
    """The open database of a data folder. One service at a time uses a folder."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        """Open or create it. Raises UsageError where another service uses `folder`, or where a
        newer finops has made the database.
        """
        self.folder = folder
        self._lock = open(folder / _LOCK, "a+b", opener=for_owner)  # noqa: SIM115 - held open
        try:
            lock(self._lock, folder)
            self.path = folder / DATABASE_FILE
            os.close(for_owner(str(self.path), os.O_RDWR | os.O_CREAT))  # SQLite copies the mode
            self._connection = connect(self.path)
            try:
                _migrate(self._connection, self.path)
            except UsageError:
                self._connection.close()
                raise
        except UsageError:
            self._lock.close()
            raise
        self.address = str(self.path)
        self._reading = ThreadPoolExecutor(1, "finops-reader")
        self._reader = self._reading.submit(connect, self.path).result()
        self._writer = GroupCommit(self._commit)

    async def write(self, work: Work[T], soon: bool = True) -> T:
        """Run `work` in a transaction and return its result when it is on the disk."""
        return await self._writer.write(work, soon)

    def write_now(self, work: Work[T]) -> T:
        """Run `work` in a transaction, from a thread without an event loop."""
        return self._writer.write_now(work)

    async def read(self, work: Work[T]) -> T:
        """Run a query and return its result."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, work, self._reader)
        except sqlite3.DatabaseError as error:
            raise self._fault(error) from error

    async def is_ready(self) -> bool:
        """Return true: a file is there as long as the process is."""
        return True

    def close(self) -> None:
        """Finish what is queued, and close the database."""
        self._writer.close()
        self._reading.submit(self._reader.close).result()
        self._reading.shutdown()
        self._connection.close()
        self._lock.close()

    def _commit(self, works: Sequence[Waiting]) -> None:
        outcomes: list[Outcome] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._name_fault(each) for each in run_works(self._connection, works)]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            fail_all(works, outcomes, self._fault(error))
        else:
            settle(outcomes)

    def _name_fault(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome.error, sqlite3.OperationalError):
            return outcome
        return outcome._replace(error=self._fault(outcome.error))

    def _fault(self, error: sqlite3.Error) -> FinopsError:
        """Return the error of whoever waits: a full disk, or a database that takes no changes."""
        name = getattr(error, "sqlite_errorname", "")
        if name == _FULL or name.startswith("SQLITE_IOERR"):
            return Unfinished(f"{self.path}: {error}", "free some space, and start again")
        return DatabaseLost(
            f"{self.path}: {error}", "look at the rights of the folder and at its disk"
        )


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that a service uses, for a process that only reads it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that reads and writes."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables up to date. Raises UsageError for those of a newer finops."""
    [have] = connection.execute("PRAGMA user_version").fetchone()
    if have > len(MIGRATIONS):
        raise UsageError(
            f"{path}: a newer finops made this database", "use that finops, or another --data"
        )
    for number, step in enumerate(MIGRATIONS[have:], start=have + 1):
        connection.executescript(f"BEGIN;{step.for_sqlite()};PRAGMA user_version={number};COMMIT;")
