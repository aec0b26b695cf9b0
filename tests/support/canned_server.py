"""A real HTTP server that answers each path with given bytes, for answers that a healthy Ollama
server never gives.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Answers = Mapping[str, bytes | dict[str, object] | int]
"""`METHOD /path` to a body, an object to be sent as JSON, or the status of an answer without a
body.
"""
HEALTHY: Answers = {"GET /api/version": {"version": "0.33.0"}, "GET /api/ps": {"models": []}}


class CannedServer:
    """A server for a `with` statement.

    `torn`: the paths whose answer promises more than it sends. `requests` keeps the paths.
    """

    def __init__(self, answers: Answers, torn: tuple[str, ...] = ()) -> None:
        self.requests: list[str] = []
        self.keys: list[str] = []
        """Every Authorization that came."""
        self.received: dict[str, bytes] = {}
        """The body of each path's last request, as long as its Content-Length says."""
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", 0), self._handler({**HEALTHY, **answers}, torn)
        )
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self, answers: Answers, torn: tuple[str, ...]) -> type[BaseHTTPRequestHandler]:
        requests, keys, received = self.requests, self.keys, self.received

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path = f"{self.command} {self.path}"
                requests.append(path)
                keys.extend(self.headers.get_all("Authorization") or [])
                received[path] = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = answers.get(path, 404)
                status, body = (found, b"") if isinstance(found, int) else (200, found)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) + (path in torn)))
                if status == 307:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_POST = answer  # noqa: N815 - named by http.server

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        return Handler
