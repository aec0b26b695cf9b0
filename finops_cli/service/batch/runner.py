"""Runs the jobs: one of the rules and one of models at a time, the oldest first, until all is done.

A job survives the end of its process and of the service: its output is its journal, and `--resume`
goes on after the last complete line.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from finops_cli.errors import FinopsError
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
from finops_cli.service.batch.progress import JobProgress, See, delete_all_rows, mark_all_gone
from finops_cli.service.store.audit import SERVICE, append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.files import files_folder
from finops_cli.service.store.jobs import (
    WITH_FAILS,
    Job,
    JobState,
    deleted_with_rows,
    job_folder,
    output_path,
    read_job,
    take_next_job,
    update_job,
)
from finops_cli.service.store.replicas import owner_of

T = TypeVar("T")
QUEUES = ("engine", "models")
_LOOK_SECONDS = 0.5
_IDLE_SECONDS = 2
_FRUITLESS = 3
"""Processes that ended without a further line, after which a job has failed."""
_WRITTEN_BY_ANOTHER = "another finops is writing it"
_UNVERIFIED = 1


class _Run(NamedTuple):
    """A job that this service runs."""

    job: Job
    owner: str
    """The id of this service when it took the job."""
    progress: JobProgress


class JobRunner:
    """The jobs of one service."""

    def __init__(
        self,
        data: Path,
        database: Database,
        settings: ServerSettings,
        alarms: Alarms,
        now: Now,
        owner: Callable[[], str],
        lanes_of: Callable[[str], int],
    ) -> None:
        """Keep the parts. `owner` returns the id of this service among those of the database, and
        `lanes_of` how many answers of models a command works on at once.
        """
        self.settings = settings
        self._data, self._database, self._now = data, database, now
        self._alarms, self._owner, self._lanes_of = alarms, owner, lanes_of
        self._wake = {queue: asyncio.Event() for queue in QUEUES}
        self._changed = asyncio.Condition()
        self._running: dict[str, JobProcess] = {}
        self._speed: dict[str, tuple[float, int]] = {}
        self._fruitless: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    async def start(self) -> None:
        """Finish what an earlier service left, and begin to work."""
        for id in await self._database.read(deleted_with_rows):
            await delete_all_rows(self._database, id)
        self._tasks = [asyncio.create_task(self._work(queue)) for queue in QUEUES]

    async def stop(self) -> None:
        """End the processes. Their jobs go on when the service starts again, or elsewhere."""
        self._is_stopping = True
        await asyncio.gather(*(process.end() for process in list(self._running.values())))
        self.wake()
        await asyncio.gather(*self._tasks)

    def release(self) -> None:
        """End the processes at once: another service may take their jobs."""
        for process in self._running.values():
            process.kill()

    def queue_of(self, command: str) -> str:
        """Return the queue that a job of `command` waits in."""
        backend = self.settings.backend_of(command)  # type: ignore[arg-type]
        return "engine" if backend in WITHOUT_MODELS else "models"

    def see_of(self, job: Job, queue: str) -> See:
        """Return what sees the new lines of a job: the alarms, which time those of models."""
        if queue != "models":
            return self._alarms.see
        lanes = self._lanes_of(job.command)

        def see(lines: list[bytes]) -> None:
            self._alarms.jobs.add(job.id, job.command, len(lines), lanes)
            self._alarms.see(lines)

        return see

    def wake(self) -> None:
        """Say that there is a new job."""
        for event in self._wake.values():
            event.set()

    @property
    def running(self) -> int:
        """Return how many jobs this service runs."""
        return len(self._running)

    async def cancel(self, id: str) -> None:
        """End the process of a job whose state is `cancelling`, if this service runs it.

        Another service that runs it finds the state when it looks.
        """
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
            at, owner = self._now().isoformat(), self._owner()
            take = partial(take_next_job, queue=queue, at=at, owner=owner)
            try:
                job = await self._database.write(take)
            except FinopsError:  # the database is lost or full: the next time may do
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            if job is None:
                await self._sleep(queue)
            else:
                progress = JobProgress(
                    job, owner, self._data, self._database, self.see_of(job, queue)
                )
                run = _Run(job, owner, progress)
                try:
                    await self._run(run)
                except OSError as error:  # of its folder: the other jobs go on
                    said = f"its files cannot be read or written: {error.strerror}"
                    await self._end(run, "failed", error=said)
                except Exception as error:  # noqa: BLE001 - a fault ends its job, not the queue
                    message = f"{job.id} met a fault of finops"
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": message, "exception": error}
                    )
                    said = f"{message} ({type(error).__name__}); please report it as a bug"
                    await self._end(run, "failed", error=said)

    async def _sleep(self, queue: str) -> None:
        """Wait for a new job; one that another service was given is seen after a while."""
        seconds = _IDLE_SECONDS if self._database.is_shared else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake[queue].wait()

    async def _run(self, run: _Run) -> None:
        await self.tell()
        job, progress = run.job, run.progress
        folder, output = job_folder(self._data, job.id), output_path(self._data, job.id)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not COMMANDS[job.command].resumes or not output.exists():
            output.unlink(missing_ok=True)
            await self._insist(progress.forget)
        before = progress.lines
        try:
            process = await JobProcess.start(self._arguments(job, folder, output), folder)
        except OSError as error:
            await self._end(run, "failed", error=f"no process can be started: {error.strerror}")
            return
        self._running[job.id] = process
        self._speed[job.id] = (asyncio.get_running_loop().time(), before)
        try:
            if self._is_stopping:
                await process.end()
            status = await self._follow(process, run)
        finally:
            await process.end()
            del self._running[job.id], self._speed[job.id]
            self._alarms.jobs.end(job.id)
        await self._settle(run, process, status, before)

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

    async def _follow(self, process: JobProcess, run: _Run) -> int:
        """Take over what the process writes, until it ends; return its status."""
        while (status := await process.wait(_LOOK_SECONDS)) is None:
            with suppress(FinopsError):  # the database is lost or full: the next time may do
                await self._advance(run)
                found = await self._database.read(partial(read_job, id=run.job.id))
                if found is not None and found.state == "cancelling":
                    await process.end()
        return status

    async def _advance(self, run: _Run) -> None:
        """Take over the lines that are new."""
        try:
            if await run.progress.advance():
                await self.tell()
        except FinopsError:
            found = await self._database.read(partial(read_job, id=run.job.id))
            if found is not None:
                run.progress.go_on_from(found)
            raise

    async def _settle(self, run: _Run, process: JobProcess, status: int, before: int) -> None:
        """Take over the rest of the output, and say how the job ended."""
        if status in (0, _UNVERIFIED):
            await self._set(run, "finalizing")
        await self._insist(partial(self._advance, run))
        found = await self._insist(partial(self._database.read, partial(read_job, id=run.job.id)))
        if found is not None and found.state == "cancelling":
            await self._end(run, "cancelled")
        elif status in (0, _UNVERIFIED):
            if run.job.command in WITH_FAILS:
                await self._insist(partial(mark_all_gone, self._database, run.job.id))
            await self._end(run, "completed", verified=status == 0)
        elif self._is_stopping or process.is_released:
            await self._set(run, "interrupted", owner=None)
        else:
            if run.progress.lines > before:
                self._fruitless[run.job.id] = 0
            await self._try_again(run, process, status)

    async def _try_again(self, run: _Run, process: JobProcess, status: int) -> None:
        """Go on with a job whose process was killed; one that ended by itself has failed."""
        said = await asyncio.to_thread(process.messages)
        may_go_on = status < 0 or _WRITTEN_BY_ANOTHER in said
        self._fruitless[run.job.id] += 1
        if may_go_on and self._fruitless[run.job.id] < _FRUITLESS:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._set(run, "interrupted", owner=None)
            return
        reason = f"its process was ended by signal {-status}" if status < 0 else said
        await self._end(run, "failed", error=reason or f"exit status {status}")

    async def _set(self, run: _Run, state: JobState, **fields: Any) -> None:
        """Give a job another state, unless somebody cancels it: then it stops here."""
        id, ended = run.job.id, self._now().isoformat()

        def work(connection: Connection) -> None:
            job = read_job(connection, id)
            if job is None or owner_of(connection, id) != run.owner:
                return
            if job.state != "cancelling":
                update_job(connection, id, state=state, **fields)
            elif state == "interrupted":
                update_job(connection, id, state="cancelled", ended=ended, owner=None)

        await self._insist(partial(self._database.write, work))
        await self.tell()

    async def _end(self, run: _Run, state: JobState, **fields: Any) -> None:
        id, at = run.job.id, self._now()
        self._fruitless.pop(id, None)

        def work(connection: Connection) -> bool:
            if owner_of(connection, id) != run.owner:
                return False  # another service has taken it over
            ended = {"ended": at.isoformat(), "owner": None}
            update_job(connection, id, state=state, **ended, **fields)
            append(connection, at, SERVICE, f"job_{state}", id, {})
            return True

        is_ours = await self._insist(partial(self._database.write, work))
        if is_ours and state != "cancelled":
            name: EventName = "job_done" if state == "completed" else "job_failed"
            self._alarms.report(name, job=id, command=run.job.command)
        await self.tell()

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Call until the database answers; None where the service stops meanwhile.

        What is not stored then is found again by whoever takes the job over.
        """
        while True:
            try:
                return await call()
            except FinopsError:
                if self._is_stopping:
                    return None
                await asyncio.sleep(_LOOK_SECONDS)
