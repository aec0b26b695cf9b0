"""Builds the application: the routes, and the doors before them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TextIO, cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from finops_cli.errors import FinopsError
from finops_cli.pipeline.sequences import Command
from finops_cli.service.audit_routes import AuditLog
from finops_cli.service.auth.access import Access, TokenSource
from finops_cli.service.auth.tokens import Now, utc_now
from finops_cli.service.config import ServeConfig
from finops_cli.service.doors.access_door import AccessDoor
from finops_cli.service.doors.identity import IdentityDoor
from finops_cli.service.doors.load import LoadDoor
from finops_cli.service.doors.origin import OriginDoor, allowed_hosts
from finops_cli.service.knowledge_routes import KnowledgeRoutes
from finops_cli.service.log import ServiceLog
from finops_cli.service.metrics import Metrics
from finops_cli.service.openapi import openapi_document
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.answering import Answering
from finops_cli.service.records.routes import CheckEndpoint, ClockEndpoint, RecordEndpoint
from finops_cli.service.records.spool import SpoolBudget
from finops_cli.service.records.streams import Streams
from finops_cli.service.requests import facts_of
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Database
from finops_cli.service.system_routes import SystemRoutes

_RECORD_COMMANDS: tuple[Command, ...] = ("run", "triage", "resolve")
"""The commands that answer one record at a time."""
_STATUS_NAMES = {404: "not-found", 405: "method"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The application, and the parts that its server needs."""

    app: ASGIApp
    answering: Answering
    database: Database
    audit: AuditLog
    load: LoadDoor
    metrics: Metrics
    routes: tuple[NamedRoute, ...]


def build_service(
    config: ServeConfig,
    answering: Answering,
    tokens: TokenSource,
    database: Database,
    *,
    log: TextIO | None = None,
    now: Now = utc_now,
) -> Service:
    """Build the application. `log` takes the access log; None: there is none."""
    kb, metrics = answering.kb, Metrics()
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="finops")
    inner.openapi = lambda: openapi_document(kb)  # type: ignore[method-assign]
    inner.add_exception_handler(HTTPException, _as_problem)
    inner.add_exception_handler(ServiceError, _as_answer)
    inner.add_exception_handler(FinopsError, _as_answer)
    inner.add_exception_handler(Exception, _as_fault)
    load = LoadDoor(inner, kb.serve, metrics)
    streams = Streams(
        answering=answering,
        settings=kb.serve,
        metrics=metrics,
        folder=config.data,
        budget=SpoolBudget(kb.serve.limits["spool_bytes"]),
    )
    system = SystemRoutes(answering, metrics, load, config.data)
    audit = AuditLog(database, now)
    routes = _routes(answering, streams, system, audit)
    inner.router.routes.extend(routes)
    access = Access(tokens, kb.serve, now, is_secure=config.has_tls)
    hosts = allowed_hosts(config.host, config.port, config.allow_hosts)
    app: ASGIApp = AccessDoor(load, access)
    app = OriginDoor(app, hosts, is_socket=config.socket is not None)
    app = IdentityDoor(app, ServiceLog(metrics, log), audit)
    return Service(
        app=app,
        answering=answering,
        database=database,
        audit=audit,
        load=load,
        metrics=metrics,
        routes=tuple(routes),
    )


def _routes(
    answering: Answering, streams: Streams, system: SystemRoutes, audit: AuditLog
) -> list[NamedRoute]:
    knowledge = KnowledgeRoutes(answering.kb)
    settings = answering.kb.serve
    return [
        *(
            NamedRoute(
                f"/v1/{command}", RecordEndpoint(command, answering, streams), methods=["POST"]
            )
            for command in _RECORD_COMMANDS
        ),
        NamedRoute("/v1/check", CheckEndpoint(answering, settings).answer, methods=["POST"]),
        NamedRoute("/v1/clock", ClockEndpoint(answering, settings).answer, methods=["POST"]),
        NamedRoute("/v1/kb", knowledge.entries),
        NamedRoute("/v1/kb/{id}", knowledge.entry),
        NamedRoute("/v1/schemas/{name}", knowledge.schema),
        NamedRoute("/v1/models", system.models),
        NamedRoute("/v1/audit", audit.entries),
        NamedRoute("/v1/audit/verify", audit.verification),
        NamedRoute("/metrics", system.metrics),
        NamedRoute("/openapi.json", system.openapi),
        NamedRoute("/healthz", system.health),
        NamedRoute("/readyz", system.ready),
    ]


async def _as_problem(request: Request, error: Exception) -> Response:
    """Turn an error of the router, such as 404 or 405, into a problem document."""
    found = cast("HTTPException", error)
    name = _STATUS_NAMES.get(found.status_code, "request")
    allowed = (found.headers or {}).get("Allow")
    detail = (
        f"{request.url.path} does not exist; `/openapi.json` lists the paths"
        if allowed is None
        else f"{request.method} is not a method of {request.url.path}; accepted: {allowed}"
    )
    problem = ServiceError(
        HTTPStatus(found.status_code), name, detail, headers=dict(found.headers or {})
    )
    return problem.response(request.url.path, facts_of(request).request_id)


async def _as_answer(request: Request, error: Exception) -> Response:
    """Turn an error that names its fix into a problem document."""
    if isinstance(error, FinopsError):
        error = ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", error.one_line())
    problem = cast("ServiceError", error)
    return problem.response(request.url.path, facts_of(request).request_id)


async def _as_fault(request: Request, error: Exception) -> Response:
    """Turn a fault of the program into a problem document; the log has its traceback."""
    request_id = facts_of(request).request_id
    problem = ServiceError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        f"the service has a fault; please report it as a bug, with the request {request_id}",
    )
    return problem.response(request.url.path, request_id)
