"""The queue: the fails of a blotter in the order of their urgency, a page at a time."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

from msgspec import Struct, structs
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.desk.queue_filter import (
    ACCEPTED,
    QUEUE,
    Chip,
    Choice,
    address,
    clean_query,
    filter_pairs,
    list_chips,
    list_choices,
    list_selects,
)
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.query import QueueQuery, read_queue_query
from finops_cli.service.fails.views import find_queue
from finops_cli.service.problems import wrong_value
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import UNTOUCHED, State, list_assignees
from finops_cli.service.store.fail_query import BadCursor, FailPage, count_rows, read_page
from finops_cli.service.store.fails import FailRow
from finops_cli.service.store.jobs import Job, latest_queue
from finops_cli.service.store.saved_views import SavedView, list_views
from finops_cli.views.answers import Answer

_KEPT_COUNTS = 1_000
_QUERY_NAMES = tuple(name for name in ACCEPTED if name not in ("before", "at", "said"))


class QueueRow(Struct, frozen=True):
    """A row of the table."""

    id: str
    place: int
    """Counted from 1 over the whole list."""
    answer: Answer
    state: State
    is_carried: bool
    """True if the decision was made on an earlier blotter."""


class Asked(Struct, frozen=True, kw_only=True):
    """The parameters of a request for the queue."""

    query: QueryParams
    """Without empty parameters."""
    page: QueueQuery
    before: str | None
    """The cursor of the row that the page ends before."""
    at: int
    """Rows of the list before the page, as the link that led here says. Without a cursor: the rows
    to leave out.
    """


class Queue(Struct, frozen=True, kw_only=True):
    """The values of the page."""

    job: Job
    is_newest: bool
    as_of: str | None
    rows: list[QueueRow]
    total: int
    """Fails that the filter takes."""
    first: int
    """The place of the first row, counted from 1; 0 without rows."""
    next: str | None
    """The address of the next page."""
    previous: str | None
    top: str
    """The address of the first page."""
    export: str
    query: str
    """The filter as a query, for forms."""
    views: list[SavedView]


class QueueFilter(Struct, frozen=True, kw_only=True):
    """The values of the filter."""

    choices: list[Choice]
    selects: list[Choice]
    chips: list[Chip]
    texts: dict[str, str]
    order: str
    job: str | None


def read_asked(given: QueryParams, settings: ServeSettings) -> Asked:
    """Read the parameters of a request. Raises ServiceError 422."""
    query = clean_query(given)
    unknown = sorted(set(query) - set(ACCEPTED))
    if unknown:
        raise wrong_value("the parameter", unknown[0][:80], ", ".join(ACCEPTED))
    listed = QueryParams([pair for pair in query.multi_items() if pair[0] in _QUERY_NAMES])
    at = query.get("at", "0")
    if not (at.isascii() and at.isdigit() and len(at) < 10):
        raise wrong_value("at", at[:80], "the number of rows before the page")
    return Asked(
        query=query,
        page=read_queue_query(listed, settings, _QUERY_NAMES),
        before=query.get("before"),
        at=int(at),
    )


def describe_filter(query: QueryParams) -> QueueFilter:
    """Return the values of the filter."""
    names = ("q", "cusip", "counterparty", "assignee")
    return QueueFilter(
        choices=list_choices(query),
        selects=list_selects(query),
        chips=list_chips(query),
        texts={name: query.get(name, "") for name in names},
        order=query.get("order", "score"),
        job=query.get("job"),
    )


class Counts:
    """The numbers of fails that filters take, kept for queues that do not grow any more."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Any], int] = OrderedDict()
        self._lock = Lock()  # PostgreSQL has several threads that read

    def count(self, connection: Connection, job: Job, asked: QueueQuery) -> int:
        """Return how many fails of `job` the filter takes."""
        wanted = asked.wanted
        if wanted.decided == "none" and wanted.assignee is None:
            every = structs.replace(asked, wanted=structs.replace(wanted, decided=None))
            decided = structs.replace(wanted, decided="any")
            return self.count(connection, job, every) - count_rows(connection, job.id, decided)
        key = (job.id, wanted)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        count = count_rows(connection, job.id, wanted)
        is_final = job.state == "completed" and "GONE" not in wanted.changes
        if is_final and wanted.decided is None and wanted.assignee is None:
            with self._lock:
                self._kept[key] = count
                if len(self._kept) > _KEPT_COUNTS:
                    self._kept.popitem(last=False)
        return count


