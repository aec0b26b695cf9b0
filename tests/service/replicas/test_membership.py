"""A service among replicas, without a server: its jobs in a database that answers late."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing
from pathlib import Path

import pytest

from finops_cli.service.auth.tokens import utc_now
from finops_cli.service.batch.progress import JobProgress
from finops_cli.service.replicas.membership import Membership
from finops_cli.service.store.jobs import Job, output_path, read_job, update_job
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.sqlite import SqliteDatabase
from tests.support.stores import LINES, a_job, add_file

OWNER = "a-service"


@pytest.mark.slow
def test_hanging_database_ends_jobs_in_time(tmp_path: Path) -> None:
    """A service whose database hangs ends its jobs before a request gets the answer that it hangs:
    by then another service may have begun them.
    """
    from tests.support.postgres import running_postgres

    times = {"beat": 0.2, "lease": 2.4}

    async def hang() -> None:
        lost = asyncio.Event()
        member = Membership(database, "here", "rules", utc_now, dict, times)
        await member.join(lambda: None, lost.set)
        await asyncio.sleep(3)
        assert not lost.is_set()
        server.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(15):
                await lost.wait()
        finally:
            server.signal(signal.SIGCONT)
        await member.leave()

    with (
        running_postgres() as server,
        closing(open_database(tmp_path, server.create())) as database,
    ):
        asyncio.run(hang())


def test_lines_stored_by_a_late_answer_are_passed(tmp_path: Path) -> None:
    """Lines that a database stored although it answered too late are neither stored twice nor do
    they keep the lines behind them out of the queue.
    """

    def begin(connection: object) -> Job:
        add_file(connection)  # type: ignore[arg-type]
        job = a_job(connection)  # type: ignore[arg-type]
        update_job(connection, job.id, state="in_progress", owner=OWNER)  # type: ignore[arg-type]
        return job

    async def follow(database: SqliteDatabase) -> Job | None:
        job = await database.write(begin)
        late, again = (
            JobProgress(job, OWNER, tmp_path, database, lambda lines: None) for _ in range(2)
        )
        path = output_path(tmp_path, job.id)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(LINES[:3]))
        assert await late.advance() == 3
        path.write_bytes(b"".join(LINES))
        assert await again.advance() == len(LINES)
        return await database.read(lambda connection: read_job(connection, job.id))

    with closing(SqliteDatabase(tmp_path)) as database:
        found = asyncio.run(follow(database))
    assert found is not None
    assert found.request_counts["done"] == len(LINES)
    assert found.output_bytes == sum(map(len, LINES))
