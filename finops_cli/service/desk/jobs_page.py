"""The pages of jobs: what runs, how far it is, and the first rejections with their cure."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.domain.finding import Problem
from finops_cli.service.batch.commands import OPTIONS, named_files
from finops_cli.service.desk.rendering import render, render_text
from finops_cli.service.desk.upload.preview import Fault, describe_fault
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.fails import list_places
from finops_cli.service.store.files import StoredFile, read_file
from finops_cli.service.store.jobs import (
    ENDED,
    WITH_FAILS,
    Job,
    JobState,
    job_number,
    list_jobs,
    output_path,
)
from finops_cli.views.wording import clean

_PAGE = 50
_SHOWN_REJECTIONS = 10
_SHOWN_FAULTS = 3
_SCANNED_BYTES = 1024 * 1024
_MINUTE, _HOUR = 60, 3600
STATE_WORDS: dict[JobState, str] = {
    "queued": "Waits",
    "in_progress": "Runs",
    "finalizing": "Finishes",
    "completed": "Done",
    "failed": "Failed",
    "cancelling": "Stops",
    "cancelled": "Stopped",
    "interrupted": "Goes on soon",
}
"""The states of a job as a person says them."""
STATUS_MEANINGS = {
    "ok": "the answer holds",
    "repaired": "a model's answer, with the numbers of the rules",
    "fallback": "the engine answered in place of a model",
    "rejected": "the record cannot be used",
    "failed": "no answer: a fault",
    "findings": "the answer breaks a rule",
    "unreadable": "the line cannot be read",
}
_ORDER = tuple(STATUS_MEANINGS)


class StatusCount(Struct, frozen=True, kw_only=True):
    """How many lines have a status."""

    status: str
    count: int
    meaning: str
    link: str | None
    """The fails of the queue with this status; None where the job has no queue."""


class Rejection(Struct, frozen=True, kw_only=True):
    """A record that cannot be used."""

    line: int
    fail_id: str
    faults: tuple[Fault, ...]


class JobView(Struct, frozen=True, kw_only=True):
    """A job as its page shows it."""

    job: Job
    file_name: str
    state: str
    is_over: bool
    can_cancel: bool
    can_resume: bool
    done: int
    total: int
    per_cent: int
    rate: str
    left: str
    statuses: tuple[StatusCount, ...]
    options: tuple[tuple[str, str], ...]
    queue_link: str | None


class _Error(Struct):
    line: int
    problems: list[Problem] = []
    message: str = ""


class _Rejected(Struct):
    fail_id: str
    status: str
    error: _Error | None = None


_REJECTED = msgspec.json.Decoder(_Rejected)


def view_job(
    job: Job, file: StoredFile | None, names: Mapping[str, str] = MappingProxyType({})
) -> JobView:
    """Return the values of a job's page. `names`: those of the files that its options name."""
    counts = job.request_counts
    done, total = counts.get("done", 0), counts.get("total", 0)
    has_queue = job.command in WITH_FAILS and done > 0
    return JobView(
        job=job,
        file_name=(file.name if file is not None and file.name else job.input),
        state=STATE_WORDS[job.state],
        is_over=job.state in ENDED,
        can_cancel=job.state in ("queued", "interrupted", "in_progress"),
        can_resume=job.state in ("failed", "cancelled"),
        done=done,
        total=max(done, total),
        per_cent=_per_cent(job, done, total),
        rate=_write_rate(job.lines_per_second),
        left=write_seconds(job.seconds_left),
        statuses=tuple(_list_statuses(job, has_queue=has_queue)),
        options=tuple(_list_options(job, names)),
        queue_link=f"/fails?job={job.id}" if has_queue else None,
    )


