"""Ends connections that send too slowly, which uvicorn itself waits for without end, and sends the
head and the body of an answer together.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from finops_cli.kb.chapters.serve import ServeSettings


class JoinedWrites(asyncio.Transport):
    """A connection that sends the head of an answer with the first part of its body.

    uvicorn writes them one after the other, and the event loop hands each to the system at once:
    the second call cost a tenth of the processor time of a triage. A head waits at most until the
    event loop turns.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._held = b""
        self.holds_next = False
        """The next bytes are the head of an answer."""
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        """Send `data`; a head waits for what follows it."""
        if self.holds_next:
            self.holds_next = False
            self._held += data
            self._loop.call_soon(self.flush)
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what waits."""
        if self._held and not self._transport.is_closing():
            self._transport.write(self._held)
        self._held = b""

    def close(self) -> None:
        """Send what waits, and close the connection."""
        self.flush()
        self._transport.close()


class DeadlineProtocol(HttpToolsProtocol):
    """A connection whose head and body must come in time."""

    settings: ServeSettings

    def connection_made(self, transport: Any) -> None:
        self._joined = JoinedWrites(transport, self.loop)
        super().connection_made(self._joined)
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
        self._joined.holds_next = True
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
