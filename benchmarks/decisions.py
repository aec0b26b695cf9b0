"""Measure decisions, alone and beside an import that follows another queue, through HTTP and in the
store: `python -m benchmarks.decisions 30000`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import httpx

from benchmarks.serve import TOKEN, cpu_seconds, desk_figures, finops_server, first_record, p99_ms
from finops_cli.service.auth.tokens import utc_now
from finops_cli.service.batch.progress import JobProgress
from finops_cli.service.fails.deciding import DecisionRequest, record_decision
from finops_cli.service.store.audit import Actor
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import Content
from finops_cli.service.store.fails import find_fail
from finops_cli.service.store.files import StoredFile, insert_file
from finops_cli.service.store.jobs import Job, insert_job, list_jobs, output_path, update_job
from finops_cli.service.store.sqlite import SqliteDatabase


async def times_in_store(folder: Path, lines: list[bytes]) -> list[float]:
    """Import lines twice into a store of its own; return the seconds of decisions beside it."""
    database = SqliteDatabase(folder)
    at, actor, times = utc_now(), Actor("anna", "analyst", "r-1"), list[float]()
    jobs = await database.write(lambda db: [add_job(db, at.isoformat(), len(lines)) for _ in "12"])

    async def take(job: Job) -> None:
        output = output_path(folder, job.id)
        output.parent.mkdir(parents=True)
        output.write_bytes(b"".join(lines))
        await JobProgress(job, "bench", folder, database, lambda lines: None).advance()
        await database.write(lambda db: update_job(db, job.id, state="completed"))

    await take(jobs[0])
    fails = await database.read(
        lambda db: [find_fail(db, f"job-1.{n}", None) for n in range(1, 101)]
    )
    taking = asyncio.create_task(take(jobs[1]))
    asked, content = DecisionRequest(kind="comment", comment="x"), Content(comment="x")
    while not taking.done():
        row = fails[len(times) % len(fails)]
        if row is None:
            raise RuntimeError("the first queue lacks a fail")
        work = partial(
            record_decision, row=row, asked=asked, content=content, actor=actor, at=at,
            four_eyes=False,
        )  # fmt: skip
        began = time.perf_counter()
        await database.write(work)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    database.close()
    return times


def add_job(db: Connection, at: str, total: int) -> Job:
    """Add a job of the service `bench`, and its file."""
    if not list_jobs(db):
        facts = {"bytes": 1, "stored_bytes": 1, "lines": 1, "masked_lines": 0}
        words = dict.fromkeys(("by", "name", "media_type", "sha256", "stored_sha256"), "")
        insert_file(db, StoredFile(id="file-1", created=at, **words, **facts))  # type: ignore[arg-type]
        db.execute("INSERT INTO replicas VALUES ('bench', 'bench', ?, '', 0, '{}')", (at,))
    job = insert_job(
        db, at=at, who="", command="triage", input="file-1", options={}, queue="engine",
        total=total,
    )  # fmt: skip
    update_job(db, job.id, state="in_progress", owner="bench")
    return job


def main(record: bytes, rows: int) -> None:
    """Print the p99 of decisions in the store and through HTTP, with the load of the machine."""
    with tempfile.TemporaryDirectory() as name, finops_server(Path(name)) as (port, pid, _):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, headers=headers, timeout=120) as client:
            before = cpu_seconds(pid)
            for figure in desk_figures(client, record, rows, Path(name)):
                print(*figure)
            print(f"CPU of the service {cpu_seconds(pid) - before:.1f} s")
            output = client.get("/v1/jobs/job-1/output").content.splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as name:
        times = asyncio.run(times_in_store(Path(name), output))
    print(f"in the store {p99_ms(times):.1f} ms of {len(times)}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(first_record(), int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
