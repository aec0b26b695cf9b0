"""The routes of uploaded files."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from finops_cli.domain import exact_json
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.pipeline.redaction import RedactionPolicy
from finops_cli.service.auth.tokens import Now
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.idempotency import Idempotency, respond
from finops_cli.service.problems import ServiceError, not_found
from finops_cli.service.records.bodies import JSON, media_type_of, refuse_announced
from finops_cli.service.requests import actor_of
from finops_cli.service.store.answers import KeptAnswer
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.files import (
    StoredFile,
    files_folder,
    insert_file,
    is_in_use,
    list_files,
    mark_deleted,
    read_file,
)
from finops_cli.service.store.jobs import ACTIVE
from finops_cli.service.uploads.mask_pool import MaskPool
from finops_cli.service.uploads.receive import disk_full
from finops_cli.service.uploads.workbooks import receive_upload
from finops_cli.views.wording import clean

_PART = ".part"
_CURE = "split the file"
_NAME_CHARACTERS = 200
_ANY_TYPE = "application/octet-stream"


class UploadOptions(Struct, frozen=True, kw_only=True):
    """What every upload goes by."""

    data: Path
    settings: ServeSettings
    redaction: RedactionPolicy | None
    """None: the texts are stored unchanged."""
    now: Now
    kb_dir: Path


class FileRoutes:
    """Answers the paths below `/v1/files`."""

    def __init__(
        self,
        options: UploadOptions,
        database: Database,
        idempotency: Idempotency,
        pool: MaskPool | None,
    ) -> None:
        """Make the folder of the files, and delete what an earlier service did not finish."""
        self._data, self._settings = options.data, options.settings
        self._redaction, self._now = options.redaction, options.now
        self._kb_dir = options.kb_dir
        self._database, self._idempotency, self._pool = database, idempotency, pool
        self._folder = files_folder(options.data)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._running = 0
        if not database.is_shared:  # another replica may be writing one
            for left in self._folder.glob(f"*{_PART}"):
                left.unlink()

    async def upload(self, request: Request) -> Response:
        """Store the body of a request. Raises ServiceError 413, 415, 503 and 507."""
        require_right(request, "operate")
        media_type = media_type_of(request.headers) or _ANY_TYPE
        name = request.query_params.get("name", "")
        return respond(await self.take(request, request.receive, name, media_type))

    async def take(
        self, request: Request, receive: Receive, name: str, media_type: str
    ) -> KeptAnswer:
        """Store the bytes that `receive` gives, as a file of `name`. Raises as `upload` does."""
        require_right(request, "operate")
        limit = self._settings.limits["upload_bytes"]
        refuse_announced(request.headers, limit, _CURE)
        self._refuse_full_disk(request)
        if self._running >= self._settings.limits["uploads"]:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "uploads-busy",
                f"{self._running:,} uploads run; accepted: up to {self._running:,} at once",
                retry_after=self._settings.times["busy"],
            )
        self._running += 1
        try:
            return await self._receive(request, receive, self._clean_name(name), media_type)
        finally:
            self._running -= 1

    async def _receive(
        self, request: Request, receive: Receive, name: str, media_type: str
    ) -> KeptAnswer:
        limit = self._settings.limits["upload_bytes"]
        id = f"file-{secrets.token_hex(8)}"
        part, final = self._folder / f"{id}{_PART}", self._folder / id
        try:
            got = await receive_upload(
                receive,
                part,
                limit,
                self._pool,
                workbook_limit=self._settings.limits["workbook_bytes"],
                kb_dir=self._kb_dir,
            )
            with self._idempotency.claim(request, got.sha256) as claim:
                if (kept := await self._idempotency.find(claim)) is not None:
                    return kept
                await asyncio.to_thread(_move_into_place, part, final)
                actor, at = actor_of(request), self._now()
                file = StoredFile(
                    id=id,
                    created=at.isoformat(),
                    by=actor.who,
                    name=name,
                    media_type=media_type,
                    bytes=got.bytes,
                    sha256=got.sha256,
                    stored_bytes=got.stored_bytes,
                    stored_sha256=got.stored_sha256,
                    lines=got.lines,
                    masked_lines=got.masked_lines,
                )

                def store(connection: Connection) -> KeptAnswer:
                    insert_file(connection, file)
                    details = {"bytes": file.bytes, "sha256": file.sha256}
                    append(connection, at, actor, "upload", id, details)
                    location = {"Location": f"/v1/files/{id}"}
                    return KeptAnswer(201, location, exact_json.encode(file))

                return await self._idempotency.answer(claim, store)
        finally:
            part.unlink(missing_ok=True)

    async def files(self, request: Request) -> Response:
        """List the files that are kept, the newest first."""
        require_right(request, "see")
        return _json(await self._database.read(list_files))

    async def file(self, request: Request) -> Response:
        """Return the facts of a file. Raises ServiceError 404 and 410."""
        require_right(request, "see")
        return _json(await find_file(self._database, request.path_params["id"]))

    async def delete(self, request: Request) -> Response:
        """Delete the bytes of a file. Raises ServiceError 404, 409 for a job that needs it, 410."""
        require_right(request, "operate")
        id: str = request.path_params["id"]
        await find_file(self._database, id)
        actor, at = actor_of(request), self._now()

        def work(connection: Connection) -> None:
            if is_in_use(connection, id, ACTIVE):
                raise ServiceError(
                    HTTPStatus.CONFLICT,
                    "in-use",
                    f"a job reads {id}; cancel the job, or wait until it ends",
                )
            mark_deleted(connection, id, at.isoformat())
            append(connection, at, actor, "delete", id, {})

        await self._database.write(work)
        (self._folder / id).unlink(missing_ok=True)
        return Response(status_code=int(HTTPStatus.NO_CONTENT))

    def _clean_name(self, given: str) -> str:
        """Return the name of a file, without folders and without personal data."""
        name = clean(given.replace("\\", "/").rpartition("/")[2])[:_NAME_CHARACTERS]
        return name if self._redaction is None else self._redaction.text(name)[0]

    def _refuse_full_disk(self, request: Request) -> None:
        announced = request.headers.get("content-length", "0")
        needed = int(announced) if announced.isdigit() else 0
        if shutil.disk_usage(self._data).free < self._settings.limits["free_bytes"] + needed:
            raise disk_full()


async def find_file(database: Database, id: str) -> StoredFile:
    """Return the facts of a file. Raises ServiceError 404, and 410 for a deleted one."""
    found = await database.read(lambda connection: read_file(connection, id))
    if found is None:
        raise not_found(f"the file {id}")
    if found.deleted is not None:
        raise ServiceError(HTTPStatus.GONE, "deleted", f"the file {id} was deleted")
    return found


def _move_into_place(part: Path, final: Path) -> None:
    """Give a complete file its name, so that both survive a crash."""
    part.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _json(value: object) -> Response:
    return Response(exact_json.encode(value), media_type=JSON)
