"""The jobs of a data folder, as rows and as functions on a connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from msgspec import Struct

from finops_cli.service.store.database import Connection, Row

JobState = Literal[
    "queued",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "cancelling",
    "cancelled",
    "interrupted",
]
"""interrupted: found at the start of the service; such a job goes on by itself."""
JobCommandName = Literal["run", "triage", "resolve", "book", "sentiment", "check", "clock", "net"]
COMMANDS: tuple[JobCommandName, ...] = get_args(JobCommandName)
WITH_FAILS = ("run", "triage", "book")
"""The commands whose lines are fails with their priorities: the queue shows them."""
ACTIVE: tuple[JobState, ...] = ("queued", "in_progress", "finalizing", "cancelling", "interrupted")
ENDED: tuple[JobState, ...] = ("completed", "failed", "cancelled")
_PREFIX = "job-"
_DIGITS = 9
CERTIFICATE = "certificate.jsonl"
"""The name of the file with the proof of a book."""
_ROWS = 256


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job and its progress."""

    id: str
    command: JobCommandName
    input: str
    """The id of a file."""
    options: dict[str, Any]
    state: JobState
    created: str
    by: str
    """The owner of the token."""
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    """Why a job failed, and the fix."""
    attempts: int = 0
    """How often its process was started; each start goes on after the last complete line."""
    request_counts: dict[str, int] = {}
    """`total` lines of the input, `done` lines that are on the disk, and lines by status."""
    verified: bool | None = None
    """Whether exit status 0 of the command said that every answer is verified."""
    output_bytes: int = 0
    """Bytes of the output that are complete lines on the disk."""
    lines_per_second: float | None = None
    """Of the present process."""
    seconds_left: int | None = None
    """An estimate from its speed."""
    stats: dict[str, Any] | None = None
    """The statistics of the run (`--stats-json`)."""
    deleted: str | None = None


def job_id(seq: int) -> str:
    """Return the id of the job with a number."""
    return f"{_PREFIX}{seq}"


def job_number(id: str) -> int:
    """Return the number of a job; 0, which no job has, for a text that is not the id of one."""
    digits = id.removeprefix(_PREFIX)
    is_id = id.startswith(_PREFIX) and digits.isascii() and digits.isdigit()
    return int(digits) if is_id and len(digits) <= _DIGITS else 0


def job_folder(data: Path, id: str) -> Path:
    """Return the folder with the output of a job."""
    return data / "jobs" / id


def output_path(data: Path, id: str) -> Path:
    """Return the output of a job."""
    return job_folder(data, id) / "out.jsonl"


def certificate_path(data: Path, id: str) -> Path:
    """Return the certificate of a job, which only a book makes that is asked for one."""
    return job_folder(data, id) / CERTIFICATE


def insert_job(
    connection: Connection,
    *,
    at: str,
    who: str,
    command: str,
    input: str,
    options: Mapping[str, Any],
    queue: str,
    total: int,
) -> Job:
    """Add a job to the end of its queue."""
    row = connection.execute(
        "INSERT INTO jobs (created, who, command, input, options, queue, state, total)"
        " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?) RETURNING *",
        (at, who, command, input, json.dumps(dict(options)), queue, total),
    ).fetchone()
    return _job(row)


def read_job(connection: Connection, id: str) -> Job | None:
    """Return a job, a deleted one too; None for an unknown id."""
    row = connection.execute("SELECT * FROM jobs WHERE seq = ?", (job_number(id),)).fetchone()
    return None if row is None else _job(row)


def list_jobs(connection: Connection, before: int | None = None, at_most: int = 100) -> list[Job]:
    """Return the jobs that are not deleted, the newest first; those before number `before`."""
    rows = connection.execute(
        "SELECT * FROM jobs WHERE deleted IS NULL AND seq < ? ORDER BY seq DESC LIMIT ?",
        (2**53 if before is None else before, at_most),
    )
    return [_job(row) for row in rows]


def jobs_in(connection: Connection, *states: JobState) -> list[Job]:
    """Return the jobs in one of `states`, the oldest first."""
    places = ", ".join("?" * len(states))
    rows = connection.execute(
        f"SELECT * FROM jobs WHERE state IN ({places}) ORDER BY seq",  # noqa: S608 - no value is in the text
        states,
    )
    return [_job(row) for row in rows]


def next_job(connection: Connection, queue: str) -> Job | None:
    """Return the oldest job of a queue that waits; one that was interrupted goes first."""
    row = connection.execute(
        "SELECT * FROM jobs WHERE queue = ? AND state IN ('interrupted', 'queued')"
        " ORDER BY state = 'queued', seq LIMIT 1 /*postgres: FOR UPDATE SKIP LOCKED */",
        (queue,),
    ).fetchone()
    return None if row is None else _job(row)


