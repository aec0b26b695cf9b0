"""The example of `finops serve --demo`: a file and a job on it, once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.service.auth.tokens import Now
from finops_cli.service.batch.runner import JobRunner
from finops_cli.service.store.audit import SERVICE, append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.files import StoredFile, files_folder, insert_file
from finops_cli.service.store.jobs import insert_job, latest_queue

_ID = "file-demo"


async def add_demo(
    example: Path, data: Path, database: Database, runner: JobRunner, now: Now
) -> None:
    """Store the example and begin a job on it, unless the data folder has a job already."""
    if await database.read(latest_queue) is not None:
        return
    content, at = example.read_bytes(), now()
    with open(files_folder(data) / _ID, "wb", opener=for_owner_unlinked) as out:
        out.write(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = StoredFile(
        id=_ID,
        created=at.isoformat(),
        by=SERVICE.who,
        name=example.name,
        media_type="application/jsonl",
        bytes=len(content),
        sha256=sha256,
        stored_bytes=len(content),
        stored_sha256=sha256,
        lines=content.count(b"\n"),
        masked_lines=0,
    )

    def store(connection: Connection) -> None:
        insert_file(connection, file)
        append(connection, at, SERVICE, "upload", _ID, {"bytes": file.bytes, "sha256": sha256})
        job = insert_job(
            connection,
            at=at.isoformat(),
            who=SERVICE.who,
            command="run",
            input=_ID,
            options={},
            queue=runner.queue_of("run"),
            total=file.lines,
        )
        append(connection, at, SERVICE, "job", job.id, {"command": "run", "input": _ID})

    await database.write(store)
    runner.wake()