def _per_cent(job: Job, done: int, total: int) -> int:
    """Return the progress. Lines of a table are fewer than those of its file: done is done."""
    if job.state == "completed":
        return 100
    return min(99, 100 * done // total) if total else 0


def _list_statuses(job: Job, *, has_queue: bool) -> list[StatusCount]:
    found = {
        status: count
        for status, count in job.request_counts.items()
        if status not in ("done", "total")
    }
    known = sorted(found, key=lambda each: _ORDER.index(each) if each in _ORDER else len(_ORDER))
    return [
        StatusCount(
            status=status,
            count=found[status],
            meaning=STATUS_MEANINGS.get(status, ""),
            link=f"/fails?job={job.id}&status={status}" if has_queue else None,
        )
        for status in known
    ]


def _name_files(connection: Connection, job: Job) -> dict[str, str]:
    """Return the names that people gave the files of a job's options, by their ids."""
    known = {name: value for name, value in job.options.items() if name in OPTIONS}
    files = [read_file(connection, id) for id in named_files(known)]
    return {file.id: file.name for file in files if file is not None and file.name}


def _list_options(job: Job, names: Mapping[str, str]) -> list[tuple[str, str]]:
    titles = {"as_of": "As of", "clock": "Clock", "map": "Mapping", "inventory": "Inventory"}
    return [
        (
            titles.get(name, name.replace("_", " ").capitalize()),
            clean(names.get(str(value), str(value))),
        )
        for name, value in job.options.items()
        if name in OPTIONS
    ]


def _write_rate(per_second: float | None) -> str:
    return "" if per_second is None else f"{per_second:,.0f} lines a second"


def write_seconds(seconds: int | None) -> str:
    """Write a time that is left: about 20 s, about 3 min, about 2 h 10 min."""
    if seconds is None:
        return ""
    if seconds < _MINUTE:
        return f"about {seconds} s"
    if seconds < _HOUR:
        return f"about {seconds // _MINUTE} min"
    return f"about {seconds // _HOUR:,} h {seconds % _HOUR // _MINUTE} min"


def read_rejections(connection: Connection, data: Path, job: Job) -> list[Rejection]:
    """Return the first records of a job that cannot be used, from what is on the disk."""
    path = output_path(data, job.id)
    if not job.request_counts.get("rejected") or not path.exists():
        return []
    with path.open("rb") as file:
        if job.command in WITH_FAILS:
            lines = []
            for place in list_places(connection, job.id, "rejected", _SHOWN_REJECTIONS):
                file.seek(place.start)
                lines.append(file.read(place.length))
        else:
            lines = file.readlines(min(_SCANNED_BYTES, job.output_bytes or 1))
    found = [each for line in lines if (each := _read_rejection(line)) is not None]
    return found[:_SHOWN_REJECTIONS]


def _read_rejection(line: bytes) -> Rejection | None:
    if b'"rejected"' not in line:
        return None
    try:
        found = _REJECTED.decode(line)
    except msgspec.MsgspecError:
        return None
    if found.status != "rejected" or found.error is None:
        return None
    problems = found.error.problems[:_SHOWN_FAULTS]
    return Rejection(
        line=found.error.line,
        fail_id=clean(found.fail_id),
        faults=tuple(describe_fault(each) for each in problems),
    )


class JobPages:
    """Answers `/jobs` and the paths below it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def jobs(self, request: Request) -> Response:
        """List the jobs, the newest first."""
        require_right(request, "see")
        text = request.query_params.get("before")
        before = job_number(text) or None if text else None

        def look(connection: Connection) -> list[tuple[Job, StoredFile | None]]:
            found = list_jobs(connection, before, _PAGE + 1)
            return [(job, read_file(connection, job.input)) for job in found]

        found = await self._parts.database.read(look)
        views = [view_job(self._parts.runner.describe(job), file) for job, file in found[:_PAGE]]
        values: dict[str, Any] = {
            "jobs": views,
            "next": views[-1].job.id if len(found) > _PAGE else None,
            "is_live": any(not each.is_over for each in views),
        }
        return self._answer(request, "jobs.html", "_jobs_table.html", values)

    async def job(self, request: Request) -> Response:
        """Show one job. Raises ServiceError 404 and 410."""
        require_right(request, "see")
        job = await self._parts.jobs.find(request.path_params["id"])
        parts = self._parts

        def look(
            connection: Connection,
        ) -> tuple[StoredFile | None, list[Rejection], dict[str, str]]:
            rejections = read_rejections(connection, parts.data, job)
            return read_file(connection, job.input), rejections, _name_files(connection, job)

        file, rejections, names = await parts.database.read(look)
        values: dict[str, Any] = {
            "view": view_job(job, file, names),
            "rejections": rejections,
            "has_certificate": bool(job.options.get("certificate")) and job.state == "completed",
            "has_output": await asyncio.to_thread(output_path(parts.data, job.id).exists),
            "may_operate": facts_of(request).may("operate"),
        }
        return self._answer(request, "job.html", "_job_progress.html", values)

    async def cancel(self, request: Request) -> Response:
        """Stop a job. Raises ServiceError 403, 404, 409 and 410."""
        await self._parts.jobs.cancel(request)
        return self._back(request)

    async def resume(self, request: Request) -> Response:
        """Go on with a job. Raises ServiceError 403, 404, 409 and 410."""
        await self._parts.jobs.resume(request)
        return self._back(request)

    def _back(self, request: Request) -> Response:
        return RedirectResponse(f"/jobs/{request.path_params['id']}", 303)

    def _answer(self, request: Request, page: str, part: str, values: dict[str, Any]) -> Response:
        """Answer with a page; to its own script with the part that changes, if it has changed."""
        drawn = render_text(request, part, seen="", **values)
        seen = hashlib.sha256(drawn.encode()).hexdigest()[:16]
        if request.query_params.get("seen") == seen:
            return Response(status_code=204)
        if request.headers.get("hx-request") == "true":
            return render(request, part, seen=seen, **values)
        tag = f'"{seen}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, {"ETag": tag})
        answer = render(request, page, seen=seen, **values)
        answer.headers["ETag"] = tag
        return answer


def list_job_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the pages of jobs."""
    pages = JobPages(parts)
    return [
        NamedRoute("/jobs", pages.jobs),
        NamedRoute("/jobs/{id}", pages.job),
        NamedRoute("/jobs/{id}/cancel", pages.cancel, methods=["POST"]),
        NamedRoute("/jobs/{id}/resume", pages.resume, methods=["POST"]),
    ]