def view_queue_page(
    connection: Connection, asked: Asked, counts: Counts, person: str
) -> Queue | None:
    """Return the values of the page; None where no job has fails yet.

    Raises ServiceError 404, 410 and 422.
    """
    job = find_queue(connection, asked.page.job)
    if job is None:
        return None
    newest = latest_queue(connection)
    total = counts.count(connection, job, asked.page)
    page = _read_page(connection, job, asked, total)
    first = _first_place(asked, len(page.rows), total)
    pairs = filter_pairs(asked.query)
    end = first + len(page.rows) - 1
    as_of = job.options.get("as_of")
    return Queue(
        job=job,
        is_newest=newest is not None and newest.id == job.id,
        as_of=None if as_of is None else str(as_of),
        rows=_list_rows(page, first),
        total=total,
        first=first if page.rows else 0,
        next=None if page.next is None else address(pairs, cursor=page.next, at=end),
        previous=(
            address(pairs, before=page.first, at=first - 1)
            if page.first is not None and first > 1
            else None
        ),
        top=address(pairs),
        export=address(pairs, "/export"),
        query=address(pairs, "").removeprefix("?"),
        views=list_views(connection, person),
    )


def _read_page(connection: Connection, job: Job, asked: Asked, total: int) -> FailPage:
    backwards = asked.before is not None
    is_jump = not backwards and asked.page.cursor is None
    try:
        return read_page(
            connection,
            job.id,
            asked.page.wanted,
            order=asked.page.order,
            cursor=asked.before if backwards else asked.page.cursor,
            at_most=asked.page.rows,
            backwards=backwards,
            skip=min(asked.at, max(0, total - asked.page.rows)) if is_jump else 0,
        )
    except BadCursor as error:
        raise wrong_value(
            "cursor", str(error)[:80], "that of a link of the queue with the same order"
        ) from error


def _first_place(asked: Asked, rows: int, total: int) -> int:
    """Return the place of the first row of the page, counted from 1."""
    if asked.before is not None:
        return max(1, min(asked.at, total) - rows + 1)
    return min(asked.at, max(0, total - rows)) + 1


def _list_rows(page: FailPage, first: int) -> list[QueueRow]:
    return [
        _row(row, page.states.get(row.key, UNTOUCHED), first + n) for n, row in enumerate(page.rows)
    ]


def _row(row: FailRow, state: State, place: int) -> QueueRow:
    is_carried = state.decided_in is not None and state.decided_in != row.job
    return QueueRow(row.id, place, row.answer, state, is_carried)


class QueuePage:
    """Answers `/fails`."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._counts = parts, Counts()

    async def page(self, request: Request) -> Response:
        """Show a page of the queue; a script that scrolls gets its rows only."""
        require_right(request, "see")
        given = request.query_params
        if any(not value for _, value in given.multi_items()):  # a form sends its empty fields
            return RedirectResponse(address(clean_query(given).multi_items()), 303)
        asked = read_asked(given, self._parts.answering.kb.serve)
        person = facts_of(request).name
        queue = await self._parts.database.read(
            lambda db: view_queue_page(db, asked, self._counts, person)
        )
        if queue is not None and request.headers.get("finops-rows") == "true":
            return render(request, "queue_part.html", queue=queue)
        assignees = await self._parts.database.read(list_assignees)
        deciders = await self._parts.access.names_with("answer")
        return render(
            request,
            "queue.html",
            queue=queue,
            people=sorted({*deciders, *assignees}),
            filter=describe_filter(asked.query),
            problem=None,
        )


def list_queue_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the queue."""
    return [NamedRoute(QUEUE, QueuePage(parts).page)]
