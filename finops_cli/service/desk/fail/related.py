"""The fails beside one fail: of the same security, of the same counterparty, of the same box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from finops_cli.service.fails.views import FailView, view_fail
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import UNTOUCHED
from finops_cli.service.store.fail_query import FailFilter, count_rows, read_page
from finops_cli.service.store.fails import FailRow, PoolLine
from finops_cli.service.store.jobs import output_path
from finops_cli.views.pool_page.pool import PoolFail, read_pool_fails

_SHOWN = 8
MOST_QUEUE = 500
"""Fails of a queue that the page of one fail reads for its neighbours; the pool has them all."""


class RelatedFails(Struct, frozen=True, kw_only=True):
    """The other fails of the same job that share something with a fail."""

    title: str
    query: dict[str, str]
    """The parameters of the queue that list them all."""
    fails: list[FailView]
    count: int
    """All of them, those that are not shown too."""


def find_related(connection: Connection, row: FailRow) -> list[RelatedFails]:
    """Return the fails of the same security and of the same counterparty, the most urgent first."""
    answer = row.answer
    found = []
    if answer.cusip:
        wanted = FailFilter(cusip=answer.cusip)
        found.append(_find(connection, row, "Same security", {"cusip": answer.cusip}, wanted))
    if answer.counterparty:
        query = {"counterparty": answer.counterparty}
        wanted = FailFilter(counterparty=answer.counterparty)
        found.append(_find(connection, row, "Same counterparty", query, wanted))
    return [each for each in found if each.count]


def _find(
    connection: Connection,
    row: FailRow,
    title: str,
    query: dict[str, str],
    wanted: FailFilter,
) -> RelatedFails:
    page = read_page(connection, row.job, wanted, at_most=_SHOWN + 1)
    others = [each for each in page.rows if each.id != row.id][:_SHOWN]
    count = len(page.rows) - 1
    if page.next is not None:
        count = count_rows(connection, row.job, wanted) - 1
    return RelatedFails(
        title=title,
        query=query | {"job": row.job},
        fails=[view_fail(each, page.states.get(each.key, UNTOUCHED)) for each in others],
        count=count,
    )


def read_pool(data: Path, job: str, cusip: str, lines: Sequence[PoolLine]) -> list[PoolFail]:
    """Read the fails of a pool, in the order of their queue. Raises OSError: the output is gone."""
    with output_path(data, job).open("rb") as file:
        return read_pool_fails((_read(file, each) for each in lines), cusip)


def _read(file: BinaryIO, line: PoolLine) -> bytes:
    file.seek(line.place.start)
    return file.read(line.place.length)
