"""Deletes what is older than `--keep-days`: outputs of jobs, and files that no job needs.

Decisions and the audit log stay. So do the rows of jobs and files, which say what was deleted.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from finops_cli.service.store.audit import SERVICE, append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.files import (
    files_folder,
    is_in_use,
    mark_deleted,
    read_file,
)
from finops_cli.service.store.jobs import (
    ACTIVE,
    ENDED,
    delete_rows,
    deleted_with_rows,
    job_folder,
    job_id,
    read_job,
    update_job,
)

_ENDED = ", ".join(f"'{state}'" for state in ENDED)


class Old(NamedTuple):
    """What may be deleted."""

    jobs: list[str]
    files: list[str]
    strays: list[Path]
    """Files and folders that no row names: an upload or a deletion that a crash cut off."""

    def bytes(self, data: Path) -> int:
        """Return the bytes on the disk."""
        paths = [job_folder(data, id) for id in self.jobs] + self.strays
        paths += [files_folder(data) / id for id in self.files]
        return sum(map(_size, paths))


def find_old(connection: Connection, data: Path, before: datetime | None) -> Old:
    """Return what ended before a moment, and what nobody owns; None: only what nobody owns."""
    return Old(
        jobs=[] if before is None else _old_jobs(connection, before.isoformat()),
        files=[] if before is None else _old_files(connection, before.isoformat()),
        strays=_strays(connection, data),
    )


def delete_old(database: Database, data: Path, old: Old, at: datetime) -> None:
    """Delete it, and record that in the audit log. Call it from a thread without an event loop.

    A job that somebody resumed since it was found stays, and so does a file that a job reads.
    """
    for id in old.jobs:
        if database.write_now(partial(_delete_job, id=id, at=at)):
            shutil.rmtree(job_folder(data, id), ignore_errors=True)
    for id in database.write_now(deleted_with_rows):
        while database.write_now(partial(delete_rows, id=id)):
            pass
    for id in old.files:
        if database.write_now(partial(_delete_file, id=id, at=at)):
            (files_folder(data) / id).unlink(missing_ok=True)
    for stray in old.strays:
        if stray.is_dir():
            shutil.rmtree(stray, ignore_errors=True)
        else:
            stray.unlink(missing_ok=True)


def _delete_job(connection: Connection, id: str, at: datetime) -> bool:
    """Mark a job as deleted; false where it has not ended."""
    job = read_job(connection, id)
    if job is None or job.state not in ENDED:
        return False
    if job.deleted is None:  # else another replica was first
        update_job(connection, id, deleted=at.isoformat())
        append(connection, at, SERVICE, "expire", id, {})
    return True


def _delete_file(connection: Connection, id: str, at: datetime) -> bool:
    """Mark a file as deleted; false where a job reads it."""
    file = read_file(connection, id)
    if file is None or is_in_use(connection, id, ACTIVE):
        return False
    if file.deleted is None:  # the same
        mark_deleted(connection, id, at.isoformat())
        append(connection, at, SERVICE, "expire", id, {})
    return True


def _old_jobs(connection: Connection, before: str) -> list[str]:
    query = (
        f"SELECT seq FROM jobs WHERE deleted IS NULL AND state IN ({_ENDED})"  # noqa: S608 - constants
        " AND ended < ? ORDER BY seq"
    )
    return [job_id(row["seq"]) for row in connection.execute(query, (before,))]


def _old_files(connection: Connection, before: str) -> list[str]:
    """Return the files that no job will read again: none that runs, and none of later."""
    needed = (
        f"SELECT 1 FROM jobs WHERE NOT (state IN ({_ENDED}) AND ended < ?)"  # noqa: S608 - the same
        " AND (input = files.id OR options LIKE '%' || files.id || '%')"
    )
    query = (
        "SELECT id FROM files WHERE deleted IS NULL AND created < ?"  # noqa: S608 - the same
        f" AND NOT EXISTS ({needed}) ORDER BY id"
    )
    return [row["id"] for row in connection.execute(query, (before, before))]


def _strays(connection: Connection, data: Path) -> list[Path]:
    files = {row["id"] for row in connection.execute("SELECT id FROM files WHERE deleted IS NULL")}
    jobs = {
        job_id(row["seq"])
        for row in connection.execute("SELECT seq FROM jobs WHERE deleted IS NULL")
    }
    found = [each for each in _children(files_folder(data)) if each.name not in files]
    return [*found, *(each for each in _children(data / "jobs") if each.name not in jobs)]


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.exists() else 0
