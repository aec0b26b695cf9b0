"""The stand-in itself: a server on 127.0.0.1 that speaks Ollama's HTTP protocol."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from finops_cli.devtools.standin.behaviours import Behaviour, Heard, Right, Script
from finops_cli.devtools.standin.blobs import Blobs
from finops_cli.devtools.standin.llama import LlamaModel
from finops_cli.devtools.standin.models import Model, Models, default_models, full_name
from finops_cli.devtools.standin.routes import route
from finops_cli.devtools.standin.slots import Slots
from finops_cli.devtools.standin.wire import ClientGone, Wire
from finops_cli.models.gguf import read_gguf

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_JOIN_SECONDS = 10.0


class StandIn:
    """A stand-in for an Ollama server.

    Used in a `with` statement; `stop` and `start` let it fall over and come back.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        version: str = "0.33.0",
        models: Iterable[Model] | None = None,
        num_parallel: int = 4,
        max_queue: int = 512,
        fits_both: bool = True,
        port: int = 0,
        chunk_tokens: int = 1,
        gguf: Mapping[str, Path] | None = None,
        runs_uploads: bool = False,
        token_seconds: float = 0.0,
    ) -> None:
        """Models of `gguf` answer with their files, and with `runs_uploads` models that are created
        of an upload answer with theirs.

        Raises MissingPiece where that is asked for and llama-cpp-python is not installed,
        UsageError for a file that is none.
        """
        self.script: Script = script or _right
        self.version, self.chunk_tokens, self.token_seconds = version, chunk_tokens, token_seconds
        self.runs_uploads = runs_uploads
        self.models = Models(default_models() if models is None else models)
        self.slots = Slots(num_parallel, max_queue, fits_both)
        self.blobs = Blobs()
        self.llamas: dict[str, LlamaModel] = {}
        for name, path in (gguf or {}).items():
            self.answer_with(full_name(name), path)
        self.heard: list[Heard] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.cancelled = 0
        self.failures: list[BaseException] = []
        """What a script or the stand-in itself raised; the first of them is raised again when the
        `with` statement ends.
        """
        self._port = port
        self._asked_before: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._http: _Http | None = None

    @property
    def url(self) -> str:
        """Its address; known once it was started."""
        return f"http://{HOST}:{self._port}"

    @property
    def most_at_once(self) -> dict[str, int]:
        """The highest number of generations that ran at the same time, by model name without
        `:latest`.
        """
        return self.slots.most_at_once

    @property
    def loads(self) -> list[str]:
        """Every load of a model, in order, by name without `:latest`."""
        return self.slots.loads

    def start(self) -> None:
        """Listen, on the port of the last time if there was one.

        Raises OSError when the port is taken.
        """
        if self._http is None:
            self._http = _Http(self, self._port)
            self._port = self._http.server_address[1]
            self._http.begin()

    def stop(self) -> None:
        """Close the listening socket and all connections, as a server does that falls over; models
        are no longer loaded.
        """
        http, self._http = self._http, None
        if http is not None:
            http.end()
            self.slots.unload_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.blobs.close()
        for llama in self.llamas.values():
            llama.close()
        if error is None and self.failures:
            raise self.failures[0]

    def answer_with(self, name: str, path: Path) -> None:
        """From now on the model `name` is the GGUF file at `path`: it shows its pairs, and says
        what it says.
        """
        self.llamas[name] = LlamaModel(path)
        known = self.models.get(name)
        if known is not None:
            self.models.put(replace(known, pairs=read_gguf(path)))

    def hear(self, heard: Callable[[int, int], Heard], user: str) -> Heard:
        """Note a request to generate: `heard` makes it of its number and attempt."""
        with self._lock:
            self._asked_before[user] += 1
            self.heard.append(heard(len(self.heard) + 1, self._asked_before[user]))
            return self.heard[-1]

    def client_left(self, finished: bool) -> None:
        """Note that a client closed its connection; it cancelled a generation unless that was
        `finished`.
        """
        with self._lock:
            if not finished and self._http is not None:
                self.cancelled += 1


def _right(heard: Heard) -> Behaviour:
    return Right()


class _Http(ThreadingHTTPServer):
    """Knows its open connections and their threads, so that it can end them all."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, standin: StandIn, port: int) -> None:
        self.standin = standin
        self._open: dict[socket.socket, threading.Thread] = {}
        self._ending = False
        super().__init__((HOST, port), _Handler)
        self._loop = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    def begin(self) -> None:
        self._loop.start()

    def end(self) -> None:
        self._ending = True
        self.shutdown()
        self.server_close()
        threads = list(self._open.items())
        for connection, _ in threads:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in [self._loop, *(thread for _, thread in threads)]:
            thread.join(_JOIN_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        self._open[request] = thread
        thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A lost connection is nothing to report; anything else is a defect of the script or of the
        stand-in.
        """
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.standin.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        wire = Wire(self)
        with suppress(ClientGone):
            route(cast(_Http, self.server).standin, self.command, self.path.partition("?")[0], wire)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 -- named by http.server

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""
