"""The fake Ollama itself: a server on 127.0.0.1 that speaks Ollama's HTTP protocol."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast

from finops_cli.devtools.fake_ollama.http_writer import ClientGone, HttpWriter
from finops_cli.devtools.fake_ollama.routes import route
from finops_cli.devtools.fake_ollama.state import ServerState

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_JOIN_SECONDS = 10.0


class FakeOllama(ServerState):
    """A fake Ollama server.

    Use it in a `with` statement; `stop` and `start` simulate a crash and a restart.
    """

    _http: _Http | None = None

    @property
    def url(self) -> str:
        """The address; known after the first start."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Listen, on the previous port if there was one.

        Raises OSError when the port is taken.
        """
        if self._http is None:
            self._http = _Http(self, self.port)
            self.port = self._http.server_address[1]
            self._http.begin()
            self.running = True

    def stop(self) -> None:
        """Close the listening socket and all connections, as in a crash; loaded models are
        unloaded.
        """
        http, self._http = self._http, None
        self.running = False
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


class _Http(ThreadingHTTPServer):
    """An HTTP server that knows its open connections and threads, so that it can end them."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, state: ServerState, port: int) -> None:
        self.state = state
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
        """Ignore a lost connection; raise anything else, which is a defect of the script or of the
        server.
        """
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.state.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        writer = HttpWriter(self)
        with suppress(ClientGone):
            route(cast(_Http, self.server).state, self.command, self.path.partition("?")[0], writer)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 -- named by http.server

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""
