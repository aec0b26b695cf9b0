"""Queues in a database of the service, without a running one."""

from __future__ import annotations

import msgspec

from finops_cli.service.store.database import Connection
from finops_cli.service.store.fails import NewFails, Place, mark_gone
from finops_cli.service.store.files import StoredFile, insert_file
from finops_cli.service.store.jobs import Job, insert_job, update_job
from finops_cli.views.answers import Answer, read_answer
from tests.support.program import ROOT

NOW = "2026-11-30T09:00:00+00:00"
LINES = (ROOT / "examples/monday.expected.jsonl").read_bytes().splitlines(keepends=True)


def add_file(db: Connection) -> None:
    """Add the file that the jobs work on."""
    file = StoredFile(
        id="file-1",
        created=NOW,
        by="anna",
        name="",
        media_type="application/jsonl",
        bytes=1,
        sha256="0",
        stored_bytes=1,
        stored_sha256="0",
        lines=1,
        masked_lines=0,
    )
    insert_file(db, file)


def a_job(db: Connection, command: str = "run") -> Job:
    return insert_job(
        db,
        at=NOW,
        who="anna",
        command=command,
        input="file-1",
        options={},
        queue="engine",
        total=len(LINES),
    )


def a_queue(db: Connection) -> Job:
    """Add a job whose output are the expected lines of Monday."""
    job, start, rows = a_job(db), 0, []
    for number, line in enumerate(LINES, start=1):
        answer = read_answer(line, number)
        assert isinstance(answer, Answer)
        rows.append((answer, Place(number, start, len(line))))
        start += len(line)
    NewFails(job.id, rows).insert(db)
    update_job(db, job.id, state="completed")
    return job


EASED, RAISED, SAME = "F-1001", "F-1002", "F-1003"
SECOND = {EASED: "LOW", RAISED: "CRITICAL", SAME: None}


def a_second_queue(db: Connection) -> Job:
    """Add a job with three fails of Monday, two of them in another tier, and one that is new."""
    job, rows = a_job(db), []
    for number, line in enumerate(LINES, start=1):
        answer = read_answer(line, number)
        assert isinstance(answer, Answer)
        if answer.fail_id in SECOND:
            tier = SECOND[answer.fail_id] or answer.tier
            rows.append((msgspec.structs.replace(answer, tier=tier), Place(number, 0, 1)))
    newcomer = msgspec.structs.replace(rows[0][0], fail_id="F-NEW", warnings=1)
    NewFails(job.id, [*rows, (newcomer, Place(99, 0, 1))]).insert(db)
    assert not mark_gone(db, job.id, 1, 100)
    update_job(db, job.id, state="completed")
    return job
