"""The access log: one JSON line a request, with the template of its route and no query string."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TextIO

import msgspec
from starlette.types import Scope

from finops_cli.service.metrics import Metrics
from finops_cli.service.routes import ROUTE

_NO_ROUTE = "(none)"
_MS = 1000


def route_template(scope: Scope) -> str:
    """Return the template of the route, such as /v1/kb/{id}; never the path that was asked for."""
    return getattr(scope.get(ROUTE), "path", _NO_ROUTE)


class ServiceLog:
    """Writes the log and counts requests. `out` None: no log."""

    def __init__(
        self, metrics: Metrics, out: TextIO | None = None, now: Callable[[], float] = monotonic
    ) -> None:
        self._metrics = metrics
        self._out = out
        self.now = now

    def request(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """Record a request that has ended; `status` 0: the client went away before the answer."""
        template = route_template(scope)
        self._metrics.request(template, scope["method"], status, seconds)
        if self._out is None:
            return
        entry = {
            "request": request_id,
            "method": scope["method"],
            "route": template,
            "status": status,
            "ms": round(seconds * _MS, 3),
        }
        self._out.write(msgspec.json.encode(entry).decode() + "\n")
        self._out.flush()
