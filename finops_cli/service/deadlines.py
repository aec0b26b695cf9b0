"""Ends connections that send too slowly, which uvicorn itself waits for without end."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from finops_cli.kb.chapters.serve import ServeSettings


class DeadlineProtocol(HttpToolsProtocol):
    """A connection whose head and body must come in time."""

    settings: ServeSettings

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin(is_head=True)
        self._watch = self.loop.call_later(self.settings.times["watch"], self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_reading:
            self._begin(is_head=True)
        self._received += len(data)
        super().data_received(data)
        if self._is_head and self._received > self.settings.limits["head_bytes"]:
            self.transport.close()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._begin(is_head=False)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_reading = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._is_reading = False

    def _begin(self, is_head: bool) -> None:
        """Begin to time a head or a body."""
        self._is_reading = True
        self._is_head = is_head
        self._received = 0
        self._since = self.loop.time()

    def _look(self) -> None:
        """Close a connection that is too slow, unless the service itself does not read."""
        times = self.settings.times
        self._watch = self.loop.call_later(times["watch"], self._look)
        if self.flow.read_paused:
            self._since += times["watch"]
            return
        passed = self.loop.time() - self._since
        is_slow = self._is_head or self._received < passed * times["body_rate"]
        if self._is_reading and passed > times["head"] and is_slow:
            self.transport.close()


def deadline_protocol(settings: ServeSettings) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with the limits of `settings` (kb: `serve.*`)."""
    return type("TimedProtocol", (DeadlineProtocol,), {"settings": settings})
