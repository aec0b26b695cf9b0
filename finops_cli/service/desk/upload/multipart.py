"""Reads the form of an upload while it arrives, and holds none of the file in memory.

The parsers of web frameworks write the file to a temporary one first. Here the guard reads each
line before anything is stored, so the content is passed on as it comes. Source: RFC 7578, RFC 2046.
"""

from __future__ import annotations

import re
from email.message import Message as MailMessage
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from finops_cli.service.problems import ServiceError, wrong_value

FORM = "multipart/form-data"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")
_HEAD_BYTES = 8 * 1024
"""The head of a part: a few lines."""
_FIELD_BYTES = 4 * 1024
"""The value of a field beside the file."""
_FIELDS = 20
_TRAILER_BYTES = 8 * 1024


def read_boundary(content_type: str) -> str:
    """Return the boundary of a form. Raises ServiceError 415 for another Content-Type."""
    head = MailMessage()
    head["Content-Type"] = content_type
    boundary = head.get_param("boundary")
    is_form = content_type.partition(";")[0].strip().lower() == FORM
    if not is_form or not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            f"Content-Type is {content_type[:80] or 'missing'}; accepted: {FORM} with a boundary",
        )
    return boundary


class FormFile:
    """The file of a form. After `open`, it is called as the `receive` of a request whose body is
    the content of the file.
    """

    def __init__(self, receive: Receive, boundary: str) -> None:
        self._receive = receive
        self._mark = b"\r\n--" + boundary.encode()
        self._buffer = bytearray(b"\r\n")
        """The bytes that were received and not passed on; the first mark has no line before it."""
        self._has_more = True
        self._is_over = False
        self.name = ""
        """The name of the file, as the browser gave it."""
        self.fields: dict[str, str] = {}
        """The fields before the file."""

    async def open(self) -> None:
        """Read up to the content of the file. Raises ServiceError 400, and 422 without a file."""
        if await self._until(self._mark, len(self._mark)) != b"":
            raise _damaged("does not begin with its boundary")
        while not await self._is_end():
            name, filename = await self._read_head()
            if filename is None:
                if len(self.fields) >= _FIELDS:
                    raise _damaged(f"has more than {_FIELDS} fields before the file")
                value = await self._until(self._mark, _FIELD_BYTES)
                self.fields[name] = value.decode("utf-8", "replace")
            elif filename:
                self.name = filename
                return
            else:  # a browser sends an empty file where none was chosen
                await self._until(self._mark, _FIELD_BYTES)
        raise wrong_value("the file", "missing", "a file: choose one, then send the form")

    async def __call__(self) -> Message:
        """Return the next part of the content as the message of a body."""
        if self._is_over:
            return _message(b"", has_more=False)
        while True:
            place = self._buffer.find(self._mark)
            if place >= 0:
                self._is_over = True
                content = bytes(self._buffer[:place])
                del self._buffer[: place + len(self._mark)]
                await self._forget_rest()
                return _message(content, has_more=False)
            safe = len(self._buffer) - len(self._mark) + 1
            if safe > 0:
                content = bytes(self._buffer[:safe])
                del self._buffer[:safe]
                return _message(content, has_more=True)
            await self._fill()

    async def _fill(self) -> None:
        """Receive more bytes. Raises ServiceError 400 at the end of the body."""
        if not self._has_more:
            raise _damaged("is cut off")
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._has_more = message.get("more_body", False)
        self._buffer += message.get("body", b"")

    async def _until(self, mark: bytes, at_most: int) -> bytes:
        """Return the bytes before `mark`, and pass both over. Raises ServiceError 400."""
        while (place := self._buffer.find(mark)) < 0:
            if len(self._buffer) > at_most + len(mark):
                raise _damaged(f"has a part of more than {at_most:,} bytes beside the file")
            await self._fill()
        if place > at_most:
            raise _damaged(f"has a part of more than {at_most:,} bytes beside the file")
        found = bytes(self._buffer[:place])
        del self._buffer[: place + len(mark)]
        return found

    async def _is_end(self) -> bool:
        """Return true if the boundary that was just read is the last."""
        while len(self._buffer) < 2:
            await self._fill()
        ending = bytes(self._buffer[:2])
        del self._buffer[:2]
        if ending not in (b"\r\n", b"--"):
            raise _damaged("has a boundary with something behind it")
        return ending == b"--"

    async def _read_head(self) -> tuple[str, str | None]:
        """Return the name of a part, and the name of its file; None: it is a field."""
        self._buffer[:0] = b"\r\n"  # so that a part without a head ends here too
        text = (await self._until(b"\r\n\r\n", _HEAD_BYTES)).decode("utf-8", "replace")
        for line in text.split("\r\n"):
            title, _, value = line.partition(":")
            if title.strip().lower() == "content-disposition":
                found = _parameters(value)
                if "name" in found:
                    return found["name"], found.get("filename")
        raise _damaged("has a part without a name")

    async def _forget_rest(self) -> None:
        """Read what stands behind the file: a line, or a few fields that nobody asked for."""
        read = 0
        while self._has_more and read < _TRAILER_BYTES:
            self._buffer.clear()
            await self._fill()
            read += len(self._buffer)
        self._buffer.clear()


_PARAMETER = re.compile(r';\s*([a-z]+)\s*=\s*(?:"([^"]*)"|([^;"\s]*))', re.IGNORECASE)


def _parameters(value: str) -> dict[str, str]:
    """Return the parameters of a Content-Disposition. Browsers write a quote as %22."""
    return {
        name.lower(): (quoted or plain).replace("%22", '"')
        for name, quoted, plain in _PARAMETER.findall(value)
    }


def _message(content: bytes, *, has_more: bool) -> Message:
    return {"type": "http.request", "body": content, "more_body": has_more}


def _damaged(what: str) -> ServiceError:
    return ServiceError(
        HTTPStatus.BAD_REQUEST, "form", f"the form {what}; send it again from the page"
    )
