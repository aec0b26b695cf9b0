"""The page of exports: which fails, how many, and a file of them with what was decided."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from finops_cli import extras
from finops_cli.service.desk.queue_filter import clean_query, describe_filter
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.wording import write_plural
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.export_worker import ExportFormat
from finops_cli.service.fails.query import FILTERS, read_queue_query
from finops_cli.service.fails.views import find_queue
from finops_cli.service.problems import ServiceError
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.fail_query import FailFilter, count_rows
from finops_cli.service.store.jobs import WITH_FAILS, Job, list_jobs

EXPORT = "/export"
_ACCEPTED = (*FILTERS, "job", "order")
_SHOWN_JOBS = 50
FORMAT_WORDS: dict[ExportFormat, tuple[str, str]] = {
    "csv": ("CSV", "for a spreadsheet; a text that looks like a formula is marked with '"),
    "xlsx": ("Excel workbook", "with columns for owner and comment"),
    "jsonl": ("JSON Lines", "for a program: everything that the queue knows"),
    "html": ("Page", "to print or to send"),
}


class ExportLink(Struct, frozen=True, kw_only=True):
    """A file that can be fetched."""

    title: str
    note: str
    href: str


class ExportView(Struct, frozen=True, kw_only=True):
    """The fails that a filter takes, and the files of them."""

    job: Job
    rows: int
    is_filtered: bool
    links: tuple[ExportLink, ...]
    missing: str
    """How to get a format that is not installed."""

    @property
    def sentence(self) -> str:
        """Return how many fails a file will have."""
        which = "that the filters take" if self.is_filtered else "of the queue"
        return f"{write_plural(self.rows, 'fail')} {which}"


def list_links(query: QueryParams, job: str) -> list[ExportLink]:
    """Return a link for each format, with the filters of the page."""
    kept = [(name, value) for name, value in query.multi_items() if name != "job"]
    return [
        ExportLink(
            title=FORMAT_WORDS[name][0],
            note=FORMAT_WORDS[name][1],
            href="/v1/export?" + urlencode([("format", name), ("job", job), *kept]),
        )
        for name in FORMAT_WORDS
        if name != "xlsx" or find_spec("openpyxl") is not None
    ]


class ExportPages:
    """Answers `/export`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def export(self, request: Request) -> Response:
        """Show the filters, the number of fails, and a link for each format."""
        require_right(request, "see")
        query = clean_query(request.query_params)
        problem = None
        try:
            view, jobs = await self._look(query)
        except ServiceError as error:
            problem, query = error, QueryParams()
            view, jobs = await self._look(query)
        return render(
            request,
            "export.html",
            status=200 if problem is None else int(problem.status),
            problem=None if problem is None else str(problem),
            view=view,
            jobs=jobs,
            filter=describe_filter(query, EXPORT),
            people=await self._parts.access.names_with("answer"),
        )

    async def _look(self, query: QueryParams) -> tuple[ExportView | None, list[Job]]:
        """Count the fails of a filter. Raises ServiceError 404, 410 and 422."""
        asked = read_queue_query(query, self._parts.answering.kb.serve, _ACCEPTED)

        def look(connection: Connection) -> tuple[Job | None, int, list[Job]]:
            jobs = list_jobs(connection, None, _SHOWN_JOBS)
            job = find_queue(connection, asked.job)
            return job, _count(connection, job, asked.wanted), jobs

        job, rows, jobs = await self._parts.database.read(look)
        choices = [each for each in jobs if each.command in WITH_FAILS]
        if job is None:
            return None, choices
        has_openpyxl = find_spec("openpyxl") is not None
        view = ExportView(
            job=job,
            rows=rows,
            is_filtered=any(name in FILTERS for name in query),
            links=tuple(list_links(query, job.id)),
            missing="" if has_openpyxl else extras.cure("xlsx"),
        )
        return view, choices


def _count(connection: Connection, job: Job | None, wanted: FailFilter) -> int:
    return 0 if job is None else count_rows(connection, job.id, wanted)


def list_export_routes(parts: Parts) -> list[NamedRoute]:
    """Return the route of the page of exports."""
    return [NamedRoute(EXPORT, ExportPages(parts).export)]
