"""Streams the body of a request to a file: masked, counted, with digests, within the limits."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from finops_cli.domain import limits
from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.bodies import too_large
from finops_cli.service.uploads.mask_pool import MaskPool

FRAME = 256 * 1024
"""Bytes of whole lines that are masked at a time."""
_KEPT = limits.LINE_BYTES + 8
"""The part of a line that is looked at: enough to find that it is over the limit."""
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "ZIP", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CURE = "split the file"
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")


class Received(Struct, frozen=True, kw_only=True):
    """The facts of a body that is on the disk."""

    bytes: int
    sha256: str
    stored_bytes: int
    stored_sha256: str
    lines: int
    masked_lines: int


async def receive_file(receive: Receive, path: Path, limit: int, pool: MaskPool | None) -> Received:
    """Write a body of up to `limit` bytes to the new file `path`, and return its facts.

    `pool` None: the bytes are stored as they are. Nothing is left of a body that is refused.
    Raises ServiceError 413, 415 for a packed file and 507 for a full disk; ClientDisconnect.
    """
    return await write_masked(iterate_pieces(receive, limit, _CURE), path, pool)


async def write_masked(pieces: AsyncIterator[bytes], path: Path, pool: MaskPool | None) -> Received:
    """Write bytes to the new file `path`, as `receive_file` does."""
    try:
        with open(path, "xb", opener=for_owner_unlinked) as out:
            writer = _Writer(out, pool)
            try:
                async for piece in pieces:
                    await writer.add(piece)
                return await writer.finish()
            finally:
                writer.close()
    except BaseException as error:
        path.unlink(missing_ok=True)
        if is_disk_full(error):
            raise disk_full() from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Return true for the error of a disk without room."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full() -> ServiceError:
    """Return the error for a disk without room."""
    return ServiceError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "disk-full",
        "the disk of the service is full; free some space, and send the request again",
    )


async def iterate_pieces(receive: Receive, limit: int, cure: str) -> AsyncIterator[bytes]:
    """Yield the pieces of a body. Raises ServiceError 413 above `limit` bytes; ClientDisconnect."""
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(piece)
        if received > limit:
            raise too_large(limit, cure)
        if piece:
            yield piece


class _Writer:
    """Writes a file in order, while processes mask the parts that follow."""

    def __init__(self, out: BinaryIO, pool: MaskPool | None) -> None:
        self._out, self._pool = out, pool
        self.received = 0
        self._given, self._stored = hashlib.sha256(), hashlib.sha256()
        self._stored_bytes = self._lines = self._masked = 0
        self._rest = bytearray()
        self._rest_is_cut = False
        self._last = b"\n"
        self._waiting: deque[asyncio.Task[tuple[bytes, int]]] = deque()

    async def add(self, piece: bytes) -> None:
        """Take the next bytes of the body. Raises ServiceError 415 for a packed file."""
        if not self.received:
            _refuse_packed(piece)
        self.received += len(piece)
        self._given.update(piece)
        self._lines += piece.count(b"\n")
        self._last = piece[-1:]
        if self._pool is None:
            self._write(piece)
            return
        self._keep(piece)
        if len(self._rest) >= FRAME and (end := self._rest.rfind(b"\n")) >= 0:
            await self._mask(bytes(self._rest[:end]))
            del self._rest[: end + 1]

    async def finish(self) -> Received:
        """Write what is left, and return when all is on the disk."""
        if self._pool is not None and self._rest:
            ends = self._rest.endswith(b"\n")
            await self._mask(bytes(self._rest[:-1] if ends else self._rest), is_last=not ends)
        while self._waiting:
            await self._take()
        if self._last != b"\n":
            self._lines += 1
        self._out.flush()
        await asyncio.to_thread(os.fsync, self._out.fileno())
        return Received(
            bytes=self.received,
            sha256=self._given.hexdigest(),
            stored_bytes=self._stored_bytes,
            stored_sha256=self._stored.hexdigest(),
            lines=self._lines,
            masked_lines=self._masked,
        )

    def close(self) -> None:
        """Stop masking what nobody waits for."""
        for task in self._waiting:
            task.cancel()

    def _keep(self, piece: bytes) -> None:
        """Keep bytes for the guard; of a line over the limit, only its beginning."""
        for part in _LINES.findall(piece) if self._is_long(piece) else (piece,):
            if self._rest_is_cut:
                if not part.endswith(b"\n"):
                    continue
                part, self._rest_is_cut = b"\n", False  # noqa: PLW2901 - the end of the long line
            self._rest += part
            start = self._rest.rfind(b"\n") + 1
            if len(self._rest) - start > _KEPT:
                del self._rest[start + _KEPT :]
                self._rest_is_cut = True

    def _is_long(self, piece: bytes) -> bool:
        return self._rest_is_cut or len(self._rest) + len(piece) > _KEPT

    async def _mask(self, lines: bytes, is_last: bool = False) -> None:
        pool = self._pool
        if pool is None:
            return
        if len(self._waiting) > pool.size:
            await self._take()
        ending = b"" if is_last else b"\n"

        async def mask() -> tuple[bytes, int]:
            masked, changed = await pool.mask(lines)
            return masked + ending, changed

        self._waiting.append(asyncio.create_task(mask()))

    async def _take(self) -> None:
        """Write the oldest part that was given to the processes."""
        masked, changed = await self._waiting.popleft()
        self._masked += changed
        self._write(masked)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._stored.update(data)
        self._stored_bytes += len(data)


def refuse_packed(name: str) -> ServiceError:
    """Return the error for a file that is packed as `name`."""
    return ServiceError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        f"the file is packed ({name}); accepted: JSON Lines or CSV, as text, or an .xlsx workbook",
    )


def _refuse_packed(piece: bytes) -> None:
    for mark, name in _PACKED.items():
        if piece.startswith(mark):
            raise refuse_packed(name)
