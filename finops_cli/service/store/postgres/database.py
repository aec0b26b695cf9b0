"""PostgreSQL: a database that several services share, each with a few connections.

All writers hold one advisory lock while they commit. So each change sees what came before it, as
with SQLite, and the audit log has one order. The lock ends with the transaction, and so with the
connection of a service that was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, local
from time import monotonic
from typing import TypeVar

from finops_cli.errors import Unfinished, UsageError
from finops_cli.service.store.database import Connection, DatabaseLost, Work
from finops_cli.service.store.group_commit import (
    GroupCommit,
    Outcome,
    Waiting,
    fail_all,
    run_works,
    settle,
)
from finops_cli.service.store.migrations import MIGRATIONS
from finops_cli.service.store.postgres.connection import (
    Address,
    PostgresConnection,
    name_fault,
    read_address,
)

T = TypeVar("T")
POOL = 10
"""Connections of a service at most: one that writes, and those that read."""
_LEAST_VERSION = 150_000
_WRITERS = "SELECT pg_advisory_xact_lock(7237081, 1)"
"""The lock of the writers of a database; the numbers have no meaning."""
_PATIENCE = 30
"""Seconds until a request gets the answer that the database does not answer."""
_READY_SECONDS = 2
_READY_FOR = 1.0
"""Seconds for which an answer about readiness holds: anybody may ask."""
_UNKNOWN = "it is not known if the last change was stored"


class PostgresDatabase:
    """The database of `--store`, which several services may use."""

    is_shared = True

    def __init__(self, folder: Path, address: str) -> None:
        """Connect, and bring the tables up to date.

        Raises MissingPiece where the database does not answer, and UsageError where it cannot be
        used.
        """
        self.folder, self.address = folder, address
        self._address = read_address(address)
        import psycopg  # after the address is read, which says how to install it

        self._connection: PostgresConnection | None = None
        self._is_full = False
        self._checked: tuple[float, bool] | None = None
        self._own = local()
        self._opened: list[PostgresConnection] = []
        self._lock = Lock()
        try:
            _migrate(self._writing_connection(), self._address)
        except psycopg.Error as error:
            raise name_fault(self._address, error, is_open=False) from None
        self._reading = ThreadPoolExecutor(POOL - 1, "finops-reader")
        self._writer = GroupCommit(self._commit)

    async def write(self, work: Work[T], soon: bool = True) -> T:
        """Run `work` in a transaction and return its result when it is on the disk."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._writer.write(work, soon)
        except TimeoutError:
            raise self._silent(_UNKNOWN) from None

    def write_now(self, work: Work[T]) -> T:
        """Run `work` in a transaction, from a thread without an event loop."""
        return self._writer.write_now(work)

    async def read(self, work: Work[T]) -> T:
        """Run a query and return its result."""
        return await self._read_within(work, _PATIENCE)

    async def is_ready(self) -> bool:
        """Return true if the database answers, takes changes, and has room for them."""
        now = monotonic()
        if self._checked is None or now - self._checked[0] > _READY_FOR:
            try:
                takes_changes = await self._read_within(_takes_changes, _READY_SECONDS)
            except DatabaseLost:
                takes_changes = False
            self._checked = (now, takes_changes)
        return self._checked[1] and not self._is_full

    def close(self) -> None:
        """Finish what is queued, and close the connections."""
        self._writer.close()
        self._reading.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            left, self._opened = self._opened, []
        for connection in left:
            with suppress(Exception):  # one that is lost already
                connection.close()
        self._drop_writer()

    async def _read_within(self, work: Work[T], seconds: float) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._reading, self._read, work)
        except TimeoutError:
            raise self._silent("nothing was read") from None

    def _read(self, work: Work[T]) -> T:
        """Run a query in a thread; a lost connection is opened again, once."""
        import psycopg

        for is_last in (False, True):
            try:
                return work(self._own_connection())
            except psycopg.Error as error:
                self._drop_own()
                fault = name_fault(self._address, error)
                if is_last or not isinstance(fault, DatabaseLost):
                    raise fault from None
        raise AssertionError

    def _own_connection(self) -> PostgresConnection:
        """Return the connection of the present thread."""
        found: PostgresConnection | None = getattr(self._own, "connection", None)
        if found is None:
            found = self._own.connection = PostgresConnection(self._address)
            with self._lock:
                self._opened.append(found)
        return found

    def _drop_own(self) -> None:
        found: PostgresConnection | None = getattr(self._own, "connection", None)
        self._own.connection = None
        if found is not None:
            with self._lock:
                self._opened = [each for each in self._opened if each is not found]
            found.close()

    def _commit(self, works: Sequence[Waiting]) -> None:
        """Commit works together. A connection that was lost before is opened again, once."""
        import psycopg

        for is_last in (False, True):
            outcomes: list[Outcome] = []
            is_committing = False
            try:
                connection = self._writing_connection()
                connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                connection.execute(_WRITERS)
                outcomes = [self._name(each) for each in run_works(connection, works)]
                is_committing = True
                connection.execute("COMMIT")
            except psycopg.Error as error:
                self._drop_writer()
                fault = name_fault(self._address, error)
                if isinstance(fault, DatabaseLost) and not is_committing and not is_last:
                    continue
                self._is_full = isinstance(fault, Unfinished)
                if is_committing and isinstance(fault, DatabaseLost):
                    fault = self._silent(_UNKNOWN)
                fail_all(works, outcomes, fault)
            else:
                self._is_full = False
                settle(outcomes)
            return

    def _name(self, outcome: Outcome) -> Outcome:
        if outcome.error is None or not isinstance(outcome.error, Exception):
            return outcome
        return outcome._replace(error=name_fault(self._address, outcome.error))

    def _writing_connection(self) -> PostgresConnection:
        if self._connection is None:
            self._connection = PostgresConnection(self._address)
            # a service that is stopped in a transaction holds up the others no longer than this
            self._connection.execute("SET idle_in_transaction_session_timeout = '10s'")
        return self._connection

    def _drop_writer(self) -> None:
        found, self._connection = self._connection, None
        if found is not None:
            with suppress(Exception):  # it is lost already
                found.close()

    def _silent(self, consequence: str) -> DatabaseLost:
        return DatabaseLost(
            f"{self._address.shown} does not answer; {consequence}",
            "send the request again, with the same Idempotency-Key if it had one",
        )


