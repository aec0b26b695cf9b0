"""The routes of the queue and of decisions."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.checking.other_rules import RuleSets
from finops_cli.domain import exact_json
from finops_cli.pipeline.redaction import RedactionPolicy
from finops_cli.service.auth.tokens import Now
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.deciding import (
    DecisionRequest,
    erase_decision,
    read_content,
    record_decision,
)
from finops_cli.service.fails.query import read_queue_query
from finops_cli.service.fails.views import (
    FailDetail,
    FailView,
    locate_fail,
    view_history,
    view_located,
    view_queue,
)
from finops_cli.service.idempotency import Idempotency, digest_body, respond
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.bodies import JSON, read_object
from finops_cli.service.requests import actor_of
from finops_cli.service.store.answers import KeptAnswer
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.decisions import Decision, list_decisions
from finops_cli.service.store.fails import FailRow, read_fail_line

_BODY_BYTES = 256 * 1024
_NOTHING = msgspec.Raw(b"null")


class FailOptions(Struct, frozen=True, kw_only=True):
    """What decisions go by."""

    data: Path
    rules: RuleSets
    redaction: RedactionPolicy | None
    four_eyes: bool
    """An override waits for a second person."""
    now: Now


class FailRoutes:
    """Answers the paths below `/v1/fails`."""

    def __init__(self, options: FailOptions, database: Database, idempotency: Idempotency) -> None:
        self._options = options
        self._database, self._idempotency = database, idempotency

    async def fails(self, request: Request) -> Response:
        """Return a page of the queue. Raises ServiceError 404, 410 and 422."""
        require_right(request, "see")
        asked = read_queue_query(request.query_params, self._options.rules.kb.serve)
        return _json(await self._database.read(lambda db: view_queue(db, asked)))

    async def fail(self, request: Request) -> Response:
        """Return one fail with its line and its decisions; the audit log records the view."""
        require_right(request, "see")
        id: str = request.path_params["id"]

        def look(connection: Connection) -> tuple[FailRow, FailView, list[Decision]]:
            row, view = view_located(connection, id)
            return row, view, list_decisions(connection, row.key)

        row, view, decisions = await self._database.read(look)
        actor, at = actor_of(request), self._options.now()
        await self._database.write(lambda db: append(db, at, actor, "view", row.id, {}))
        line = await self._read_line(row)
        output = _NOTHING if line is None else msgspec.Raw(line)
        return _json(FailDetail(fail=view, output=output, decisions=decisions))

    async def history(self, request: Request) -> Response:
        """Return what was answered and decided about a fail. Raises ServiceError 404."""
        require_right(request, "see")
        id: str = request.path_params["id"]
        return _json(await self._database.read(lambda db: view_history(db, id)))

    async def decide(self, request: Request) -> Response:
        """Decide about a fail. Raises ServiceError 404, 409 and 422."""
        require_right(request, "answer")
        asked, body = await read_object(request, DecisionRequest, _BODY_BYTES)
        id: str = request.path_params["id"]
        options = self._options
        with self._idempotency.claim(request, digest_body(body)) as claim:
            if (kept := await self._idempotency.find(claim)) is not None:
                return respond(kept)
            row = await self._database.read(lambda db: locate_fail(db, id))
            line = await self._read_line(row) if asked.kind == "override" else b""
            if line is None:
                raise ServiceError(
                    HTTPStatus.CONFLICT, "no-output", f"the output of {row.job} is gone"
                )
            content = read_content(asked, line, options.rules, options.redaction)
            actor, at = actor_of(request), options.now()

            def work(connection: Connection) -> KeptAnswer:
                answer = record_decision(
                    connection, row, asked, content, actor, at=at, four_eyes=options.four_eyes
                )
                location = {"Location": f"/v1/fails/{row.id}"}
                return KeptAnswer(201, location, exact_json.encode(answer))

            return respond(await self._idempotency.answer(claim, work))

    async def delete(self, request: Request) -> Response:
        """Delete a decision for good. Raises ServiceError 404."""
        require_right(request, "administer")
        id, n = request.path_params["id"], request.path_params["n"]
        actor, at = actor_of(request), self._options.now()
        await self._database.write(lambda db: erase_decision(db, id, n, actor, at))
        return Response(status_code=int(HTTPStatus.NO_CONTENT))

    async def _read_line(self, row: FailRow) -> bytes | None:
        """Return the output line of a fail; None where the output is gone."""
        try:
            line = await asyncio.to_thread(read_fail_line, self._options.data, row)
        except FileNotFoundError:
            return None
        return line.rstrip(b"\n") or None


def _json(value: object) -> Response:
    return Response(exact_json.encode(value), media_type=JSON)
