"""Takes Excel workbooks: a process writes the sheet as CSV, which the guard reads before it is
stored. The workbook itself is never on the disk: it is held in memory, up to a limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import msgspec
from starlette.types import Message, Receive

from finops_cli.service.problems import ServiceError
from finops_cli.service.records.bodies import too_large
from finops_cli.service.uploads.mask_pool import MaskPool
from finops_cli.service.uploads.receive import (
    Received,
    iterate_pieces,
    receive_file,
    refuse_packed,
    write_masked,
)
from finops_cli.service.uploads.workbook_worker import Refusal

_ZIP = b"PK\x03\x04"
_MODULE = "finops_cli.service.uploads.workbook_worker"
_PIECE = 64 * 1024
_CURE = "save the sheet as CSV"
_SAID_BYTES = 8 * 1024


async def receive_upload(
    receive: Receive,
    path: Path,
    limit: int,
    pool: MaskPool | None,
    *,
    workbook_limit: int,
    kb_dir: Path,
) -> Received:
    """Write a body to the new file `path`: text as `receive_file` does, a workbook as CSV.

    Raises as `receive_file` does; ServiceError 415 for a workbook that cannot be read, 413 for one
    above `workbook_limit` bytes.
    """
    first, replayed = await _peek(receive)
    if not first.startswith(_ZIP):
        return await receive_file(replayed, path, limit, pool)
    with _open_unnamed() as book:
        digest = hashlib.sha256()
        async for piece in iterate_pieces(replayed, workbook_limit, _CURE):
            book.write(piece)
            digest.update(piece)
        size = book.tell()
        book.flush()
        book.seek(0)
        async with aclosing(_convert(book, kb_dir, limit)) as pieces:
            got = await write_masked(pieces, path, pool)
    return msgspec.structs.replace(got, bytes=size, sha256=digest.hexdigest())


async def _peek(receive: Receive) -> tuple[bytes, Receive]:
    """Return the first bytes of a body, and what receives the body from its beginning."""
    kept: list[Message] = []
    first = b""
    while len(first) < len(_ZIP):
        message = await receive()
        kept.append(message)
        first += message.get("body", b"")
        if not message.get("more_body", False):
            break
    kept.reverse()

    async def replay() -> Message:
        return kept.pop() if kept else await receive()

    return first, replay


def _open_unnamed() -> BinaryIO:
    """Open a file that has no name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("workbook"), "w+b")
    return tempfile.TemporaryFile()


async def _convert(book: BinaryIO, kb_dir: Path, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the CSV of a workbook. Raises ServiceError 413 and 415."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE, str(kb_dir)),
        stdin=book.fileno(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    out, said = process.stdout, process.stderr
    if out is None or said is None:
        raise EOFError
    read = 0
    try:
        while piece := await out.read(_PIECE):
            read += len(piece)
            if read > limit:
                raise too_large(limit, _CURE)
            yield piece
        told = await said.read(_SAID_BYTES)
        if await process.wait():
            raise _refuse(told)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _refuse(told: bytes) -> ServiceError:
    try:
        refusal = msgspec.json.decode(told, type=Refusal)
    except msgspec.DecodeError:
        refusal = Refusal(what="the workbook cannot be read", fix=_CURE)
    if refusal.is_missing:
        return ServiceError(
            HTTPStatus.NOT_IMPLEMENTED, "not-installed", f"{refusal.what}; {refusal.fix}"
        )
    if refusal.is_packed:
        return refuse_packed("ZIP")
    return ServiceError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", f"{refusal.what}; {refusal.fix}"
    )
