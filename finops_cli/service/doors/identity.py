"""Names each request, turns errors into problem documents, and adds the security headers."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finops_cli.service.audit_log.routes import AuditLog
from finops_cli.service.desk.error_page import answer_error
from finops_cli.service.doors.exchange import prepare_headers
from finops_cli.service.doors.load import LoadDoor
from finops_cli.service.log import ServiceLog
from finops_cli.service.problems import ServiceError, database_lost
from finops_cli.service.requests import RequestFacts, RequestHeaders, keep_facts, new_request_id
from finops_cli.service.store.database import DatabaseLost

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_CACHE = (b"cache-control", b"no-store")
DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)
"""The statuses of refusals that the audit log records."""
prepare_headers([*_HEADERS, _CACHE])
_STATIC = "/static/"
_REQUEST_ID = b"x-request-id"
_NAME = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class IdentityDoor:
    """The outermost door."""

    def __init__(self, app: ASGIApp, load: LoadDoor, log: ServiceLog, audit: AuditLog) -> None:
        self._app = app
        self._load = load
        self._log = log
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = RequestHeaders(scope)
        given = headers.raw.get(_REQUEST_ID)
        is_name = given is not None and _NAME.fullmatch(given)
        request_id = given.decode() if given and is_name else new_request_id()
        facts = RequestFacts(request_id=request_id, headers=headers)
        keep_facts(scope, facts)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, facts.is_answered = message["status"], True
                given = message.get("headers", [])
                headers = [*given, *_HEADERS, (_REQUEST_ID, request_id.encode())]
                if _CACHE[0] not in dict(given) and not scope["path"].startswith(_STATIC):
                    headers.append(_CACHE)
                # a copy: a route may send the same message with each of its answers
                message = {**message, "headers": headers}
            await send(message)

        began = self._log.now()
        try:
            await self._app(scope, receive, send_with_headers)
        except ServiceError as error:
            if status:
                raise
            refused = await self._record(scope, error)
            answer = answer_error(HTTPConnection(scope), refused)
            await answer(scope, receive, send_with_headers)
        except DatabaseLost:
            if status:
                raise
            answer = answer_error(HTTPConnection(scope), database_lost())
            await answer(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass  # nobody is there to answer
        except asyncio.CancelledError:
            if not self._load.is_ending:
                raise
            if not status:  # else the server has closed the connection behind a whole line
                answer = answer_error(HTTPConnection(scope), self._load.stopping())
                await answer(scope, receive, send_with_headers)
        finally:
            self._log.request(scope, request_id, status, self._log.now() - began)

    async def _record(self, scope: Scope, error: ServiceError) -> ServiceError:
        """Record a refusal in the audit log; return what is answered."""
        if error.status in DENIED:
            try:
                await self._audit.denied(HTTPConnection(scope), error)
            except DatabaseLost:
                return database_lost()
        return error
