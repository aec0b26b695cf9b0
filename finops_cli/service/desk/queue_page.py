"""The queue: the fails of a blotter in the order of their urgency, a page at a time."""

from __future__ import annotations

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.kb.chapters.serve import ServeSettings
from finops_cli.service.desk.queue_filter import (
    ACCEPTED,
    QUEUE,
    address,
    clean_query,
    describe_filter,
    filter_pairs,
)
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.query import QueueQuery, read_queue_query
from finops_cli.service.fails.queue_index import QueueIndex, Start
from finops_cli.service.fails.views import find_queue
from finops_cli.service.problems import wrong_value
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import UNTOUCHED, State, list_assignees
from finops_cli.service.store.fail_query import BadCursor, FailPage, read_page
from finops_cli.service.store.fails import FailRow
from finops_cli.service.store.jobs import Job, latest_queue
from finops_cli.service.store.saved_views import SavedView, list_views
from finops_cli.views.answers import Answer

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


def view_queue_page(
    connection: Connection, asked: Asked, index: QueueIndex, person: str
) -> Queue | None:
    """Return the values of the page; None where no job has fails yet.

    Raises ServiceError 404, 410 and 422.
    """
    job = find_queue(connection, asked.page.job)
    if job is None:
        return None
    newest = latest_queue(connection)
    total = index.count(connection, job, asked.page.wanted)
    page = _read_page(connection, job, asked, index, total)
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


def _read_page(
    connection: Connection, job: Job, asked: Asked, index: QueueIndex, total: int
) -> FailPage:
    page, backwards = asked.page, asked.before is not None
    start = Start(asked.before if backwards else page.cursor, 0)
    if start.cursor is None:  # a jump
        at = min(asked.at, max(0, total - page.rows))
        start = index.find(connection, job, page.wanted, page.order, at)
    try:
        return read_page(
            connection,
            job.id,
            page.wanted,
            order=page.order,
            cursor=start.cursor,
            at_most=page.rows,
            backwards=backwards,
            skip=start.skip,
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
        self._parts, self._index = parts, QueueIndex()

    async def page(self, request: Request) -> Response:
        """Show a page of the queue; a script that scrolls gets its rows only."""
        require_right(request, "see")
        given = request.query_params
        if any(not value for _, value in given.multi_items()):  # a form sends its empty fields
            return RedirectResponse(address(clean_query(given).multi_items()), 303)
        asked = read_asked(given, self._parts.answering.kb.serve)
        person = facts_of(request).name
        queue = await self._parts.database.read(
            lambda db: view_queue_page(db, asked, self._index, person)
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
