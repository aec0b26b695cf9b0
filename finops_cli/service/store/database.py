"""The database of the service: one writer, one reader, each in a thread of its own.

Writers that compete for SQLite wait for seconds while a long import runs. One writer that commits
what has gathered, and takes short work first, keeps a decision at milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import PriorityQueue
from threading import Thread
from typing import Any, TypeVar

from finops_cli.errors import Unfinished, UsageError
from finops_cli.files.safe_io import for_owner, lock
from finops_cli.service.store.migrations import MIGRATIONS

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""Statements on a connection. They run whole or not at all."""
DATABASE_FILE, _LOCK = "finops.sqlite", "finops.lock"
_SOON, _LATER, _LAST = 0, 1, 2
_WAIT_MS = 10_000
_AT_ONCE = 64
"""Works that are committed together at most."""


class Database:
    """The open database of a data folder. One service at a time uses a folder."""

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
            self._writer = _connect(self.path)
            _migrate(self._writer, self.path)
        except UsageError:
            self._lock.close()
            raise
        self._queue: PriorityQueue[tuple[int, int, Any, Future[Any]]] = PriorityQueue()
        self._count = 0
        self._reading = ThreadPoolExecutor(1, "finops-reader")
        self._reader = self._reading.submit(_connect, self.path).result()
        self._thread = Thread(target=self._run, name="finops-writer")
        self._thread.start()

    async def write(self, work: Work[T], soon: bool = True) -> T:
        """Run `work` in a transaction and return its result when it is on the disk.

        `soon` False: an import, which lets other work pass.
        """
        return await asyncio.wrap_future(self._submit(work, _SOON if soon else _LATER))

    def write_now(self, work: Work[T]) -> T:
        """Run `work` in a transaction, from a thread without an event loop."""
        return self._submit(work, _SOON).result()

    async def read(self, work: Work[T]) -> T:
        """Run a query and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, work, self._reader)

    def close(self) -> None:
        """Finish what is queued, and close the database."""
        self._submit(lambda connection: None, _LAST).result()
        self._queue.put((_LAST + 1, 0, None, Future()))
        self._thread.join()
        self._reading.submit(self._reader.close).result()
        self._reading.shutdown()
        self._writer.close()
        self._lock.close()

    def _submit(self, work: Work[T], priority: int) -> Future[T]:
        future: Future[T] = Future()
        self._count += 1
        self._queue.put((priority, self._count, work, future))
        return future

    def _run(self) -> None:
        while True:
            gathered = [self._queue.get()]
            while len(gathered) < _AT_ONCE and not self._queue.empty():
                if gathered[-1][0] >= _LATER:
                    break
                gathered.append(self._queue.get())
            if gathered[0][2] is None:
                return
            self._commit([(work, future) for _, _, work, future in gathered if work is not None])
            if gathered[-1][2] is None:
                return

    def _commit(self, gathered: list[tuple[Work[Any], Future[Any]]]) -> None:
        """Commit works together; one that fails undoes itself alone."""
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for work, future in gathered:
                self._writer.execute("SAVEPOINT work")
                try:
                    done.append((future, work(self._writer)))
                except Exception as error:  # noqa: BLE001 - handed to whoever waits for the work
                    self._writer.execute("ROLLBACK TO work")
                    failed.append((future, error))
                self._writer.execute("RELEASE work")
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            fault = Unfinished(f"{self.path}: {error}", "free some space, and start again")
            failed += [(future, fault) for future, _ in done]
            settled = {id(future) for future, _ in failed}
            failed += [(future, fault) for _, future in gathered if id(future) not in settled]
            done = []
        for future, result in done:
            future.set_result(result)
        for future, cause in failed:
            future.set_exception(cause)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database that a service uses, for a process that only reads it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
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
    for number, statements in enumerate(MIGRATIONS[have:], start=have + 1):
        connection.executescript(f"BEGIN;{statements};PRAGMA user_version={number};COMMIT;")