def take_next_job(connection: Connection, queue: str, at: str, owner: str) -> Job | None:
    """Begin the next job of a queue, and return it as it is then; None: none waits.

    `owner` is the service that runs it, and takes a job only when it runs none of the queue. A job
    that it has nevertheless is one that it took without an answer: the database was lost while it
    committed. That one is returned first.
    """
    if not _is_listed(connection, owner):
        return None
    unanswered = _job_of(connection, queue, owner)
    if unanswered is not None:
        return unanswered
    job = next_job(connection, queue)
    if job is None:
        return None
    began = {"started": job.started or at, "attempts": job.attempts + 1, "error": None}
    update_job(connection, job.id, state="in_progress", owner=owner, **began)
    return read_job(connection, job.id)


def _job_of(connection: Connection, queue: str, owner: str) -> Job | None:
    """Return the job of a queue that a service has begun and not ended."""
    row = connection.execute(
        "SELECT * FROM jobs WHERE queue = ? AND owner = ?", (queue, owner)
    ).fetchone()
    return None if row is None else _job(row)


def _is_listed(connection: Connection, owner: str) -> bool:
    """Return false for a service that the others took for dead: they would begin its job again."""
    row = connection.execute("SELECT 1 FROM replicas WHERE id = ?", (owner,)).fetchone()
    return row is not None


def count_waiting(connection: Connection) -> int:
    """Return the number of jobs that wait."""
    [count] = connection.execute(
        "SELECT count(*) FROM jobs WHERE state IN ('interrupted', 'queued')"
    ).fetchone()
    return int(count)


def latest_queue(connection: Connection) -> Job | None:
    """Return the newest complete job with fails, else the newest that has begun; None: no job."""
    places = ", ".join("?" * len(WITH_FAILS))
    row = connection.execute(
        f"SELECT * FROM jobs WHERE deleted IS NULL AND command IN ({places})"  # noqa: S608 - the same
        " ORDER BY state = 'completed' DESC, done > 0 DESC, seq DESC LIMIT 1",
        WITH_FAILS,
    ).fetchone()
    return None if row is None else _job(row)


def update_job(connection: Connection, id: str, **fields: Any) -> None:
    """Change columns of a job."""
    changes = ", ".join(f"{name} = ?" for name in fields)
    statement = f"UPDATE jobs SET {changes} WHERE seq = ?"  # noqa: S608 - names are our own
    connection.execute(statement, (*fields.values(), job_number(id)))


def count_lines(
    connection: Connection, id: str, statuses: Mapping[str, int], lines: int, end: int
) -> None:
    """Count `lines` more lines of the output, which now ends at byte `end`."""
    row = connection.execute("SELECT counts FROM jobs WHERE seq = ?", (job_number(id),)).fetchone()
    counts: dict[str, int] = json.loads(row["counts"])
    for status, count in statuses.items():
        counts[status] = counts.get(status, 0) + count
    connection.execute(
        "UPDATE jobs SET counts = ?, done = done + ?, done_bytes = ? WHERE seq = ?",
        (json.dumps(counts), lines, end, job_number(id)),
    )


def forget_lines(connection: Connection, id: str) -> None:
    """Begin to count the lines of a job again."""
    update_job(connection, id, counts="{}", done=0, done_bytes=0)


def delete_rows(connection: Connection, id: str, at_most: int = _ROWS) -> int:
    """Delete some fails of a job, and return how many: others may write between two parts."""
    return connection.execute(
        "DELETE FROM fails WHERE id IN (SELECT id FROM fails WHERE job = ? LIMIT ?)",
        (job_number(id), at_most),
    ).rowcount


def deleted_with_rows(connection: Connection) -> list[str]:
    """Return the deleted jobs whose fails are not all deleted yet."""
    rows = connection.execute(
        "SELECT seq FROM jobs WHERE deleted IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM fails WHERE job = seq)"
    )
    return [job_id(row["seq"]) for row in rows]


def _job(row: Row) -> Job:
    return Job(
        id=job_id(row["seq"]),
        command=row["command"],
        input=row["input"],
        options=json.loads(row["options"]),
        state=row["state"],
        created=row["created"],
        by=row["who"],
        started=row["started"],
        ended=row["ended"],
        error=row["error"],
        attempts=row["attempts"],
        request_counts={
            "total": row["total"],
            "done": row["done"],
            **json.loads(row["counts"]),
        },
        verified=None if row["verified"] is None else bool(row["verified"]),
        output_bytes=row["done_bytes"],
        deleted=row["deleted"],
    )
