"""Unload the models of an Ollama server whose memory ran out, and load them again.

A server frees memory late: the models are unloaded, and `/api/ps` is asked until they are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from finops_cli.errors import FinopsError
from finops_cli.models.failures import ModelError
from finops_cli.models.ollama import api

if TYPE_CHECKING:
    from finops_cli.kb.chapters.models import ModelSettings
    from finops_cli.models.servers.endpoint_pool import Endpoint

_PAUSE_SECONDS = 0.1


class Unloading:
    """Frees the memory of a server.

    `models` are the names of the models that a run asks. `warm_up` loads them on a server.
    """

    def __init__(
        self,
        models: Iterable[str],
        settings: ModelSettings,
        warm_up: Callable[[Endpoint], None],
    ) -> None:
        self._models = tuple(dict.fromkeys(models))
        self._settings = settings
        self._warm_up = warm_up

    def reload(self, endpoint: Endpoint) -> None:
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

    def list_loaded(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        """Return the loaded models with their bytes, all and on the GPU; none of a silent
        server.
        """
        try:
            loaded = api.list_loaded(endpoint.url)
        except FinopsError:
            return []
        return [
            {"name": each.name, "bytes": each.size, "gpu_bytes": each.size_vram} for each in loaded
        ]
