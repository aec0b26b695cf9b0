"""The routes of jobs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.auth.tokens import Now
from finops_cli.service.batch.commands import named_files, read_job_options
from finops_cli.service.batch.progress import delete_all_rows
from finops_cli.service.batch.runner import JobRunner
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.file_parts import answer_part
from finops_cli.service.idempotency import Idempotency, digest_body, respond
from finops_cli.service.problems import ServiceError, not_found, wrong_value
from finops_cli.service.records.bodies import JSON, read_object
from finops_cli.service.requests import actor_of
from finops_cli.service.store.answers import Claim, KeptAnswer
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.jobs import (
    CERTIFICATE,
    ENDED,
    Job,
    JobCommandName,
    certificate_path,
    count_waiting,
    insert_job,
    job_folder,
    job_number,
    list_jobs,
    output_path,
    read_job,
    update_job,
)
from finops_cli.service.uploads.routes import find_file

COMPLETE = "Finops-Complete"
"""The header that says whether an output will still grow."""
_BODY_BYTES = 64 * 1024
_PAGE = 100
_MOST_DIGITS = 9
_LOOK_SECONDS = 1
"""A change between two looks is seen at the next."""


class JobRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/jobs`."""

    command: JobCommandName
    input: str
    """The id of an uploaded file."""
    options: dict[str, Any] = {}
    """The options of the command, by name."""


