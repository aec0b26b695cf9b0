"""Ends connections that send or read too slowly, which uvicorn itself waits for without end, and
those that rest, and closes no connection whose client still sends.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.doors.exchange import Exchange, JoinedWrites, split_target
from finops_cli.service.problems import MEDIA_TYPE, ServiceError
from finops_cli.service.requests import new_request_id

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_FORGOTTEN_BYTES = 8 * 1024 * 1024
"""The rest of a refused body that is read: a client that still sends would lose the answer."""


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
        self._is_refused = False
        """The head was too large; its rest is read, so that the client reads why."""
        self._rests_until = 0.0
        """The end of a connection without a request; it counts once an answer is complete."""
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
        self._feed(data)
        if self._is_reading and self._bodiless > self.settings.limits["head_bytes"]:
            self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not a request with a problem document, and close.

        Behind a request whose answer has begun, they would become a part of that answer.
        """
        answered = self._answered
        if answered is None or answered.response_complete or not answered.response_started:
            error = ServiceError(HTTPStatus.BAD_REQUEST, "request", "the bytes are not HTTP/1.1")
            self.transport.write(self._write_answer(error))
        self.transport.close()

    def _refuse_head(self) -> None:
        """Close a connection with too large a head, behind a problem document where no other
        answer is in work.
        """
        answered = self._answered
        if self._is_head and (answered is None or answered.response_complete):
            error = ServiceError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "the head of the request is larger than"
                f" {self.settings.limits['head_bytes']:,} bytes; accepted: shorter headers",
            )
            self.transport.write(self._write_answer(error))
            self._is_refused = True
        self.transport.close()

    def _feed(self, data: bytes) -> None:
        """Give bytes to the parser. An asked-for upgrade is not done: the answer is HTTP/1.1."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            self.logger.warning("Unsupported upgrade request.")
        except HttpParserError:
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        scope, version = self.scope, self.parser.get_http_version()
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        path, raw_path, query = split_target(self.url)
        scope["path"], scope["raw_path"], scope["query_string"] = path, raw_path, query
        before, self.cycle = self.cycle, self._make_exchange(version)
        self.headers = _NoTrailers()
        self._begin(is_head=False)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _make_exchange(self, version: str) -> Exchange:
        return Exchange(
            scope=self.scope,
            transport=self._joined,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        self._bodiless = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._is_reading = False
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Begin with a request that waits, or rest; `_look` ends a connection that rests."""
        self.server_state.total_requests += 1
        if self._joined.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rests_until = self.loop.time() + self.settings.times["keep_alive"]

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
        """Read on until the client rests; return false if it sends neither a body nor a head that
        was refused.
        """
        is_body = self._is_reading and not self._is_head and self.cycle.response_complete
        if not (self._is_refused or is_body):
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
        elif self.cycle.response_complete and self.loop.time() > self._rests_until:
            self.transport.close()

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
