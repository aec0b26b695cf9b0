"""The audit log, and the database that holds it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.service.audit_log.chain import WORKER, Chain
from finops_cli.service.store.audit import Actor, BrokenChain, append, read_entries, verify
from finops_cli.service.store.database import Connection, Database, DatabaseLost
from finops_cli.service.store.group_commit import GroupCommit, Outcome, Waiting, settle
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.sqlite import DATABASE_FILE, SqliteDatabase

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ANNA = Actor("anna", "analyst", "r-1")


@pytest.fixture
def database(tmp_path: Path, store: str | None) -> Iterator[Database]:
    opened = open_database(tmp_path, store)
    yield opened
    opened.close()


def write_entries(database: Database, count: int) -> None:
    for number in range(count):
        database.write_now(
            lambda db, n=number: append(db, NOW, ANNA, "decision", f"F-{n}", {"tier": "HIGH"})
        )


def verdict_of(database: Database) -> BrokenChain | int:
    return asyncio.run(Chain(database).verify())


def test_chain_of_entries_is_verified(database: Database) -> None:
    """An untouched log has as many entries as were written, and reads as written."""
    write_entries(database, 5)
    assert verdict_of(database) == 5
    entries = asyncio.run(database.read(lambda db: read_entries(db, after=3)))
    assert [(each.seq, each.subject) for each in entries] == [(4, "F-3"), (5, "F-4")]


def test_entries_are_neither_changed_nor_deleted(database: Database) -> None:
    """The database itself refuses to change or delete an entry."""
    write_entries(database, 2)
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="audit log is not"):
            database.write_now(lambda db, sql=statement: db.execute(sql))
    assert verdict_of(database) == 2


@pytest.mark.parametrize(
    ("statement", "seq", "reason"),
    [
        ("UPDATE audit SET who = 'eve' WHERE seq = 2", 2, "was changed"),
        ("UPDATE audit SET details = '{}' WHERE seq = 3", 3, "was changed"),
        ("DELETE FROM audit WHERE seq = 2", 3, "entry 2 is missing"),
        ("UPDATE audit SET prev = 'x' WHERE seq = 4", 4, "does not name the hash"),
    ],
)
def test_tampering_breaks_the_chain(
    database: Database, statement: str, seq: int, reason: str
) -> None:
    """A changed or removed entry is found, also without the triggers."""
    write_entries(database, 5)

    def tamper(connection: Connection) -> None:
        for trigger in ("audit_is_not_changed", "audit_is_not_deleted"):
            of = " ON audit" if database.is_shared else ""
            connection.execute(f"DROP TRIGGER {trigger}{of}")
        connection.execute(statement)

    database.write_now(tamper)
    found = verdict_of(database)
    assert isinstance(found, BrokenChain)
    assert found.seq == seq
    assert reason in found.reason


def test_cut_off_log_is_found_by_a_kept_hash(database: Database) -> None:
    """A chain that was cut off at its end is whole in itself; a hash kept elsewhere shows it."""
    write_entries(database, 3)
    found = asyncio.run(database.read(lambda db: verify(db, {4: "x"})))
    assert found == BrokenChain(4, "is missing, and a hash of it was kept elsewhere")


def children_of(program: str) -> list[int]:
    """Return the processes that this one started with the module `program`."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    named = f"-m\0{program}\0".encode()
    return [int(each) for each in found if named in Path(f"/proc/{each}/cmdline").read_bytes()]


