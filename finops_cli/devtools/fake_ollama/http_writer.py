"""Writes one HTTP response as bytes: answers, chunked NDJSON, a broken connection; notices a client
that left.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, NoReturn

import msgspec

_BLOCK = 64 * 1024
_LOOK_AGAIN_SECONDS = 0.05
JSON_TYPE = "application/json; charset=utf-8"


class ClientGone(Exception):
    """The client closed the connection, or the server stops."""


def timestamp(moment: datetime | None = None) -> str:
    """Write `moment`, or the present time, as Ollama does: RFC 3339 in UTC."""
    return (moment or datetime.now(UTC)).isoformat().replace("+00:00", "Z")


def encode(value: Any) -> bytes:
    """Encode JSON as Go's encoder does: compact, with <, > and & escaped."""
    text = msgspec.json.encode(value)
    return text.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


class HttpWriter:
    """Writes the response of a handler to its connection.

    Each method that writes raises ClientGone when the client has left.
    """

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._socket: socket.socket = handler.connection
        self.started = False
        """True when a status line went out."""

    def body(self) -> Iterator[bytes]:
        """Read the body of the request in blocks, by its length or chunked."""
        if self._handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
            yield from self._chunked_body()
            return
        left = int(self._handler.headers.get("Content-Length") or 0)
        while left and (block := self._handler.rfile.read(min(left, _BLOCK))):
            left -= len(block)
            yield block

    def _chunked_body(self) -> Iterator[bytes]:
        read = self._handler.rfile
        while size := int(read.readline().split(b";")[0].strip() or b"0", 16):
            yield read.read(size)
            read.readline()
        while read.readline().strip():
            pass

    def header(self, name: str) -> str | None:
        """Return a header of the request."""
        value: str | None = self._handler.headers.get(name)
        return value

    def gone(self, seconds: float = 0.0) -> bool:
        """Return true if the client closes the connection within `seconds`."""
        try:
            readable, _, _ = select.select([self._socket], [], [], seconds)
            return bool(readable) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def wait(self, seconds: float) -> None:
        """Wait `seconds`. Raises ClientGone as soon as the client leaves."""
        if self.gone(seconds):
            raise ClientGone

    def hang(self) -> NoReturn:
        """Send nothing until the client leaves."""
        while True:
            self.wait(_LOOK_AGAIN_SECONDS)

    def json(self, status: int, value: Any) -> None:
        """Send a whole answer as JSON."""
        self.send(status, encode(value), JSON_TYPE)

    def error(self, status: int, message: str) -> None:
        """Send a whole answer with an error in the form of Ollama: {"error": ...}."""
        self.json(status, {"error": message})

    def send(
        self,
        status: int,
        content: bytes,
        kind: str,
        announced: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole answer of any kind.

        `announced` is the content length to announce, if it should differ from the real one.
        """
        self._head(
            status,
            {
                "Content-Type": kind,
                "Content-Length": str(len(content) if announced is None else announced),
                **(headers or {}),
            },
        )
        if self._handler.command != "HEAD":
            self._write(content)

    def open_stream(self, kind: str = "application/x-ndjson") -> None:
        """Start a response of lines."""
        self._head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})

    def line(self, value: Any) -> None:
        """Send one line of the stream."""
        self.raw_line(encode(value) + b"\n")

    def raw_line(self, content: bytes) -> None:
        """Send one chunk of the stream with any content."""
        self._write(b"%x\r\n%s\r\n" % (len(content), content))

    def end_stream(self) -> None:
        """End the stream properly, even if the client has left."""
        with suppress(ClientGone):
            self._write(b"0\r\n\r\n")

    def tear(self) -> None:
        """Close the connection without ending the response."""
        self._handler.close_connection = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        self._handler.send_response_only(status)
        for name, value in {**headers, "Date": self._handler.date_time_string()}.items():
            self._handler.send_header(name, value)
        try:
            self._handler.end_headers()
        except OSError as error:
            raise ClientGone from error

    def _write(self, content: bytes) -> None:
        try:
            self._handler.wfile.write(content)
        except OSError as error:
            raise ClientGone from error
