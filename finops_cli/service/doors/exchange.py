"""A request and its answer on a connection. uvicorn's own took a quarter of the processor time of
a triage: it searches each header of an answer twice, and makes a timer for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

Pair = tuple[bytes, bytes]
_SHORT_TARGET = 64
"""Targets up to this length, such as /v1/triage, are taken apart once."""
_prepared: dict[Pair, bytes] = {}
_OF_THE_SERVER = frozenset({b"content-length", b"transfer-encoding", b"connection"})
"""Headers that say how an answer is sent."""


def prepare_headers(headers: Iterable[Pair]) -> None:
    """Write the lines of headers that many answers share, once for all of them."""
    for name, value in headers:
        if name in _OF_THE_SERVER:
            raise ValueError(f"{name!r} says how an answer is sent")
        _prepared[name, value] = _line_of(name, value)


def _line_of(name: bytes, value: bytes) -> bytes:
    if HEADER_VALUE_RE.search(value):
        raise RuntimeError(f"the value of the header {name!r} has a control character")
    return b"%b%b\r\n" % (_start_of(name), value)


@lru_cache(maxsize=64)
def _start_of(name: bytes) -> bytes:
    """Return the beginning of the lines of a header: the service itself chooses the few names."""
    if HEADER_RE.search(name):
        raise RuntimeError(f"{name!r} is not the name of a header")
    return name.lower() + b": "


class _DefaultLines:
    """The lines of the headers of every answer, which uvicorn makes again each second."""

    def __init__(self) -> None:
        self._known: tuple[list[Pair], bytes] = [], b""

    def of(self, headers: list[Pair]) -> bytes:
        """Return the lines of the list that uvicorn holds now."""
        known = self._known
        if headers is not known[0]:
            known = self._known = headers, b"".join(_line_of(*each) for each in headers)
        return known[1]


_default_lines = _DefaultLines()


def split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """Return the path of a request, decoded and as it was given, and its query.

    Raises HttpParserError for a target that is not a URL.
    """
    is_usual = len(target) <= _SHORT_TARGET and b"?" not in target  # a query may hold a secret
    return _split_short(target) if is_usual else _split(target)


def _split(target: bytes) -> tuple[str, bytes, bytes]:
    url = httptools.parse_url(target)
    path = url.path.decode("ascii")
    return unquote(path) if "%" in path else path, url.path, url.query or b""


_split_short = lru_cache(maxsize=256)(_split)


class JoinedWrites(asyncio.Transport):
    """A connection that sends the head of an answer with the first part of its body.

    uvicorn writes them one after the other, and the event loop hands each to the system at once:
    the second call cost a tenth of the processor time of a triage.

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
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]
        self.abort = transport.abort  # type: ignore[method-assign]

    def hold(self, head: bytes, *, has_body: bool) -> None:
        """Keep a head until its body is written; one without `has_body` until the loop turns."""
        self._held += head
        if not has_body:
            self._loop.call_soon(self.flush)

    def write(self, data: Any) -> None:
        """Send `data` behind what is held."""
        if self._held:
            data, self._held = self._held + data, b""
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


class Exchange(RequestResponseCycle):
    """A request and its answer. What is rare is left to uvicorn."""

    transport: JoinedWrites

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer, as ASGI describes it."""
        if self.flow.write_paused or self.disconnected or self.response_complete:
            await self._send_slowly(message)
        elif not self.response_started:
            self._begin(message)
        elif not self._end(message):
            await super().send(message)

    async def _send_slowly(self, message: ASGISendEvent) -> None:
        """Send a part when the client has read what was sent before."""
        if self.response_started:
            await super().send(message)
            return
        if not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self._begin(message)

    def _begin(self, message: Any) -> None:
        """Make the head of the answer."""
        if message["type"] != "http.response.start":
            raise RuntimeError(f"an answer begins with its head, not with {message['type']}")
        status, method = message["status"], self.scope["method"]
        lines = [STATUS_LINE[status], _default_lines.of(self.default_headers)]
        lines += [_prepared.get(each) or self._read(*each) for each in message["headers"]]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and method != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self.response_started, self.waiting_for_100_continue = True, False
        has_body = self.chunked_encoding is False and method != "HEAD"
        self.transport.hold(b"".join(lines), has_body=has_body)

    def _read(self, name: bytes, value: bytes) -> bytes:
        """Return the line of a header, and note what it says about the body."""
        name = name.lower()
        if name == b"content-length":
            self.expected_content_length, self.chunked_encoding = int(value), False
            return b"content-length: %d\r\n" % self.expected_content_length
        line = _line_of(name, value)
        if name == b"connection":  # written once, behind the others
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
            return b""
        if name == b"transfer-encoding":
            raise RuntimeError("the server chooses the encoding of the body")
        return line

    def _end(self, message: Any) -> bool:
        """Send a body that is complete and as long as its head says; return false for another."""
        body = message.get("body", b"")
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or self.chunked_encoding is not False
            or len(body) != self.expected_content_length
            or self.scope["method"] == "HEAD"
        ):
            return False
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        self.transport.write(body)
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True

    async def receive(self) -> Any:
        """Return the next part of the request, as ASGI describes it."""
        if self.message_event.is_set() and not self.waiting_for_100_continue:
            self.flow.resume_reading()
            self.message_event.clear()
            if not (self.disconnected or self.response_complete):
                body, self.body = bytes(self.body), bytearray()
                return {"type": "http.request", "body": body, "more_body": self.more_body}
        return await super().receive()
