"""Runs the jobs: one of the rules and one of models at a time, the oldest first, until all is done.

A job survives the end of its process and of the service: its output is its journal, and `--resume`
goes on after the last complete line.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from finops_cli.monitoring.events import EventName
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.auth.tokens import Now
from finops_cli.service.batch.commands import (
    COMMANDS,
    WITHOUT_MODELS,
    ServerSettings,
    command_line,
)
from finops_cli.service.batch.process import JobProcess
from finops_cli.service.batch.progress import JobProgress, delete_all_rows, mark_all_gone
from finops_cli.service.store.audit import SERVICE, append
from finops_cli.service.store.database import Database
from finops_cli.service.store.files import files_folder
from finops_cli.service.store.jobs import (
    WITH_FAILS,
    Job,
    JobState,
    deleted_with_rows,
    job_folder,
    jobs_in,
    output_path,
    take_next_job,
    update_job,
)

QUEUES = ("engine", "models")
_LOOK_SECONDS = 0.5
_FRUITLESS = 3
"""Processes that ended without a further line, after which a job has failed."""
_WRITTEN_BY_ANOTHER = "another finops is writing it"
_UNVERIFIED = 1


class JobRunner:
    """The jobs of one service."""

    def __init__(
        self, data: Path, database: Database, settings: ServerSettings, alarms: Alarms, now: Now
    ) -> None:
        self.settings = settings
        self._data, self._database, self._now = data, database, now
        self._alarms = alarms
        self._wake = {queue: asyncio.Event() for queue in QUEUES}
        self._changed = asyncio.Condition()
        self._running: dict[str, JobProcess] = {}
        self._speed: dict[str, tuple[float, int]] = {}
        self._fruitless: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._cancelled: set[str] = set()
        self._is_stopping = False

    async def start(self) -> None:
        """Take up what an earlier service left, and begin to work."""

        def take_up(connection: Any) -> None:
            for job in jobs_in(connection, "in_progress", "finalizing"):
                update_job(connection, job.id, state="interrupted")
            for job in jobs_in(connection, "cancelling"):
                update_job(connection, job.id, state="cancelled", ended=self._now().isoformat())

        await self._database.write(take_up)
        for id in await self._database.read(deleted_with_rows):
            await delete_all_rows(self._database, id)
        self._tasks = [asyncio.create_task(self._work(queue)) for queue in QUEUES]

    async def stop(self) -> None:
        """End the processes. Their jobs go on when the service starts again."""
        self._is_stopping = True
        await asyncio.gather(*(process.end() for process in list(self._running.values())))
        for event in self._wake.values():
            event.set()
        await asyncio.gather(*self._tasks)

    def queue_of(self, command: str) -> str:
        """Return the queue that a job of `command` waits in."""
        backend = self.settings.backend_of(command)  # type: ignore[arg-type]
        return "engine" if backend in WITHOUT_MODELS else "models"

    def wake(self) -> None:
        """Say that there is a new job."""
        for event in self._wake.values():
            event.set()

    async def cancel(self, id: str) -> None:
        """End the process of a job whose state is `cancelling`."""
        self._cancelled.add(id)
        process = self._running.get(id)
        if process is not None:
            await process.end()

    async def wait_for_change(self, seconds: float) -> bool:
        """Wait until any job changes. Return false when the time is over."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def tell(self) -> None:
        """Wake those who wait for a change."""
        async with self._changed:
            self._changed.notify_all()

    def describe(self, job: Job) -> Job:
        """Return the job with its speed, while it runs."""
        known = self._speed.get(job.id)
        if known is None or job.state != "in_progress":
            return job
        began, before = known
        passed = asyncio.get_running_loop().time() - began
        counts = job.request_counts
        speed = (counts["done"] - before) / passed if passed > 0 else 0.0
        left = None if speed <= 0 else round((counts["total"] - counts["done"]) / speed)
        return replace(job, lines_per_second=round(speed, 1), seconds_left=left)

    async def _work(self, queue: str) -> None:
        while not self._is_stopping:
            self._wake[queue].clear()
            at = self._now().isoformat()
            job = await self._database.write(partial(take_next_job, queue=queue, at=at))
            if job is None:
                await self._wake[queue].wait()
            else:
                await self._run(job)

    async def _run(self, job: Job) -> None:
        await self.tell()
        progress = JobProgress(job, self._data, self._database, self._alarms.see)
        folder, output = job_folder(self._data, job.id), output_path(self._data, job.id)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not COMMANDS[job.command].resumes or not output.exists():
            output.unlink(missing_ok=True)
            await progress.forget()
        before = progress.lines
        try:
            process = await JobProcess.start(self._arguments(job, folder, output), folder)
        except OSError as error:
            await self._end(job, "failed", error=f"no process can be started: {error.strerror}")
            return
        self._running[job.id] = process
        self._speed[job.id] = (asyncio.get_running_loop().time(), before)
        try:
            if self._is_stopping or job.id in self._cancelled:
                await process.end()
            status = await self._follow(process, progress)
        finally:
            del self._running[job.id], self._speed[job.id]
        await self._settle(job, process, progress, status, before)

    def _arguments(self, job: Job, folder: Path, output: Path) -> list[str]:
        files = files_folder(self._data)
        return command_line(
            job.command,
            job.options,
            self.settings,
            source=files / job.input,
            folder=folder,
            file_of=files.__truediv__,
            resumes=output.exists(),
        )

    async def _follow(self, process: JobProcess, progress: JobProgress) -> int:
        """Take over what the process writes, until it ends; return its status."""
        while (status := await process.wait(_LOOK_SECONDS)) is None:
            if await progress.advance():
                await self.tell()
        return status

    async def _settle(
        self, job: Job, process: JobProcess, progress: JobProgress, status: int, before: int
    ) -> None:
        """Take over the rest of the output, and say how the job ended."""
        if job.id in self._cancelled:
            self._cancelled.discard(job.id)
            await progress.advance()
            await self._end(job, "cancelled")
        elif status in (0, _UNVERIFIED):
            await self._set(job, "finalizing")
            await progress.advance()
            if job.command in WITH_FAILS:
                await mark_all_gone(self._database, job.id)
            await self._end(job, "completed", verified=status == 0)
        elif self._is_stopping:
            await progress.advance()
            await self._set(job, "interrupted")
        else:
            await progress.advance()
            if progress.lines > before:
                self._fruitless[job.id] = 0
            await self._try_again(job, process, status)

    async def _try_again(self, job: Job, process: JobProcess, status: int) -> None:
        """Go on with a job whose process was killed; one that ended by itself has failed."""
        said = await asyncio.to_thread(process.messages)
        may_go_on = status < 0 or _WRITTEN_BY_ANOTHER in said
        self._fruitless[job.id] += 1
        if may_go_on and self._fruitless[job.id] < _FRUITLESS:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._set(job, "interrupted")
            return
        reason = f"its process was ended by signal {-status}" if status < 0 else said
        await self._end(job, "failed", error=reason or f"exit status {status}")

    async def _set(self, job: Job, state: JobState, **fields: Any) -> None:
        await self._database.write(
            lambda connection: update_job(connection, job.id, state=state, **fields)
        )
        await self.tell()

    async def _end(self, job: Job, state: JobState, **fields: Any) -> None:
        self._fruitless.pop(job.id, None)
        at = self._now()

        def work(connection: Any) -> None:
            update_job(connection, job.id, state=state, ended=at.isoformat(), **fields)
            append(connection, at, SERVICE, f"job_{state}", job.id, {})

        await self._database.write(work)
        if state != "cancelled":
            name: EventName = "job_done" if state == "completed" else "job_failed"
            self._alarms.report(name, job=job.id, command=job.command)
        await self.tell()
