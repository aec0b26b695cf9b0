"""The page of one pool: the sources of a security, the fails that draw on them, who gets what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain.finding import Problem
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.errors import FinopsError
from finops_cli.importers.joins.inventory_file import InventoryFile
from finops_cli.service.desk.fail.related import read_pool
from finops_cli.service.desk.rendering import render
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.fails.views import find_queue
from finops_cli.service.problems import ServiceError, not_found
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.fails import PoolLine, find_pool_lines
from finops_cli.service.store.files import files_folder
from finops_cli.service.store.jobs import Job
from finops_cli.views.pool_page.page import LATE_NOTE, has_late_bands, list_cards, list_key
from finops_cli.views.pool_page.picture import NARROW, WIDE, draw_pool
from finops_cli.views.pool_page.pool import (
    Pool,
    PoolFail,
    describe_days,
    describe_shares,
    make_pool,
)
from finops_cli.views.wording import clean

_SHOWN = 500
"""Rows of the queue that the page shows."""
_MOST_INVENTORY = 32 * 1024 * 1024
"""Bytes of an inventory file that is read for one page."""


class PoolRow(Struct, frozen=True, kw_only=True):
    """A fail in the queue of a pool."""

    id: str
    fail: PoolFail
    days: str
    is_urgent: bool
    gets: str


class PoolPage(Struct, frozen=True, kw_only=True):
    """The values of the page."""

    pool: Pool
    job: Job
    rows: list[PoolRow]
    left_out: int
    """Rows beyond those that are shown."""
    cards: list[tuple[str, str, str]]
    key: list[tuple[str, str]]
    pictures: tuple[str, str]
    """SVG for wide and for narrow pages."""
    sentences: list[str]
    late_note: str
    has_inventory: bool
    """False: the sources are known only as far as fails get shares of them."""
    true_at: str | None
    """When the inventory was true."""


def pool_link(cusip: str, job: str) -> str:
    """Return the address of a pool."""
    return f"/pools/{cusip}?{urlencode({'job': job})}"


def view_pool(
    job: Job,
    pool: Pool,
    ids: dict[str, str],
    *,
    has_inventory: bool = False,
    true_at: str | None = None,
) -> PoolPage:
    """Return the values of the page. `ids` are the ids of the fails by their `fail_id`."""
    shown = pool.fails[:_SHOWN]
    return PoolPage(
        pool=pool,
        job=job,
        rows=[_view_row(each, ids) for each in shown],
        left_out=len(pool.fails) - len(shown),
        cards=list_cards(pool),
        key=list_key(pool),
        pictures=(draw_pool(pool, WIDE, "wide"), draw_pool(pool, NARROW, "narrow")),
        sentences=[clean(each) for each in pool.cuts],
        late_note=LATE_NOTE if has_late_bands(pool) else "",
        has_inventory=has_inventory,
        true_at=true_at,
    )


def _view_row(fail: PoolFail, ids: dict[str, str]) -> PoolRow:
    return PoolRow(
        id=ids.get(fail.fail_id, fail.fail_id),
        fail=fail,
        days=describe_days(fail.days_left),
        is_urgent=fail.days_left is not None and fail.days_left <= 0,
        gets=describe_shares(fail),
    )


class PoolPages:
    """Answers `/pools/{cusip}`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def pool(self, request: Request) -> Response:
        """Show the pool of a security in a plan of the whole book. Raises ServiceError 404, 409."""
        require_right(request, "see")
        cusip: str = request.path_params["cusip"]
        named = request.query_params.get("job")

        def find(connection: Connection) -> tuple[Job, Sequence[PoolLine]]:
            job = find_queue(connection, named)
            if job is None:
                raise _no_pool(cusip)
            return job, find_pool_lines(connection, job.id, cusip)

        job, lines = await self._parts.database.read(find)
        page = await asyncio.to_thread(_make_page, self._parts.data, job, cusip, lines)
        return render(request, "pool.html", page=page)


def _make_page(data: Path, job: Job, cusip: str, lines: Sequence[PoolLine]) -> PoolPage:
    """Read the pool from the output of its job. Raises ServiceError 404 and 409."""
    try:
        fails = read_pool(data, job.id, cusip, lines)
    except FileNotFoundError as error:
        raise ServiceError(
            HTTPStatus.CONFLICT, "no-output", f"the output of {job.id} is gone"
        ) from (error)
    if not fails:
        raise _no_pool(cusip)
    sources, true_at = _read_sources(data, job, cusip)
    ids = {each.fail_id: each.id for each in lines}
    pool = make_pool(cusip, fails, sources)
    return view_pool(job, pool, ids, has_inventory=sources is not None, true_at=true_at)


def _read_sources(
    data: Path, job: Job, cusip: str
) -> tuple[list[InventoryLine] | None, str | None]:
    """Read the sources of a security from the inventory of the job; None without one."""
    id = job.options.get("inventory")
    if id is None:
        return None, None
    path = files_folder(data) / str(id)
    try:
        if path.stat().st_size > _MOST_INVENTORY:
            return None, None
        with closing(InventoryFile(path)) as file:
            found, snapshot = file.find_lines(cusip), file.snapshot
    except (FinopsError, OSError):
        return None, None
    if isinstance(found, Problem):
        return None, None
    return found, None if snapshot is None else snapshot.as_of


def _no_pool(cusip: str) -> ServiceError:
    return not_found(f"the pool of {cusip[:20]} in a plan of the whole book (a job `book`)")


def list_pool_routes(parts: Parts) -> list[NamedRoute]:
    """Return the route of the pools."""
    return [NamedRoute("/pools/{cusip}", PoolPages(parts).pool)]
