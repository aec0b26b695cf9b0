"""Backup, retention, heads of the audit log, and the commands for them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from finops_cli.service.store.audit import SERVICE, append
from finops_cli.service.store.backup import back_up
from finops_cli.service.store.files import StoredFile, files_folder, insert_file, read_file
from finops_cli.service.store.jobs import insert_job, job_folder, read_job, update_job
from finops_cli.service.store.retention import delete_old, find_old
from finops_cli.service.store.sqlite import SqliteDatabase
from tests.support.program import Finops

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
OLD = NOW - timedelta(days=100)


def add_file(db: sqlite3.Connection, data: Path, id: str, at: datetime) -> None:
    insert_file(
        db,
        StoredFile(
            id=id,
            created=at.isoformat(),
            by="anna",
            name="",
            media_type="x",
            bytes=1,
            sha256="0",
            stored_bytes=1,
            stored_sha256="0",
            lines=1,
            masked_lines=0,
        ),
    )
    files_folder(data).mkdir(exist_ok=True)
    (files_folder(data) / id).write_bytes(b"{}\n")


def add_job(
    db: sqlite3.Connection, data: Path, file: str, ended: datetime | None, inventory: str = ""
) -> str:
    options = {"inventory": inventory} if inventory else {}
    job = insert_job(
        db,
        at=OLD.isoformat(),
        who="anna",
        command="run",
        input=file,
        options=options,
        queue="engine",
        total=1,
    )
    if ended is not None:
        update_job(db, job.id, state="completed", ended=ended.isoformat())
    folder = job_folder(data, job.id)
    folder.mkdir(parents=True)
    (folder / "out.jsonl").write_bytes(b"{}\n")
    return job.id


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an old and a new job, files that jobs need, and strays."""
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(SqliteDatabase(folder)) as database:

        def fill(db: sqlite3.Connection) -> None:
            for id in ("file-old", "file-shared", "file-book", "file-waits"):
                add_file(db, folder, id, OLD)
            add_file(db, folder, "file-new", NOW)
            add_job(db, folder, "file-old", OLD)
            add_job(db, folder, "file-shared", OLD)
            add_job(db, folder, "file-shared", NOW, inventory="file-book")
            add_job(db, folder, "file-waits", None)
            append(db, OLD, SERVICE, "start", "", {})

        database.write_now(fill)
    (folder / "files" / "file-stray").write_bytes(b"x")
    (folder / "jobs" / "job-99").mkdir()
    return folder


def test_old_data_goes_and_what_is_needed_stays(data: Path) -> None:
    """Outputs of jobs that ended long ago go, and files that no kept job names; the rows stay and
    say what was deleted, and the audit log has it.
    """
    with closing(SqliteDatabase(data)) as database:
        old = database.write_now(lambda db: find_old(db, data, NOW - timedelta(days=90)))
        assert old.jobs == ["job-1", "job-2"]
        assert old.files == ["file-old"]
        assert [each.name for each in old.strays] == ["file-stray", "job-99"]
        delete_old(database, data, old, NOW)
        left = {each.name for each in files_folder(data).iterdir()}
        assert left == {"file-shared", "file-book", "file-waits", "file-new"}
        assert {each.name for each in (data / "jobs").iterdir()} == {"job-3", "job-4"}
        job = database.write_now(lambda db: read_job(db, "job-1"))
        file = database.write_now(lambda db: read_file(db, "file-old"))
        assert job is not None
        assert file is not None
        assert job.deleted == file.deleted == NOW.isoformat()
        rows = database.write_now(
            lambda db: db.execute("SELECT subject FROM audit WHERE action = 'expire'").fetchall()
        )
        assert [row["subject"] for row in rows] == ["job-1", "job-2", "file-old"]


def test_job_that_is_resumed_meanwhile_stays(data: Path) -> None:
    """Between the look for old data and its deletion somebody may go on with a job: its output and
    its input stay.
    """
    with closing(SqliteDatabase(data)) as database:
        old = database.write_now(lambda db: find_old(db, data, NOW - timedelta(days=90)))
        database.write_now(lambda db: update_job(db, "job-1", state="queued", ended=None))
        delete_old(database, data, old, NOW)
        job = database.write_now(lambda db: read_job(db, "job-1"))
    assert job is not None
    assert job.deleted is None
    assert (job_folder(data, "job-1") / "out.jsonl").exists()
    assert (files_folder(data) / "file-old").exists()
    assert not job_folder(data, "job-2").exists()


def test_gc_says_what_it_would_delete(data: Path, finops: Finops) -> None:
    """--dry-run deletes nothing; without it the same is deleted, once."""
    said = finops("serve", "gc", "--data", data, "--dry-run").stdout
    assert b"to delete    2 outputs of jobs, 1 files" in said
    assert (files_folder(data) / "file-old").exists()
    done = finops("serve", "gc", "--data", data).stdout
    assert b"deleted      2 outputs of jobs, 1 files" in done
    assert not (files_folder(data) / "file-old").exists()
    assert b"0 outputs" in finops("serve", "gc", "--data", data).stdout


def test_backup_is_a_data_folder(data: Path, tmp_path: Path, finops: Finops) -> None:
    """A copy has every file for its owner alone, and a chain that verifies."""
    copy = tmp_path / "copy"
    done = back_up(data, copy)
    assert done.entries == 1
    for path in copy.rglob("*"):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert (copy / "jobs" / "job-3" / "out.jsonl").read_bytes() == b"{}\n"
    with closing(SqliteDatabase(copy)) as database:
        assert database.write_now(lambda db: read_job(db, "job-4")) is not None
    again = finops("serve", "backup", "--data", data, copy)
    assert (again.returncode, b"holds something" in again.stderr) == (2, True)
    inside = finops("serve", "backup", "--data", data, data / "copy")
    assert (inside.returncode, b"is inside" in inside.stderr) == (2, True)
    missing = finops("serve", "backup", "--data", tmp_path, tmp_path / "c")
    assert (missing.returncode, b"holds no data" in missing.stderr) == (2, True)


def test_verify_audit_finds_a_changed_and_a_cut_log(
    data: Path, tmp_path: Path, finops: Finops
) -> None:
    """An unbroken chain ends with 0 and its head; a changed entry, or an end that was cut off and
    whose hash was kept elsewhere, ends with 1.
    """
    done = finops("serve", "verify-audit", "--data", data)
    assert done.returncode == 0
    seq, head = done.stdout.split()[-2:]
    heads = tmp_path / "heads.jsonl"
    heads.write_text(json.dumps({"seq": int(seq), "at": "", "hash": head.decode()}) + "\n")
    assert finops("serve", "verify-audit", "--data", data, "--heads", heads).returncode == 0
    cut = tmp_path / "cut"
    shutil.copytree(data, cut)
    with closing(sqlite3.connect(cut / "finops.sqlite")) as raw:
        raw.executescript("DROP TRIGGER audit_is_not_deleted; DELETE FROM audit;")
    assert finops("serve", "verify-audit", "--data", cut).returncode == 0
    found = finops("serve", "verify-audit", "--data", cut, "--heads", heads)
    assert (found.returncode, b"kept elsewhere" in found.stdout) == (1, True)
    heads.write_text("{}\n")
    assert finops("serve", "verify-audit", "--data", data, "--heads", heads).returncode == 2
