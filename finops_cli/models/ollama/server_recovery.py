"""Recovery of an Ollama server whose model ran out of memory (kb: `recovery.out_of_memory`).

A server frees memory late: the models are unloaded, and `/api/ps` is asked until they are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Literal

from finops_cli.errors import FinopsError
from finops_cli.models.failures import ModelError
from finops_cli.models.ollama import api
from finops_cli.models.ollama.endpoint_pool import BACKEND, Endpoint, EndpointPool
from finops_cli.models.recovery.incidents import BOARD, Incident
from finops_cli.models.recovery.ladder import ON_SERVER, MemoryLadder, Rung, lacks_memory

if TYPE_CHECKING:
    from finops_cli.kb.chapters.models import ModelSettings

_PAUSE_SECONDS = 0.1


class ServerRecovery:
    """Acts on the lack of memory of the servers of a pool, once for all requests that it ends.

    `models` are the names of the models that a run asks. `warm_up` loads them on a server.
    """

    def __init__(
        self,
        pool: EndpointPool,
        models: Iterable[str],
        settings: ModelSettings,
        warm_up: Callable[[Endpoint], None],
    ) -> None:
        self._pool = pool
        self._models = tuple(dict.fromkeys(models))
        self._settings = settings
        self._warm_up = warm_up
        self._locks = {endpoint.url: Lock() for endpoint in pool.endpoints}
        self._ladders = {
            endpoint.url: MemoryLadder(ON_SERVER, settings) for endpoint in pool.endpoints
        }
        self._ended: dict[str, float] = {}
        """When the last recovery of a server ended."""

    def describe(self) -> list[dict[str, Any]]:
        """Return the state of each server, and the models that it has loaded."""
        return [
            {
                "url": endpoint.url,
                "breaker": endpoint.breaker.state,
                "slots": dict(endpoint.slots),
                "at_most": dict(endpoint.capacity),
                "busy": dict(endpoint.busy),
                "loaded": _list_loaded(endpoint),
            }
            for endpoint in self._pool.endpoints
        ]

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note an answer of a server."""
        if self._ladders[endpoint.url].is_recovering:
            with self._locks[endpoint.url]:
                is_first = self._ladders[endpoint.url].succeeded()
            if is_first:
                _tell("recovered", endpoint, None)

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
        _tell("oom", endpoint, rung)

    def _act(self, endpoint: Endpoint, rung: Rung) -> bool:
        """Do what a rung says; false if it changes nothing."""
        if rung in ("next server", "give way"):
            is_possible = rung == "give way" or self._pool.has_others(endpoint)
            if is_possible:
                self._pool.trip(endpoint)
            return is_possible
        changes = rung == "reload" or self._pool.halve(endpoint)
        if changes:
            self._reload(endpoint)
        return changes

    def _reload(self, endpoint: Endpoint) -> None:
        """Unload the models, wait until the server has let go of them, and load them again."""
        import httpx

        for model in self._models:
            with suppress(httpx.HTTPError):
                body = {"model": model, "prompt": "", "keep_alive": 0, "stream": False}
                seconds = self._settings.timeouts["silence"]
                endpoint.client.post("/api/generate", json=body, timeout=seconds)
        end = monotonic() + self._settings.memory["unload_seconds"]
        while monotonic() < end and self._are_loaded(endpoint):
            sleep(_PAUSE_SECONDS)
        with suppress(ModelError):
            self._warm_up(endpoint)

    def _are_loaded(self, endpoint: Endpoint) -> bool:
        try:
            loaded = {each.name for each in api.list_loaded(endpoint.url)}
        except FinopsError:
            return False  # it does not answer; the warm-up shows what is wrong
        return any(api.short(model) in loaded for model in self._models)


def _list_loaded(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return the loaded models with their bytes, all and on the GPU; none of a silent server."""
    try:
        loaded = api.list_loaded(endpoint.url)
    except FinopsError:
        return []
    return [{"name": each.name, "bytes": each.size, "gpu_bytes": each.size_vram} for each in loaded]


def _tell(name: Literal["oom", "recovered"], endpoint: Endpoint, rung: Rung | None) -> None:
    facts = {} if rung is None else {"rung": rung}
    BOARD.tell(Incident(name, BACKEND, endpoint.url, facts))
