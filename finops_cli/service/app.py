"""Builds the application: the routes, and the doors before them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TextIO, TypedDict, cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from finops_cli.checking.other_rules import RuleSets, find_kept_rules
from finops_cli.errors import FinopsError, Unfinished
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import NoEndpointLeft
from finops_cli.monitoring.hooks.alarms import Dispatch
from finops_cli.monitoring.system_monitor import system_monitor
from finops_cli.service.alarms.alarms import DIAGNOSTICS, Alarms
from finops_cli.service.audit_log.routes import AuditLog
from finops_cli.service.auth.access import Access, TokenSource
from finops_cli.service.auth.sessions import Sessions
from finops_cli.service.auth.tokens import Now, utc_now
from finops_cli.service.batch.commands import ServerSettings
from finops_cli.service.batch.routes import JobRoutes
from finops_cli.service.batch.runner import JobRunner
from finops_cli.service.config import ServeConfig
from finops_cli.service.demo import add_demo
from finops_cli.service.desk.error_page import answer_error
from finops_cli.service.desk.pages import desk_state, list_pages
from finops_cli.service.doors.access_door import AccessDoor
from finops_cli.service.doors.identity import DENIED, IdentityDoor
from finops_cli.service.doors.load import LoadDoor
from finops_cli.service.doors.origin import OriginDoor, allowed_hosts
from finops_cli.service.idempotency import Idempotency
from finops_cli.service.log import ServiceLog
from finops_cli.service.metrics import Metrics
from finops_cli.service.openapi import openapi_document
from finops_cli.service.problems import ServiceError, database_lost
from finops_cli.service.records.answering import Answering
from finops_cli.service.records.spool import SpoolBudget
from finops_cli.service.records.streams import Streams
from finops_cli.service.records.when_down import model_down
from finops_cli.service.replicas.membership import Membership
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts, list_routes
from finops_cli.service.routes import HotRoutes, NamedRoute
from finops_cli.service.store.database import Database, DatabaseLost
from finops_cli.service.system_routes import SystemRoutes
from finops_cli.service.upkeep import Upkeep, Watch
from finops_cli.service.uploads.mask_pool import MaskPool
from finops_cli.service.uploads.receive import disk_full, is_disk_full
from finops_cli.service.uploads.routes import FileRoutes, UploadOptions

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
    parts: Parts
    upkeep: Upkeep
    demo: Callable[[], Awaitable[None]] | None
    """Adds the example of `--demo`."""
    routes: tuple[NamedRoute, ...]
    """Those of the API."""
    members: Membership

    async def start(self) -> None:
        """Begin to work, in the event loop of the server."""
        runner = self.parts.runner
        await self.upkeep.start()
        await self.members.join(runner.wake, runner.release)
        await runner.start()
        if self.demo is not None:
            await self.demo()

    async def stop(self) -> None:
        """End every process that the service has started."""
        await self.parts.runner.stop()
        await self.members.leave()
        await self.upkeep.stop()
        await asyncio.to_thread(self.parts.alarms.close)
        self.metrics.close()
        if self.parts.pool is not None:
            await self.parts.pool.close()


def build_service(
    config: ServeConfig,
    answering: Answering,
    tokens: TokenSource,
    database: Database,
    *,
    jobs: ServerSettings,
    dispatch: Dispatch | None = None,
    log: TextIO | None = None,
    now: Now = utc_now,
) -> Service:
    """Build the application. `dispatch` tells the hooks, and `log` takes the access log."""
    kb = answering.kb
    metrics, audit = Metrics(system_monitor(kb)), AuditLog(database, now, kb.serve)
    inner, hot = _make_application(kb, audit)
    load, alarms = LoadDoor(hot, kb.serve, metrics), _open_alarms(config, answering, dispatch, now)
    member = Membership(database, config.replica, config.rules, now, metrics.sample, kb.serve.times)
    runner = JobRunner(
        config.data, database, jobs, alarms, now, lambda: member.id, answering.lanes_of
    )
    work = _open_work(config, answering, database, runner, now)
    access = Access(tokens, Sessions(database, now), kb.serve, now, is_secure=config.has_tls)
    parts = Parts(
        answering=answering,
        streams=_open_streams(answering, metrics, config, alarms),
        alarms=alarms,
        system=SystemRoutes(answering, metrics, load, database, work["pool"], access, now),
        audit=audit,
        access=access,
        database=database,
        runner=runner,
        **work,
        data=config.data,
        own=config.own_folder,
        four_eyes=config.four_eyes,
        now=now,
    )
    return Service(
        app=_add_doors(load, config, parts, ServiceLog(metrics, log)),
        answering=answering,
        database=database,
        audit=audit,
        load=load,
        metrics=metrics,
        parts=parts,
        upkeep=_open_upkeep(config, parts),
        demo=_demo(config, parts),
        routes=tuple(_add_routes(inner, hot, parts)),
        members=member,
    )


class _Work(TypedDict):
    """The parts that take files and jobs, and the rules that judge their lines."""

    rules: RuleSets
    idempotency: Idempotency
    pool: MaskPool | None
    files: FileRoutes
    jobs: JobRoutes


def _open_work(
    config: ServeConfig, answering: Answering, database: Database, runner: JobRunner, now: Now
) -> _Work:
    settings, redaction = answering.kb.serve, answering.redaction
    idempotency = Idempotency(database, settings, now)
    pool = None if redaction is None else MaskPool(answering.kb_dir, config.guard)
    options = UploadOptions(
        data=config.data,
        settings=settings,
        redaction=redaction,
        now=now,
        kb_dir=answering.kb_dir,
    )
    return _Work(
        rules=RuleSets(answering.kb, find_kept_rules(config.rules_folder)),
        idempotency=idempotency,
        pool=pool,
        files=FileRoutes(options, database, idempotency, pool),
        jobs=JobRoutes(config.data, database, idempotency, runner, settings, now),
    )


def _open_alarms(
    config: ServeConfig, answering: Answering, dispatch: Dispatch | None, now: Now
) -> Alarms:
    """Open the alarms, which get each answer of models."""
    kb, folder = answering.kb, config.own_folder / DIAGNOSTICS
    alarms = Alarms(
        system_monitor(kb),
        kb,
        config.data,
        dispatch,
        answering.timer,
        diagnostics=folder,
        now=now,
    )
    answering.on_answer = alarms.answered
    return alarms


def _add_routes(inner: FastAPI, hot: HotRoutes, parts: Parts) -> list[NamedRoute]:
    """Add the routes of the API and the pages of the desk; return those of the API."""
    routes, pages = list_routes(parts), list_pages(parts)
    inner.router.routes.extend([*routes, *pages])
    hot.add(routes)
    inner.state.desk = desk_state(parts, pages)
    return routes


def _open_streams(
    answering: Answering, metrics: Metrics, config: ServeConfig, alarms: Alarms
) -> Streams:
    settings = answering.kb.serve
    return Streams(
        answering=answering,
        settings=settings,
        metrics=metrics,
        alarms=alarms,
        folder=config.own_folder,
        budget=SpoolBudget(settings.limits["spool_bytes"]),
    )


def _open_upkeep(config: ServeConfig, parts: Parts) -> Upkeep:
    settings = parts.answering.kb.serve
    default, given = settings.limits["keep_days"], config.keep_days
    keep_days = default if given is None else given
    watch = Watch(parts.alarms, parts.answering.backend)
    return Upkeep(
        config.data, parts.database, settings, parts.now, keep_days, watch, parts.audit.write_counts
    )


def _demo(config: ServeConfig, parts: Parts) -> Callable[[], Awaitable[None]] | None:
    example = config.demo
    if example is None:
        return None
    return partial(add_demo, example, config.data, parts.database, parts.runner, parts.now)


def _add_doors(
    load: LoadDoor,
    config: ServeConfig,
    parts: Parts,
    log: ServiceLog,
) -> ASGIApp:
    """Put the doors before the application, the outermost last."""
    hosts = allowed_hosts(config.host, config.port, config.allow_hosts)
    app: ASGIApp = AccessDoor(load, parts.access)
    app = OriginDoor(app, hosts, is_socket=config.socket is not None)
    return IdentityDoor(app, load, log, parts.audit)


def _make_application(kb: KnowledgeBase, audit: AuditLog) -> tuple[FastAPI, HotRoutes]:
    """Make the application without routes; its errors are problem documents."""
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="finops")
    inner.openapi = lambda: openapi_document(kb)  # type: ignore[method-assign]
    inner.add_exception_handler(HTTPException, _as_problem)

    async def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, ServiceError) and error.status in DENIED:
            try:
                await audit.denied(request, error)
            except DatabaseLost as lost:  # nothing is refused without a trace
                error = lost
        if isinstance(error, OSError):
            return await _as_full_disk(request, error)
        return await _as_answer(request, error)

    inner.add_exception_handler(ServiceError, refuse)
    inner.add_exception_handler(FinopsError, _as_answer)
    inner.add_exception_handler(OSError, refuse)
    inner.add_exception_handler(Exception, _as_fault)
    return inner, HotRoutes(inner, refuse)


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
    return answer_error(request, problem)


async def _as_answer(request: Request, error: Exception) -> Response:
    """Turn an error that names its fix into a problem document."""
    if isinstance(error, NoEndpointLeft):
        error = model_down(error)
    elif isinstance(error, Unfinished) or is_disk_full(error):
        error = disk_full()
    elif isinstance(error, DatabaseLost):
        error = database_lost()
    elif isinstance(error, FinopsError):
        error = ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", error.one_line())
    problem = cast("ServiceError", error)
    return answer_error(request, problem)


async def _as_full_disk(request: Request, error: Exception) -> Response:
    """Turn a full disk into a problem document; any other error of the system is a fault."""
    if is_disk_full(error):
        return await _as_answer(request, error)
    return await _as_fault(request, error)


async def _as_fault(request: Request, error: Exception) -> Response:
    """Turn a fault of the program into a problem document, or a page; the log has its traceback."""
    request_id = facts_of(request).request_id
    problem = ServiceError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        f"the service has a fault; please report it as a bug, with the request {request_id}",
    )
    return answer_error(request, problem)
