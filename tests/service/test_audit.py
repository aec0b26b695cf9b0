"""The audit log, and the database that holds it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.service.store.audit import Actor, BrokenChain, append, read_entries, verify
from finops_cli.service.store.database import Database

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ANNA = Actor("anna", "analyst", "r-1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


def write_entries(database: Database, count: int) -> None:
    for number in range(count):
        database.write_now(
            lambda db, n=number: append(db, NOW, ANNA, "decision", f"F-{n}", {"tier": "HIGH"})
        )


def verdict_of(database: Database) -> BrokenChain | int:
    return asyncio.run(database.read(verify))


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
        with pytest.raises(sqlite3.DatabaseError, match="audit log is not"):
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
def test_tampering_breaks_the_chain(tmp_path: Path, statement: str, seq: int, reason: str) -> None:
    """A changed or removed entry is found, also without the triggers."""
    database = Database(tmp_path)
    write_entries(database, 5)
    database.close()
    raw = sqlite3.connect(tmp_path / "finops.sqlite")
    raw.executescript(
        f"DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted; {statement};"
    )
    raw.close()
    again = Database(tmp_path)
    found = verdict_of(again)
    again.close()
    assert isinstance(found, BrokenChain)
    assert found.seq == seq
    assert reason in found.reason


def test_cut_off_log_is_found_by_a_kept_hash(database: Database) -> None:
    """A chain that was cut off at its end is whole in itself; a hash kept elsewhere shows it."""
    write_entries(database, 3)
    found = asyncio.run(database.read(lambda db: verify(db, {4: "x"})))
    assert found == BrokenChain(4, "is missing, and a hash of it was kept elsewhere")


def test_failed_work_undoes_itself_alone(database: Database) -> None:
    """Work that fails in the middle leaves nothing, and the work beside it stands."""

    def fail(db: sqlite3.Connection) -> None:
        append(db, NOW, ANNA, "decision", "F-0", {})
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        database.write_now(fail)
    write_entries(database, 1)
    assert verdict_of(database) == 1


def test_second_service_on_a_folder_is_refused(database: Database) -> None:
    """Two services never share a data folder."""
    with pytest.raises(ResumeRefused, match="another finops"):
        Database(database.folder)


def test_database_of_a_newer_finops_is_refused(tmp_path: Path) -> None:
    """Tables with a higher number are not touched."""
    Database(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "finops.sqlite")
    raw.execute("PRAGMA user_version=99")
    raw.close()
    with pytest.raises(UsageError, match="a newer finops"):
        Database(tmp_path)
