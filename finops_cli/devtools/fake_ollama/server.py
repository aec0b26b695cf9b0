"""The fake Ollama itself: a server on 127.0.0.1 that speaks Ollama's HTTP protocol."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self

from finops_cli.devtools.fake_ollama.routes import route
from finops_cli.devtools.fake_ollama.state import ServerState
from finops_cli.devtools.http_server import HOST, HttpServer


class FakeOllama(ServerState):
    """A fake Ollama server.

    Use it in a `with` statement; `stop` and `start` simulate a crash and a restart.
    """

    _http: HttpServer | None = None

    @property
    def url(self) -> str:
        """The address; known after the first start."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Listen, on the previous port if there was one.

        Raises OSError when the port is taken.
        """
        if self._http is None:
            self._http = HttpServer(partial(route, self), self.failures, self.port)
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