class JobRoutes:
    """Answers the paths below `/v1/jobs`."""

    def __init__(
        self,
        data: Path,
        database: Database,
        idempotency: Idempotency,
        runner: JobRunner,
        settings: ServeSettings,
        now: Now,
    ) -> None:
        self._data, self._database, self._idempotency = data, database, idempotency
        self._runner, self._settings, self._now = runner, settings, now

    async def create(self, request: Request) -> Response:
        """Add a job, which begins by itself. Raises ServiceError 404, 422 and 503."""
        require_right(request, "operate")  # before the body is read
        asked, body = await read_object(request, JobRequest, _BODY_BYTES)
        with self._idempotency.claim(request, digest_body(body)) as claim:
            if (kept := await self._idempotency.find(claim)) is not None:
                return respond(kept)
            return respond(await self.add(request, asked, claim))

    async def add(self, request: Request, asked: JobRequest, claim: Claim | None) -> KeptAnswer:
        """Add the job that a request or a form asks for, once for `claim`. Raises as `create`."""
        require_right(request, "operate")
        options = read_job_options(asked.command, asked.options)
        self._runner.settings.refuse_executor(options)
        file = await find_file(self._database, asked.input)
        for other in named_files(options):
            await find_file(self._database, other)
        actor, at = actor_of(request), self._now()

        def work(connection: Connection) -> KeptAnswer:
            self._refuse_more(count_waiting(connection))
            job = insert_job(
                connection,
                at=at.isoformat(),
                who=actor.who,
                command=asked.command,
                input=asked.input,
                options=options,
                queue=self._runner.queue_of(asked.command),
                total=file.lines,
            )
            details = {"command": job.command, "input": job.input, "options": options}
            append(connection, at, actor, "job", job.id, details)
            location = {"Location": f"/v1/jobs/{job.id}"}
            return KeptAnswer(202, location, exact_json.encode(job))

        answer = await self._idempotency.answer(claim, work)
        self._runner.wake()
        return answer

    async def jobs(self, request: Request) -> Response:
        """List the jobs, the newest first; those before the job `before`."""
        require_right(request, "see")
        text = request.query_params.get("before")
        before = None if text is None else job_number(text)
        if before == 0:
            raise wrong_value("before", str(text), "the id of a job")
        found = await self._database.read(lambda db: list_jobs(db, before, _PAGE))
        return _json([self._runner.describe(job) for job in found])

    async def job(self, request: Request) -> Response:
        """Return a job; with `wait`, when it has ended or so many seconds are over."""
        require_right(request, "see")
        id: str = request.path_params["id"]
        seconds = self._read_wait(request)
        job = await find_job(self._database, id)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while job.state not in ENDED and (left := until - loop.time()) > 0:
            await self._runner.wait_for_change(min(left, _LOOK_SECONDS))
            job = await find_job(self._database, id)
        return _json(self._describe(job))

    async def find(self, id: str) -> Job:
        """Return a job with its speed and its statistics. Raises ServiceError 404 and 410."""
        return self._describe(await find_job(self._database, id))

    async def output(self, request: Request) -> Response:
        """Return the lines of the output that are on the disk, or a range of their bytes."""
        require_right(request, "see")
        job = await find_job(self._database, request.path_params["id"])
        path = output_path(self._data, job.id)
        if not path.exists():
            raise ServiceError(
                HTTPStatus.CONFLICT, "no-output", f"{job.id} has no output yet; wait for its start"
            )
        return await self._download(request, job, path, job.output_bytes)

    async def certificate(self, request: Request) -> Response:
        """Return the certificate of a book, or a range of its bytes. Raises ServiceError 409."""
        require_right(request, "see")
        job = await find_job(self._database, request.path_params["id"])
        path = certificate_path(self._data, job.id)
        if not job.options.get("certificate"):
            what = f"{job.id} makes no certificate; accepted: a book with the option certificate"
            raise ServiceError(HTTPStatus.CONFLICT, "no-output", what)
        if job.state != "completed":
            what = f"the certificate of {job.id} is there when the job has completed"
            raise ServiceError(HTTPStatus.CONFLICT, "no-output", what)
        return await self._download(request, job, path, path.stat().st_size)

    async def _download(self, request: Request, job: Job, path: Path, size: int) -> Response:
        """Return the first `size` bytes of a file of a job, or a range of them."""
        is_complete = job.state == "completed"
        actor, at = actor_of(request), self._now()
        details = {"bytes": size, "range": request.headers.get("range", "")}
        if path.name == CERTIFICATE:
            details["file"] = path.name
        await self._database.write(lambda db: append(db, at, actor, "download", job.id, details))
        headers = {
            "Content-Type": "application/jsonl",
            COMPLETE: "true" if is_complete else "false",
        }
        tag = f'"{job.id}-{size}-{"whole" if is_complete else "part"}"'
        return answer_part(path, size, tag, request.headers, headers)

    async def cancel(self, request: Request) -> Response:
        """Stop a job; what it has written stays. Raises ServiceError 409 for one that has ended."""

        def work(connection: Connection, job: Job, at: str) -> None:
            if job.state in ("queued", "interrupted"):
                update_job(connection, job.id, state="cancelled", ended=at)
            elif job.state == "in_progress":
                update_job(connection, job.id, state="cancelling")
            else:
                raise _wrong_state(job, "a job that waits or runs")

        job = await self._change(request, "cancel", work)
        if job.state == "cancelling":
            await self._runner.cancel(job.id)
        return _json(await find_job(self._database, job.id))

    async def resume(self, request: Request) -> Response:
        """Go on with a job that failed or was cancelled. Raises ServiceError 409 for another."""

        def work(connection: Connection, job: Job, at: str) -> None:
            if job.state not in ("failed", "cancelled"):
                raise _wrong_state(job, "a job that failed or was cancelled")
            self._refuse_more(count_waiting(connection))
            update_job(connection, job.id, state="queued", ended=None, error=None)

        job = await self._change(request, "resume", work)
        self._runner.wake()
        return _json(job)

    async def delete(self, request: Request) -> Response:
        """Delete the output of a job and its rows; decisions stay. Raises ServiceError 409."""

        def work(connection: Connection, job: Job, at: str) -> None:
            if job.state not in ENDED:
                raise _wrong_state(job, "a job that has ended")
            update_job(connection, job.id, deleted=at)

        job = await self._change(request, "delete", work)
        await delete_all_rows(self._database, job.id)
        await asyncio.to_thread(shutil.rmtree, job_folder(self._data, job.id), ignore_errors=True)
        return Response(status_code=int(HTTPStatus.NO_CONTENT))

    async def _change(
        self,
        request: Request,
        action: str,
        work: Callable[[Connection, Job, str], None],
    ) -> Job:
        """Change a job and the audit log together; return the job as it is then."""
        require_right(request, "operate")
        id: str = request.path_params["id"]
        await find_job(self._database, id)
        actor, at = actor_of(request), self._now()

        def change(connection: Connection) -> Job | None:
            job = read_job(connection, id)
            if job is None or job.deleted is not None:
                return None
            work(connection, job, at.isoformat())
            append(connection, at, actor, action, id, {})
            return read_job(connection, id)

        changed = await self._database.write(change)
        if changed is None:
            raise not_found(f"the job {id}")
        await self._runner.tell()
        return changed

    def _describe(self, job: Job) -> Job:
        path = job_folder(self._data, job.id) / "stats.json"
        described = self._runner.describe(job)
        try:
            stats = msgspec.json.decode(path.read_bytes())
        except (OSError, *UNREADABLE):
            return described
        return msgspec.structs.replace(described, stats=stats)

    def _refuse_more(self, waiting: int) -> None:
        most = self._settings.limits["jobs"]
        if waiting >= most:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "jobs-busy",
                f"{waiting:,} jobs wait; accepted: up to {most:,}",
                retry_after=self._settings.times["drain"],
            )

    def _read_wait(self, request: Request) -> int:
        text = request.query_params.get("wait", "0")
        most = self._settings.times["long_poll"]
        is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        if not is_number or int(text) > most:
            raise wrong_value("wait", text[:20], f"seconds, from 0 to {most}")
        return int(text)


async def find_job(database: Database, id: str) -> Job:
    """Return a job. Raises ServiceError 404, and 410 for a deleted one."""
    found = await database.read(lambda connection: read_job(connection, id))
    if found is None:
        raise not_found(f"the job {id[:80]}")
    if found.deleted is not None:
        raise ServiceError(HTTPStatus.GONE, "deleted", f"the job {id} was deleted")
    return found


def _wrong_state(job: Job, accepted: str) -> ServiceError:
    return ServiceError(
        HTTPStatus.CONFLICT, "state", f"{job.id} is {job.state}; accepted: {accepted}"
    )


def _json(value: object) -> Response:
    return Response(exact_json.encode(value), media_type=JSON)
