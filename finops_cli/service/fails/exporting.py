"""Exports of the queue with its decisions: JSON Lines, CSV, a workbook, an HTML page."""

from __future__ import annotations

import asyncio
import secrets
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from finops_cli import extras
from finops_cli.files.digests import sha256_of_file
from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.auth.tokens import Now
from finops_cli.service.child_process import ask_child
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.export_worker import FORMATS, ExportFormat, ExportOrder
from finops_cli.service.fails.query import FILTERS, QueueQuery, read_queue_query
from finops_cli.service.fails.views import find_queue
from finops_cli.service.file_parts import FilePart
from finops_cli.service.problems import ServiceError, not_found, wrong_value
from finops_cli.service.requests import actor_of
from finops_cli.service.store.audit import append
from finops_cli.service.store.database import Connection, Database
from finops_cli.service.store.jobs import Job

_MODULE = "finops_cli.service.fails.export_worker"
MEDIA_TYPES: dict[ExportFormat, str] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html; charset=utf-8",
}
_ACCEPTED = (*FILTERS, "job", "order", "format")
ROWS = "Finops-Rows"
"""The header with the number of fails in an export."""


class Exports:
    """Answers `GET /v1/export`."""

    def __init__(
        self,
        data: Path,
        kb_dir: Path,
        database: Database,
        settings: ServeSettings,
        now: Now,
        own: Path,
    ) -> None:
        """Make the folder of the exports, and delete what an earlier service left in it.

        `own` is a folder that no other replica writes in.
        """
        self._data, self._kb_dir, self._database = data, kb_dir, database
        self._settings, self._now = settings, now
        self._folder = own / "exports"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._running = 0
        for left in self._folder.iterdir():
            left.unlink()

    async def export(self, request: Request) -> Response:
        """Write the fails of a filter to a file and send it; the audit log has its digest.

        Raises ServiceError 404, 410, 422, 503.
        """
        require_right(request, "see")
        format_ = _read_format(request)
        asked = read_queue_query(request.query_params, self._settings, _ACCEPTED)
        job = await self._database.read(lambda db: find_queue(db, asked.job))
        if job is None:
            raise not_found("a job with fails")
        if self._running >= self._settings.limits["exports"]:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "exports-busy",
                f"{self._running:,} exports are written; accepted: up to {self._running:,} at once",
                retry_after=self._settings.times["busy"],
            )
        self._running += 1
        path = self._folder / f"{secrets.token_hex(8)}.{format_}"
        try:
            rows = await self._write(asked, job, format_, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._running -= 1
        sha256, _ = await asyncio.to_thread(sha256_of_file, path)
        await self._record(request, asked, job, format_, rows=rows, sha256=sha256)
        headers = {
            "Content-Type": MEDIA_TYPES[format_],
            "Content-Disposition": f'attachment; filename="finops-{job.id}.{format_}"',
            ROWS: str(rows),
        }
        return FilePart(
            path, 0, path.stat().st_size, int(HTTPStatus.OK), headers, is_temporary=True
        )

    async def _write(self, asked: QueueQuery, job: Job, format_: ExportFormat, path: Path) -> int:
        """Let a process write the export; return the number of its fails."""
        order = ExportOrder(
            database=self._database.address,
            data=str(self._data),
            kb_dir=str(self._kb_dir),
            job=job.id,
            wanted=asked.wanted,
            order=asked.order,
            format=format_,
            output=str(path),
        )
        status, said = await ask_child(_MODULE, msgspec.json.encode(order))
        if status:
            raise ServiceError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "export",
                f"the export could not be written (status {status}); try it again",
                retry_after=self._settings.times["busy"],
            )
        return int(said)

    async def _record(
        self,
        request: Request,
        asked: QueueQuery,
        job: Job,
        format_: ExportFormat,
        *,
        rows: int,
        sha256: str,
    ) -> None:
        actor, at = actor_of(request), self._now()
        details = {
            "format": format_,
            "filter": msgspec.to_builtins(asked.wanted),
            "rows": rows,
            "sha256": sha256,
        }

        def work(connection: Connection) -> None:
            append(connection, at, actor, "export", job.id, details)

        await self._database.write(work)


def _read_format(request: Request) -> ExportFormat:
    format_ = request.query_params.get("format", "csv")
    if format_ not in FORMATS:
        raise wrong_value("format", format_[:80], ", ".join(FORMATS))
    if format_ == "xlsx" and find_spec("openpyxl") is None:
        raise ServiceError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not-ready",
            f"a workbook needs openpyxl, which is not installed; {extras.cure('xlsx')}",
        )
    return format_
