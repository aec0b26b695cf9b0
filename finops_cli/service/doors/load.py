"""Refuses at once what would be too much: many requests, many of one client, a stopping service."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.metrics import Metrics
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import facts_in


class LoadDoor:
    """Counts the requests in work."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        metrics.count_work = lambda: self._in_work
        self._clients: dict[str, int] = {}
        """Requests in work by client. A Counter runs Python code for each name that is new."""
        self._in_work = 0
        """Requests of all clients."""
        self.is_stopping = False
        """True from the first signal on: nothing new is begun."""
        self.is_ending = False
        """True once the time for the requests in work is over: they are cancelled."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = facts_in(scope) if scope["type"] == "http" else None
        if facts is None or facts.is_open:
            await self._app(scope, receive, send)
            return
        client = facts.name
        count = self._clients.get(client, 0)
        self._refuse_more(count)
        self._clients[client] = count + 1
        self._in_work += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_work -= 1
            count = self._clients.pop(client) - 1
            if count:
                self._clients[client] = count

    def stopping(self) -> ServiceError:
        """Return the refusal of a service that stops."""
        return ServiceError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "stopping",
            "the service is stopping",
            retry_after=self._settings.times["drain"],
        )

    def _refuse_more(self, count: int) -> None:
        """Refuse a request of a client that has `count` in work. Raises ServiceError 429, 503."""
        limits, wait = self._settings.limits, self._settings.times["busy"]
        if self.is_stopping:
            raise self.stopping()
        if count >= limits["client_requests"]:
            raise ServiceError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "client-busy",
                f"this token has {count:,} requests in work; accepted: up to"
                f" {limits['client_requests']:,}",
                retry_after=wait,
            )
        if self._in_work >= limits["requests"]:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "busy",
                f"{self._in_work:,} requests are in work; accepted: up to {limits['requests']:,}",
                retry_after=wait,
            )
