"""Ends connections that send or read too slowly, which uvicorn itself waits for without end, sends
the head and the body of an answer together, and closes no connection whose client still sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.problems import MEDIA_TYPE, ServiceError
from finops_cli.service.requests import new_request_id

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_FORGOTTEN_BYTES = 8 * 1024 * 1024
"""The rest of a refused body that is read: a client that still sends would lose the answer."""


class JoinedWrites(asyncio.Transport):
    """A connection that sends the head of an answer with the first part of its body.

    uvicorn writes them one after the other, and the event loop hands each to the system at once:
    the second call cost a tenth of the processor time of a triage. A head waits at most until the
    event loop turns.

    `ends_later()` takes over the end of a connection, and returns true, where its client still
    sends: bytes that nobody reads would make the system discard the answer too.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        ends_later: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._transport, self._loop, self._ends_later = transport, loop, ends_later
        self._is_closed = False
        self._held = b""
        self.holds_next = False
        """The next bytes are the head of an answer."""
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]
        self.abort = transport.abort  # type: ignore[method-assign]

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

    def is_closing(self) -> bool:
        """Return true once nothing more is written, though a client may still send."""
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Send what waits, and close the connection: at once, or when the client has sent."""
        if self._is_closed:
            return
        self.flush()
        self._is_closed = True
        if not self._ends_later():
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def end(self) -> None:
        """Close the connection, whatever its client still sends."""
        self._transport.close()


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Keeps nothing: the doors have read the head, and a client may send trailers without end."""

    def append(self, header: tuple[bytes, bytes], /) -> None:
        """Forget a trailer."""


class DeadlineProtocol(HttpToolsProtocol):
    """A connection whose head and body must come in time, and whose answers must be read."""

    settings: ServeSettings

    def connection_made(self, transport: Any) -> None:
        self._joined = JoinedWrites(transport, self.loop, self._ends_later)
        super().connection_made(self._joined)
        self._answered: RequestResponseCycle | None = None
        """The request that is answered; `cycle` is the last one, which may wait behind it."""
        self._unread, self._unread_since = 0, self.loop.time()
        self._closed_since, self._forgotten_before = self._unread_since, -1
        self._begin(is_head=True)
        self._watch = self.loop.call_later(self.settings.times["watch"], self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        answered = self._answered
        if answered is not None and not answered.response_complete:
            answered.disconnected = True
            answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._joined.is_closing():
            self._forget(len(data))
            return
        if not self._is_reading:
            self._begin(is_head=True)
        self._received += len(data)
        self._bodiless += len(data)
        if not self._is_head and self.cycle.response_complete:
            self._forget(len(data))
        super().data_received(data)
        if self._is_reading and self._bodiless > self.settings.limits["head_bytes"]:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not a request with a problem document, and close.

        Behind a request whose answer has begun, they would become a part of that answer.
        """
        answered = self._answered
        if answered is None or answered.response_complete or not answered.response_started:
            error = ServiceError(HTTPStatus.BAD_REQUEST, "request", "the bytes are not HTTP/1.1")
            self.transport.write(self._write_answer(error))
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._joined.holds_next = True
        super().on_headers_complete()
        self.headers = _NoTrailers()
        self._begin(is_head=False)

    def on_body(self, body: bytes) -> None:
        self._bodiless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_reading = False

    def end_answer(self) -> None:
        """Close the connection behind the parts of its answer that are sent: whole lines.

        A stream ends as it does at its deadline; an answer with a length is too short for it.
        """
        answered = self._answered
        if answered is None or not answered.response_started or answered.response_complete:
            return
        if answered.chunked_encoding:
            self.transport.write(b"0\r\n\r\n")
        answered.disconnected = True  # what is sent now goes nowhere
        answered.message_event.set()
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _ends_later(self) -> bool:
        """Read on until the client rests; return false if it does not send a body."""
        if not self._is_reading or self._is_head or not self.cycle.response_complete:
            return False
        self.flow.resume_reading()
        self._closed_since, self._forgotten_before = self.loop.time(), -1
        return True

    def _forget(self, count: int) -> None:
        """Count bytes that nobody reads, and stop at too many."""
        self._forgotten += count
        if self._forgotten > _FORGOTTEN_BYTES and not self.flow.read_paused:
            self.flow.pause_reading()  # a proxy that still sends reads the answer meanwhile
            self.loop.call_later(self.settings.times["watch"], self._joined.end)

    def _begin(self, is_head: bool) -> None:
        """Begin to time a head or a body."""
        self._is_reading = True
        self._is_head = is_head
        self._received = self._forgotten = self._bodiless = 0
        self._since = self.loop.time()

    def _look(self) -> None:
        """Close a connection that is too slow, unless the service itself does not read."""
        watch = self.settings.times["watch"]
        self._watch = self.loop.call_later(watch, self._look)
        if self._is_stalled():
            self.transport.abort()
        elif self._joined.is_closing():
            self._look_at_rest()
        elif self.flow.read_paused:
            self._since += watch
        elif self._is_reading:
            self._look_at_reading()

    def _look_at_reading(self) -> None:
        times = self.settings.times
        passed = self.loop.time() - self._since
        if passed <= times["head"]:
            return
        if self._is_head or self._received < passed * times["body_rate"]:
            self._joined.end()  # an answer that was sent before has had that time to be read
        else:  # what came fast does not excuse what comes slowly
            self._received, self._since = 0, self.loop.time()

    def _look_at_rest(self) -> None:
        """End a closed connection when nothing comes any more, or for too long."""
        passed = self.loop.time() - self._closed_since
        if self._forgotten == self._forgotten_before or passed > self.settings.times["head"]:
            self._joined.end()
        self._forgotten_before = self._forgotten

    def _is_stalled(self) -> bool:
        """Return true if the client has read nothing of its answer for too long."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, self.loop.time()
        return self.loop.time() - self._unread_since > self.settings.times["stall"]

    def _write_answer(self, error: ServiceError) -> bytes:
        body = error.response(request_id=new_request_id()).body
        head = [
            f"HTTP/1.1 {error.status.value} {error.status.phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        return "\r\n".join([*head, "", ""]).encode() + bytes(body)


def deadline_protocol(settings: ServeSettings) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with the limits of `settings` (kb: `serve.*`)."""
    return type("TimedProtocol", (DeadlineProtocol,), {"settings": settings})
