"""Answers with a part of a file: the first bytes of one that still grows, or a range of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from finops_cli.service.problems import ServiceError

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_PIECE = 256 * 1024
_WEAK = 'W/"'
"""The beginning of a tag that a proxy which packs answers has made of one."""


class FilePart(Response):
    """The bytes from `start` to `end` of a file, read piece by piece.

    It never calls `receive`, which StreamingResponse does. Raises EOFError for a file that was cut.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        end: int,
        status: int,
        headers: Mapping[str, str],
        is_temporary: bool = False,
    ) -> None:
        """Send a part of `path`; a temporary file is deleted then, sent or not."""
        super().__init__(None, status, dict(headers))
        self._path, self._start, self._end = path, start, end
        self._is_temporary = is_temporary
        self.headers["Content-Length"] = str(end - start)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._send(scope, send)
        finally:
            if self._is_temporary:
                self._path.unlink(missing_ok=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        place = self._start if scope["method"] != "HEAD" else self._end
        with self._path.open("rb") as file:
            while place < self._end:
                piece = await asyncio.to_thread(read_lines, file, place, self._end)
                if not piece:  # the connection is closed, so that nobody takes it for the whole
                    raise EOFError(f"{self._path.name} has {place:,} bytes, and not {self._end:,}")
                place += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def read_lines(file: BinaryIO, place: int, end: int) -> bytes:
    """Return a piece of a file from `place` on, up to `end`. It ends behind a whole line: a service
    that stops cuts an answer after a piece.
    """
    file.seek(place)
    left = end - place
    piece = file.read(min(_PIECE, left))
    if len(piece) < min(_PIECE, left) or len(piece) == left:
        return piece
    return piece[: piece.rfind(b"\n") + 1] or piece + file.readline(left - len(piece))


def answer_part(
    path: Path, size: int, tag: str, asked: Mapping[str, str], headers: Mapping[str, str]
) -> Response:
    """Return the first `size` bytes of a file, or the range of them that `asked` names.

    `tag` is the entity tag. Raises ServiceError 412 for a file that has another tag by now than
    `If-Match`, and 416 for a range behind the end.
    """
    told = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    wanted = asked.get("if-match")
    if wanted is not None and not _names(wanted, tag):
        raise ServiceError(
            HTTPStatus.PRECONDITION_FAILED,
            "changed",
            f"the header If-Match is {wanted[:80]}; accepted: the tag of the file, {tag}",
            headers={"ETag": tag},
        )
    if _names(asked.get("if-none-match", "").replace(_WEAK, '"'), tag):
        return Response(None, int(HTTPStatus.NOT_MODIFIED), told)
    found = _RANGE.fullmatch(asked.get("range", ""))
    if found is None or not any(found.groups()) or asked.get("if-range", tag) != tag:
        return FilePart(path, 0, size, int(HTTPStatus.OK), told)
    start, end = _bounds(found[1], found[2], size)
    if start >= end:
        raise ServiceError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range",
            f"the range is {found[0]}; accepted: one within {size:,} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    told["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return FilePart(path, start, end, int(HTTPStatus.PARTIAL_CONTENT), told)


def _names(tags: str, tag: str) -> bool:
    """Return true if a list of tags, or `*`, names `tag`."""
    return any(each.strip() in (tag, "*") for each in tags.split(","))


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:  # the last so many bytes
        return max(0, size - int(last)), size
    end = min(size, int(last) + 1) if last else size
    return int(first), end