async def read_while_it_verifies(database: Database) -> BrokenChain | int | None:
    """Read the log while a verification stands still; None where it was over before."""
    task = asyncio.create_task(Chain(database).verify())
    while not task.done() and not (found := children_of(WORKER)):
        await asyncio.sleep(0)
    if task.done():
        return None
    os.kill(found[0], signal.SIGSTOP)
    try:
        if task.done():
            return None
        async with asyncio.timeout(60):
            assert len(await database.read(read_entries)) == 5
            await database.write(lambda db: append(db, NOW, ANNA, "view", "F-1", {}))
        assert not task.done()
    finally:
        os.kill(found[0], signal.SIGCONT)
    return await task


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it finds the process in /proc")
def test_others_read_and_write_while_a_log_is_verified(tmp_path: Path) -> None:
    """A verification that lasts for ever holds up no other reader, and no writer."""
    database = SqliteDatabase(tmp_path)
    write_entries(database, 5)
    try:
        assert asyncio.run(read_while_it_verifies(database)) in (5, 6)
    finally:
        database.close()


def test_log_that_cannot_be_read_is_no_broken_chain(tmp_path: Path) -> None:
    """A database that is gone is an error of the service, and says nothing about the chain."""
    database = SqliteDatabase(tmp_path)
    try:
        (tmp_path / DATABASE_FILE).unlink()
        with pytest.raises(DatabaseLost, match="could not be verified"):
            verdict_of(database)
    finally:
        database.close()


def test_failed_work_undoes_itself_alone(database: Database) -> None:
    """Work that fails in the middle leaves nothing, and the work beside it stands."""

    def fail(db: Connection) -> None:
        append(db, NOW, ANNA, "decision", "F-0", {})
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        database.write_now(fail)
    write_entries(database, 1)
    assert verdict_of(database) == 1


def test_second_service_on_a_folder_is_refused(tmp_path: Path) -> None:
    """Two services never share a database of SQLite."""
    first = SqliteDatabase(tmp_path)
    with pytest.raises(ResumeRefused, match="another finops"):
        SqliteDatabase(tmp_path)
    first.close()


def test_database_of_a_newer_finops_is_refused(tmp_path: Path) -> None:
    """Tables with a higher number are not touched."""
    SqliteDatabase(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "finops.sqlite")
    raw.execute("PRAGMA user_version=99")
    raw.close()
    with pytest.raises(UsageError, match="a newer finops"):
        SqliteDatabase(tmp_path)


def test_query_of_a_damaged_database_is_an_error_of_ours(tmp_path: Path) -> None:
    """A database that cannot be read is named, with its file, as one that cannot be written."""
    with closing(SqliteDatabase(tmp_path)) as database:
        write_entries(database, 5)
        with closing(sqlite3.connect(database.path)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray(database.path.read_bytes())
        content[4096:] = bytes(len(content) - 4096)
        database.path.write_bytes(content)
        with pytest.raises(DatabaseLost, match=r"finops\.sqlite"):
            asyncio.run(database.read(lambda db: read_entries(db, after=0)))


def test_writer_outlives_an_unforeseen_error() -> None:
    """A commit that fails as nobody foresaw is reported to its callers, and later work is done."""
    works: list[int] = []

    def commit(given: Sequence[Waiting]) -> None:
        works.append(len(given))
        if len(works) == 1:
            raise RuntimeError("unforeseen")
        settle([Outcome(each.future, "done") for each in given])

    async def write() -> object:
        async with asyncio.timeout(5):
            return await writer.write(lambda db: None)

    writer = GroupCommit(commit)
    try:
        with pytest.raises(RuntimeError, match="unforeseen"):
            asyncio.run(write())
        assert asyncio.run(write()) == "done"
    finally:
        writer.close()


def test_import_goes_on_under_load(tmp_path: Path) -> None:
    """Short work passes an import a few times, and not for ever."""
    database, order, gate = SqliteDatabase(tmp_path), list[str](), Event()

    async def fill() -> None:
        held = asyncio.ensure_future(database.write(lambda db: gate.wait(10)))
        await asyncio.sleep(0.1)
        later = asyncio.ensure_future(database.write(lambda db: order.append("later"), soon=False))
        soon = [
            asyncio.ensure_future(database.write(lambda db: order.append("soon")))
            for _ in range(1_000)
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(held, later, *soon)

    asyncio.run(fill())
    database.close()
    assert order.count("soon") == 1_000
    assert 0 < order.index("later") < 500
