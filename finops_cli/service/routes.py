"""Routes that leave their template with the request, for the access log and the figures."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from finops_cli.errors import FinopsError
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import facts_in

ROUTE = "finops.route"
"""The key of the route that answers a request."""


class NamedRoute(Route):
    """A route of the service."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self
        await super().handle(scope, receive, send)


Endpoint = Callable[[Request], Awaitable[Response]]


def shared_route(path: str, **endpoints: Endpoint) -> NamedRoute:
    """Return the route of a path with several methods.

    Two routes of one path would each name only its own methods in `Allow`.
    """

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return NamedRoute(path, endpoint, methods=list(endpoints))


class HotRoutes:
    """Calls the routes that answer records before the layers of FastAPI, which cost more of the
    processor than an answer. The application has the same routes.
    """

    def __init__(
        self, app: ASGIApp, refuse: Callable[[Request, Exception], Awaitable[Response]]
    ) -> None:
        """Keep the application. `refuse` answers an error of a route."""
        self._app, self._refuse = app, refuse
        self._routes: dict[str, NamedRoute] = {}

    def add(self, routes: Iterable[NamedRoute]) -> None:
        """Call those of `routes` that are plain ASGI applications."""
        plain = (route for route in routes if not inspect.isroutine(route.endpoint))
        self._routes |= {route.path: route for route in plain}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope.get("path", "")) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = route
        try:
            await route.app(scope, receive, send)
        except ClientDisconnect:
            raise
        except (FinopsError, ServiceError, OSError) as error:
            if facts_in(scope).is_answered:
                raise
            answer = await self._refuse(Request(scope), error)
            await answer(scope, receive, send)
