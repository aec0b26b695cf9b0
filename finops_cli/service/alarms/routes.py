"""The routes of live drift."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.monitoring.live_drift import Baseline, baseline_of
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.auth.tokens import Now
from finops_cli.service.batch.routes import find_job
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import ServiceError, wrong_value
from finops_cli.service.records.bodies import JSON, read_object
from finops_cli.service.requests import actor_of
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Database
from finops_cli.service.store.jobs import output_path

_BODY_BYTES = 64 * 1024
_COMMANDS = ("run", "triage", "resolve", "book", "sentiment")


class BaselineRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /v1/drift/baseline`: the answers that later ones are compared with."""

    job: str
    """A job that has completed."""


class DriftRoutes:
    """Answers the paths below `/v1/drift`."""

    def __init__(self, alarms: Alarms, data: Path, database: Database, now: Now) -> None:
        self._alarms, self._data, self._database, self._now = alarms, data, database, now

    async def drift(self, request: Request) -> Response:
        """Return the last answers beside the baseline."""
        require_right(request, "see")
        return _json(self._alarms.drift())

    async def set_baseline(self, request: Request) -> Response:
        """Take the answers of a job as the baseline. Raises ServiceError 404, 409, 410, 422."""
        require_right(request, "operate")
        asked, _ = await read_object(request, BaselineRequest, _BODY_BYTES)
        await self.take_baseline(request, asked.job)
        return _json(self._alarms.drift())

    async def take_baseline(self, request: Request, id: str) -> None:
        """Take the answers of the job `id` as the baseline. Raises as `set_baseline` does."""
        require_right(request, "operate")
        job = await find_job(self._database, id)
        if job.command not in _COMMANDS:
            raise wrong_value("job", f"a job of {job.command}", f"one of {', '.join(_COMMANDS)}")
        if job.state != "completed":
            raise ServiceError(
                HTTPStatus.CONFLICT, "state", f"{job.id} is {job.state}; accepted: completed"
            )
        baseline = await asyncio.to_thread(_read_baseline, output_path(self._data, job.id))
        if not baseline.records:
            raise wrong_value("job", job.id, "a job with answered records")
        actor, at = actor_of(request), self._now()
        details = {"records": baseline.records}
        await self._database.write(lambda db: append(db, at, actor, "baseline", job.id, details))
        await asyncio.to_thread(self._alarms.set_baseline, baseline)


def _read_baseline(path: Path) -> Baseline:
    try:
        with path.open("rb") as file:
            return baseline_of(file)
    except (OSError, *UNREADABLE) as error:
        raise ServiceError(
            HTTPStatus.CONFLICT, "no-output", "the output of the job cannot be read"
        ) from error


def _json(value: object) -> Response:
    return Response(exact_json.encode(value), media_type=JSON)
