"""Routes that leave their template with the request, for the access log and the figures."""

from __future__ import annotations

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

ROUTE = "finops.route"
"""The key of the route that answers a request."""


class NamedRoute(Route):
    """A route of the service."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self
        await super().handle(scope, receive, send)
