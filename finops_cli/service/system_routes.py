"""The routes about the service itself: health, readiness, figures, models."""

from __future__ import annotations

import asyncio
import shutil
from functools import cached_property
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.service.auth.access import Access
from finops_cli.service.auth.tokens import Now
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.doors.load import LoadDoor
from finops_cli.service.metrics import PROMETHEUS, Metrics
from finops_cli.service.openapi import encode_document, openapi_document
from finops_cli.service.problems import ServiceError, not_found
from finops_cli.service.records.answering import Answering
from finops_cli.service.records.bodies import JSON
from finops_cli.service.records.when_down import is_down, reload_model, states_of
from finops_cli.service.requests import actor_of
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Database
from finops_cli.service.store.replicas import list_replicas
from finops_cli.service.uploads.mask_pool import MaskPool
from finops_cli.version import __version__


class SystemRoutes:
    """Answers the paths about the service itself."""

    def __init__(
        self,
        answering: Answering,
        metrics: Metrics,
        load: LoadDoor,
        database: Database,
        pool: MaskPool | None,
        access: Access,
        now: Now,
    ) -> None:
        self._answering = answering
        self._kb: KnowledgeBase = answering.kb
        self._metrics = metrics
        self._load, self._access = load, access
        self._database, self._pool, self._now = database, pool, now
        self._reloading = asyncio.Lock()
        self._probe: asyncio.Task[None] | None = None

    async def health(self, request: Request) -> Response:
        """Answer while the event loop turns. Nothing else is looked at."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Name what is not ready: `stopping`, `tokens`, `store`, `guard`, `disk`, `backend`; 503
        if anything is.
        """
        missing = ["stopping"] if self._load.is_stopping else []
        if not await self._access.has_tokens():
            missing.append("tokens")
        if not await self._database.is_ready():
            missing.append("store")
        if self._pool is not None and self._pool.has_failed:
            missing.append("guard")
            if self._probe is None or self._probe.done():
                self._probe = asyncio.create_task(self._pool.probe())
        if shutil.disk_usage(self._database.folder).free < self._kb.serve.limits["free_bytes"]:
            missing.append("disk")
        if is_down(self._answering.backend):
            missing.append("backend")
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return _json({"ready": not missing, "missing": missing}, int(status))

    async def metrics(self, request: Request) -> Response:
        """Return the figures, as JSON or in the text format of Prometheus."""
        require_right(request, "see")
        if _wants_json(request.headers.get("accept", "*/*")):
            return _json(self._metrics.figures())
        return Response(self._metrics.prometheus(), media_type=PROMETHEUS)

    async def reload(self, request: Request) -> Response:
        """Load a model again. Raises ServiceError as `load_again` does."""
        require_right(request, "operate")
        await self.load_again(request, request.path_params["name"])
        return await self.models(request)

    async def load_again(self, request: Request, name: str) -> None:
        """Load a model again; it is named by itself or by its stage.

        Raises ServiceError 404, and 409 while a model is loaded again.
        """
        require_right(request, "operate")
        backend = self._answering.backend
        stages = [stage for stage, model in backend.origin.models.items() if name in (stage, model)]
        if not stages or not backend.concurrency:
            raise not_found(f"the model {name[:80]}")
        if self._reloading.locked():
            raise ServiceError(
                HTTPStatus.CONFLICT, "in-work", "a model is loaded again already; wait for it"
            )
        async with self._reloading:
            for stage in stages:
                await asyncio.to_thread(reload_model, backend, stage)
        actor, at = actor_of(request), self._now()
        await self._database.write(lambda db: append(db, at, actor, "reload", name, {}))

    async def models(self, request: Request) -> Response:
        """Return what answers: the backend, its models and their digests, and the rules."""
        require_right(request, "see")
        origin = self._answering.backend.origin
        return _json(
            {
                "finops": __version__,
                "kb": self._kb.version,
                "backend": origin.name,
                "models": dict(origin.models),
                "digests": None if origin.digests is None else dict(origin.digests),
                "guard": self._answering.guard,
                "servers": states_of(self._answering.backend),
            }
        )

    async def replicas(self, request: Request) -> Response:
        """List the services that use the database, each with its last figures."""
        require_right(request, "see")
        return _json(await self._database.read(list_replicas))

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        require_right(request, "see")
        return Response(self._document, media_type=JSON)

    @cached_property
    def _document(self) -> bytes:
        """The OpenAPI document, made when somebody first asks: the start does not wait for it."""
        return encode_document(openapi_document(self._kb))


def _wants_json(accept: str) -> bool:
    """Return true unless the header Accept prefers text, as Prometheus does."""
    first = accept.partition(",")[0].partition(";")[0].strip()
    return not (first.startswith("text/") or first == "application/openmetrics-text")


def _json(value: object, status: int = 200) -> Response:
    return Response(exact_json.encode(msgspec.to_builtins(value)), status, media_type=JSON)
