"""Recovery of a server whose model ran out of memory (kb: `recovery.out_of_memory`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from finops_cli.models.failures import ModelError
from finops_cli.models.recovery.incidents import BOARD, Incident
from finops_cli.models.recovery.ladder import MemoryLadder, Rung, lacks_memory
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool

if TYPE_CHECKING:
    from finops_cli.kb.chapters.models import ModelSettings


class ServerRecovery:
    """Acts on the lack of memory of the servers of a pool, once for all requests that it ends.

    `rungs` are what it may do. `reload` frees the memory of a server and loads its models again,
    where its protocol can. `list_loaded` lists the loaded models of a server.
    """

    def __init__(
        self,
        pool: EndpointPool,
        settings: ModelSettings,
        rungs: tuple[Rung, ...],
        reload: Callable[[Endpoint], None] | None = None,
        list_loaded: Callable[[Endpoint], list[dict[str, Any]]] | None = None,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._reload = reload
        self._list_loaded = list_loaded
        self._locks = {endpoint.url: Lock() for endpoint in pool.endpoints}
        self._ladders = {endpoint.url: MemoryLadder(rungs, settings) for endpoint in pool.endpoints}
        self._ended: dict[str, float] = {}
        """When the last recovery of a server ended."""

    def describe(self) -> list[dict[str, Any]]:
        """Return the state of each server, and the models that it has loaded, where it says so."""
        return [
            {
                "url": endpoint.url,
                "breaker": endpoint.breaker.state,
                "slots": dict(endpoint.slots),
                "at_most": dict(endpoint.capacity),
                "busy": dict(endpoint.busy),
                **({} if self._list_loaded is None else {"loaded": self._list_loaded(endpoint)}),
            }
            for endpoint in self._pool.endpoints
        ]

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note an answer of a server."""
        if self._ladders[endpoint.url].is_recovering:
            with self._locks[endpoint.url]:
                is_first = self._ladders[endpoint.url].succeeded()
            if is_first:
                self._tell("recovered", endpoint, None)

    def failed(self, endpoint: Endpoint, failure: ModelError, began: float) -> None:
        """Act on a failure of a request that was sent at `began`, if memory ran out.

        A failure of a request from before the last recovery tells nothing new.
        """
        if not lacks_memory(failure, self._settings):
            return
        with self._locks[endpoint.url]:
            if began < self._ended.get(endpoint.url, began):
                return
            ladder = self._ladders[endpoint.url]
            rung = ladder.climb(monotonic(), partial(self._act, endpoint))
            self._ended[endpoint.url] = monotonic()
        self._tell("oom", endpoint, rung)

    def reload_all(self) -> None:
        """Free the memory of each server, where its protocol can, and load its models again."""
        if self._reload is None:
            return
        for endpoint in self._pool.endpoints:
            with self._locks[endpoint.url]:
                self._reload(endpoint)

    def _act(self, endpoint: Endpoint, rung: Rung) -> bool:
        """Do what a rung says; false if it changes nothing."""
        if rung in ("next server", "give way"):
            is_possible = rung == "give way" or self._pool.has_others(endpoint)
            if is_possible:
                self._pool.trip(endpoint)
            return is_possible
        changes = rung == "reload" or self._pool.halve(endpoint)
        if changes and self._reload is not None:
            self._reload(endpoint)
        return changes

    def _tell(
        self, name: Literal["oom", "recovered"], endpoint: Endpoint, rung: Rung | None
    ) -> None:
        facts = {} if rung is None else {"rung": rung}
        BOARD.tell(Incident(name, self._pool.backend, endpoint.url, facts))
