"""An HTTP server for the fake ones: it knows its connections and threads, and ends them."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from finops_cli.devtools.fake_ollama.http_writer import ClientGone, HttpWriter

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_JOIN_SECONDS = 10.0
Answer = Callable[[str, str, HttpWriter], None]
"""Answers a request by its method and path. It may raise ClientGone."""


class HttpServer(ThreadingHTTPServer):
    """A server that answers with `answer`, and adds errors to `failures`."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(
        self,
        answer: Answer,
        failures: list[BaseException],
        port: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self._failures = failures
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__((HOST, port), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._loop = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    def begin(self) -> None:
        self._loop.start()

    def end(self) -> None:
        """Close the listening socket and all connections, and wait for their threads."""
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
        """Ignore a lost connection; keep anything else, which is a defect of the script or of the
        server.
        """
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self._failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        writer = HttpWriter(self)
        with suppress(ClientGone):
            cast(HttpServer, self.server).answer(self.command, self.path.partition("?")[0], writer)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 -- named by http.server

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""
