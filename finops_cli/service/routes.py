"""Routes that leave their template with the request, for the access log and the figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

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