@contextmanager
def postgres_snapshot(address: str) -> Iterator[Connection]:
    """Read a database as it is at one moment, for a process that only reads it."""
    known = read_address(address)
    import psycopg  # after the address is read, which says how to install it

    try:
        connection = PostgresConnection(known)
    except psycopg.Error as error:
        raise name_fault(known, error, is_open=False) from None
    try:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection
    except psycopg.Error as error:
        raise name_fault(known, error, is_open=False) from None
    finally:
        connection.close()


def _takes_changes(connection: Connection) -> bool:
    [is_read_only] = connection.execute("SHOW transaction_read_only").fetchone()
    return bool(is_read_only == "off")


def _migrate(connection: PostgresConnection, address: Address) -> None:
    """Bring the tables up to date; one service at a time does it."""
    if connection.server_version < _LEAST_VERSION:
        version = connection.server_version // 10_000
        raise UsageError(
            f"{address.shown}: PostgreSQL {version}. Expected 15 or newer.", "use a newer server"
        )
    [encoding] = connection.execute("SHOW server_encoding").fetchone()
    if encoding != "UTF8":
        raise UsageError(
            f"{address.shown}: the encoding of the database is {encoding}. Expected UTF8.",
            "createdb --encoding UTF8 --template template0 NAME",
        )
    _in_transaction(connection, lambda: _take_steps(connection, address))


def _in_transaction(connection: PostgresConnection, work: Callable[[], None]) -> None:
    connection.execute("BEGIN")
    connection.execute(_WRITERS)
    work()
    connection.execute("COMMIT")


def _take_steps(connection: PostgresConnection, address: Address) -> None:
    from psycopg import errors

    try:
        connection.execute("CREATE TABLE IF NOT EXISTS finops_schema (version BIGINT NOT NULL)")
        row = connection.execute("SELECT max(version) AS version FROM finops_schema").fetchone()
        have = (None if row is None else row["version"]) or 0
        if have > len(MIGRATIONS):
            raise UsageError(
                f"{address.shown}: a newer finops made these tables",
                "use that finops, or another database",
            )
        for number, step in enumerate(MIGRATIONS[have:], start=have + 1):
            connection.run_script(step.for_postgres())
            connection.execute("INSERT INTO finops_schema VALUES (?)", (number,))
    except errors.DuplicateTable as error:
        raise UsageError(
            f"{address.shown}: {address.hide_password(str(error))}: it has other tables",
            "give finops a database of its own",
        ) from None
