"""A data folder whose newest job has the output that a test makes: any line that a model, an older
version or a stranger could have left there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from finops_cli.service.store.database import Connection
from finops_cli.service.store.fails import NewFails, Place
from finops_cli.service.store.files import StoredFile, files_folder, insert_file
from finops_cli.service.store.jobs import (
    count_lines,
    insert_job,
    job_folder,
    output_path,
    update_job,
)
from finops_cli.service.store.opening import open_database
from finops_cli.views.answers import Answer, read_answer

_AT = "2026-11-29T08:00:00+00:00"


def craft_job(folder: Path, lines: Sequence[bytes], records: Sequence[bytes] = ()) -> str:
    """Store a complete job with these output lines and input records; return its id."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files_folder(folder).mkdir(exist_ok=True)
    file = _write_input(folder, b"".join(record + b"\n" for record in records), len(lines))
    database = open_database(folder, None)
    try:
        return database.write_now(lambda db: _store(db, folder, file, lines))
    finally:
        database.close()


def _write_input(folder: Path, content: bytes, lines: int) -> StoredFile:
    digest = hashlib.sha256(content).hexdigest()
    name = f"file-{digest[:12]}{lines:04}"
    (files_folder(folder) / name).write_bytes(content)
    return StoredFile(
        id=name,
        created=_AT,
        by="tests",
        name="crafted.jsonl",
        media_type="application/jsonl",
        bytes=len(content),
        sha256=digest,
        stored_bytes=len(content),
        stored_sha256=digest,
        lines=content.count(b"\n"),
        masked_lines=0,
    )


def _store(db: Connection, folder: Path, file: StoredFile, lines: Sequence[bytes]) -> str:
    insert_file(db, file)
    job = insert_job(
        db,
        at=_AT,
        who="tests",
        command="run",
        input=file.id,
        options={},
        queue="engine",
        total=len(lines),
    )
    job_folder(folder, job.id).mkdir(parents=True)
    output_path(folder, job.id).write_bytes(b"".join(line + b"\n" for line in lines))
    rows, start = [], 0
    for number, line in enumerate(lines, start=1):
        answer = read_answer(line, number)
        assert isinstance(answer, Answer), answer
        rows.append((answer, Place(number, start, len(line) + 1)))
        start += len(line) + 1
    NewFails(job.id, rows).insert(db)
    count_lines(db, job.id, Counter(str(each.status) for each, _ in rows), len(lines), start)
    update_job(db, job.id, state="completed", ended=_AT, verified=True)
    return job.id
