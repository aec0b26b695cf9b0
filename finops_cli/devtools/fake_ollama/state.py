"""The state of a fake Ollama server: its models and slots, and the requests that it received."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finops_cli.devtools.fake_ollama.behaviours import (
    Behaviour,
    CorrectAnswer,
    ReceivedRequest,
    Script,
)
from finops_cli.devtools.fake_ollama.blobs import Blobs
from finops_cli.devtools.fake_ollama.llama import LlamaModel
from finops_cli.devtools.fake_ollama.models import Model, Models, default_models, full_name
from finops_cli.devtools.fake_ollama.slots import Slots
from finops_cli.devtools.fake_ollama.upstream import UpstreamModel
from finops_cli.models.gguf import read_gguf


class ServerState:
    """Models, slots, uploads and received requests of one server. Threads may share it."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        version: str = "0.33.0",
        models: Iterable[Model] | None = None,
        num_parallel: int = 4,
        max_queue: int = 512,
        fits_both: bool = True,
        has_gpu: bool = True,
        port: int = 0,
        chunk_tokens: int = 1,
        gguf: Mapping[str, Path] | None = None,
        upstream: Mapping[str, str] | None = None,
        runs_uploads: bool = False,
        token_seconds: float = 0.0,
    ) -> None:
        """Create the state.

        The models in `gguf` answer with their files; with `runs_uploads`, so do models that are
        created from an upload. The models in `upstream` are answered by the `llama_cpp.server` at
        their address. Raises MissingPiece if llama-cpp-python is needed and not installed,
        UsageError for a file that is not GGUF.
        """
        self.script: Script = script or _right
        self.version, self.chunk_tokens, self.token_seconds = version, chunk_tokens, token_seconds
        self.runs_uploads = runs_uploads
        self.models = Models(default_models() if models is None else models)
        self.slots = Slots(num_parallel, max_queue, fits_both, has_gpu)
        self.blobs = Blobs()
        self.llamas: dict[str, LlamaModel | UpstreamModel] = {}
        for name, path in (gguf or {}).items():
            self.answer_with(full_name(name), path)
        for name, url in (upstream or {}).items():
            self.llamas[full_name(name)] = UpstreamModel(url)
        self.received: list[ReceivedRequest] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.cancelled = 0
        self.failures: list[BaseException] = []
        """Errors that a script or the fake Ollama itself raised; the first of them is raised again
        when the `with` statement ends.
        """
        self.port = port
        """Where it listens; 0 until it was started: any free port."""
        self.running = False
        self._asked_before: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def most_at_once(self) -> dict[str, int]:
        """The highest number of generations at the same time, by model name without `:latest`."""
        return self.slots.most_at_once

    @property
    def most_models_at_once(self) -> int:
        """The highest number of models that generated at the same time."""
        return self.slots.most_models_at_once

    @property
    def loads(self) -> list[str]:
        """Every load of a model, in order, by name without `:latest`."""
        return self.slots.loads

    def answer_with(self, name: str, path: Path) -> None:
        """Serve the model `name` from the GGUF file at `path` from now on."""
        self.llamas[name] = LlamaModel(path)
        known = self.models.get(name)
        if known is not None:
            self.models.put(replace(known, pairs=read_gguf(path)))

    def record_request(
        self, make: Callable[[int, int], ReceivedRequest], user: str
    ) -> ReceivedRequest:
        """Record a request to generate; `make` builds it from its number and attempt."""
        with self._lock:
            self._asked_before[user] += 1
            self.received.append(make(len(self.received) + 1, self._asked_before[user]))
            return self.received[-1]

    def client_left(self, finished: bool) -> None:
        """Record that a client closed its connection. Unless `finished`, that cancelled a
        generation.
        """
        with self._lock:
            if not finished and self.running:
                self.cancelled += 1


def _right(request: ReceivedRequest) -> Behaviour:
    return CorrectAnswer()
