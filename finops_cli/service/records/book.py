"""`POST /v1/book`: the lines of `finops book`, which plans all fails at once.

The command answers, in a process of its own, on files that are deleted then: a book is planned by
an exact optimisation that would hold up the event loop, and its lines are those of the command.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.files.safe_io import for_owner_unlinked
from finops_cli.service.batch.commands import ServerSettings, command_line, read_job_options
from finops_cli.service.batch.process import JobProcess
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.answering import Answering
from finops_cli.service.records.bodies import JSON, read_object
from finops_cli.service.records.routes import VERIFIED
from finops_cli.service.uploads.masking import mask_line

_SECONDS = 120
"""A book of as many fails as a request may have takes some seconds."""
_UNVERIFIED, _UNUSABLE, _MISSING = 1, 2, 3
"""Exit statuses of the command (contracts, section 1)."""
_FILES = ("inventory", "sent", "counterparty_history")


class BookRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a request: fails, and the files to plan them with."""

    fails: list[Any]
    """Records, as in the list of `/v1/run`."""
    inventory: list[Any] | None = None
    """Lines of an inventory file; null: what the records say of their own sources."""
    sent: list[Any] | None = None
    """The lines of an earlier plan whose instructions were sent."""
    counterparty_history: list[Any] | None = None
    """Lines of a history of counterparties."""
    options: dict[str, Any] = {}
    """The options of a job of `book` that are not files, by name."""


class _Body(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body with its records as they were written."""

    fails: list[msgspec.Raw]
    inventory: list[msgspec.Raw] | None = None
    sent: list[msgspec.Raw] | None = None
    counterparty_history: list[msgspec.Raw] | None = None
    options: dict[str, Any] = {}


class BookEndpoint:
    """Answers `POST /v1/book`. One book is planned at a time; the others wait for it."""

    def __init__(self, answering: Answering, settings: ServerSettings, own: Path) -> None:
        """Keep the parts; delete what an earlier service left in its folder."""
        self._answering, self._settings = answering, settings
        self._folder = own / "books"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer one request. Raises ServiceError 413, 422 and 501."""
        require_right(request, "answer")
        limits = self._answering.kb.serve.limits
        body, _ = await read_object(request, _Body, limits["array_bytes"])
        most = limits["array_records"]
        if len(body.fails) > most:
            raise ServiceError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"the book has {len(body.fails):,} fails; accepted: up to {most:,}. A job plans a"
                " longer one",
            )
        if not body.fails:
            raise _unusable("fails is empty; accepted: one record or more")
        options = _read_options(body)
        folder = self._folder / secrets.token_hex(8)
        async with self._turn:
            try:
                return await self._plan(body, options, folder)
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _plan(self, body: _Body, options: dict[str, Any], folder: Path) -> Response:
        await asyncio.to_thread(self._write, body, folder)
        arguments = command_line(
            "book",
            options,
            self._settings,
            source=folder / "fails",
            folder=folder,
            file_of=folder.__truediv__,
            resumes=False,
        )
        process = await JobProcess.start(arguments, folder)
        try:
            status = await process.wait(_SECONDS)
        finally:
            await process.end()
        if status not in (0, _UNVERIFIED):
            raise _refuse(status, process.messages().replace(f"{folder.name}/", ""))
        lines = (folder / "out.jsonl").read_bytes().splitlines()
        verified = {VERIFIED: "true" if status == 0 else "false"}
        return Response(b"[" + b",".join(lines) + b"]", headers=verified, media_type=JSON)

    def _write(self, body: _Body, folder: Path) -> None:
        """Write the files of the command; what is on the disk is masked first."""
        folder.mkdir(mode=0o700, parents=True)
        files = {"fails": body.fails} | {name: getattr(body, name) for name in _FILES}
        for name, rows in files.items():
            if rows is None:
                continue
            with open(folder / name, "xb", opener=for_owner_unlinked) as out:
                out.writelines(self._mask(bytes(row)) + b"\n" for row in rows)

    def _mask(self, row: bytes) -> bytes:
        line = row.replace(b"\n", b" ").replace(b"\r", b" ")
        policy = self._answering.redaction
        return line if policy is None else mask_line(policy, line, self._answering.kb)


def _read_options(body: _Body) -> dict[str, Any]:
    """Return the options of the command. Raises ServiceError 422."""
    named = [name for name in (*_FILES, "map") if name in body.options]
    if named:
        raise _unusable(f"the option {named[0]} is a file; accepted: a field of the body")
    given = {name: name for name in _FILES if getattr(body, name) is not None}
    return read_job_options("book", {**body.options, **given})


def _refuse(status: int | None, said: str) -> ServiceError:
    if status == _UNUSABLE:
        return _unusable(said)
    if status == _MISSING:
        return ServiceError(HTTPStatus.NOT_IMPLEMENTED, "not-installed", said)
    return ServiceError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        f"the book was not planned within {_SECONDS} seconds; run a job",
        retry_after=_SECONDS,
    )


def _unusable(what: str) -> ServiceError:
    return ServiceError(HTTPStatus.UNPROCESSABLE_ENTITY, "wrong-value", what)
