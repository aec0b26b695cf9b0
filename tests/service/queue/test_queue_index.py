"""Jumps in the queue: the same rows as by walking there, from places that are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finops_cli.service.fails.queue_index import QueueIndex
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import Content, Kind, NewDecision, decide
from finops_cli.service.store.fail_query import ORDERS, FailFilter, Order, read_page
from finops_cli.service.store.fails import FailRow, NewFails, Place
from finops_cli.service.store.jobs import Job, read_job, update_job
from finops_cli.service.store.opening import open_database
from finops_cli.service.store.postgres.connection import PostgresConnection, read_address
from finops_cli.service.store.sqlite import DATABASE_FILE, connect
from finops_cli.views.answers import Answer, read_answer
from tests.support.stores import LINES, NOW, a_job, add_file

ROWS, STEP = 90, 8
FILTERS = (
    FailFilter(),
    FailFilter(tiers=("CRITICAL", "HIGH")),
    FailFilter(text="-1"),
    FailFilter(cusip="0"),
    FailFilter(decided="none"),
    FailFilter(decided="any"),
    FailFilter(decided="none", tiers=("CRITICAL",)),
    FailFilter(decided="none", assignee="ben"),
    FailFilter(assignee="ben"),
)


def a_long_queue(db: Connection) -> Job:
    """Add a queue of `ROWS` fails, some of them with equal scores."""
    add_file(db)
    job, rows = a_job(db), []
    for number in range(1, ROWS + 1):
        line = LINES[number % len(LINES)].replace(b'"F-', b'"F-%d-' % number)
        answer = read_answer(line, number)
        assert isinstance(answer, Answer)
        rows.append((answer, Place(number, 0, 1)))
    NewFails(job.id, rows).insert(db)
    update_job(db, job.id, state="completed")
    found = read_job(db, job.id)
    assert found is not None
    return found


def decide_about(db: Connection, row: FailRow, kind: Kind, **content: Any) -> None:
    decide(
        db,
        NewDecision(
            kind=kind,
            at=NOW,
            by="anna",
            role="analyst",
            request_id="r-1",
            key=row.key,
            job=row.job,
            line=row.place.line,
            fail_id=row.answer.fail_id,
            content=Content(**content),
        ),
    )


def decide_about_some(db: Connection, job: Job) -> None:
    """Accept a third of the fails, and assign a quarter to Ben."""
    for number, row in enumerate(read_page(db, job.id, at_most=ROWS).rows):
        if number % 3 == 0:
            decide_about(db, row, "accept")
        if number % 4 == 0:
            decide_about(db, row, "assign", assignee="ben")


def check_each_place(db: Connection, job: Job, index: QueueIndex) -> None:
    """Compare the page that begins at each fifth row with the same rows of the whole list."""
    for wanted in FILTERS:
        for order in ORDERS:
            every = [
                row.id for row in read_page(db, job.id, wanted, order=order, at_most=ROWS).rows
            ]
            assert index.count(db, job, wanted) == len(every), wanted
            for at in range(0, len(every), 5):  # 5 and the step have no common divisor
                start = index.find(db, job, wanted, order, at)
                assert start.skip < STEP
                page = read_page(
                    db, job.id, wanted, order=order, cursor=start.cursor, at_most=5, skip=start.skip
                )
                assert [row.id for row in page.rows] == every[at : at + 5], (wanted, order, at)


@pytest.fixture
def db(tmp_path: Path, store: str | None) -> Iterator[Connection]:
    """A connection to a new database."""
    open_database(tmp_path, store).close()
    opened = (
        connect(tmp_path / DATABASE_FILE)
        if store is None
        else PostgresConnection(read_address(store))
    )
    with closing(opened) as connection:
        yield connection


def test_jump_gives_the_rows_from_there(db: Connection) -> None:
    """For every filter and order: with nothing decided, and after decisions, which change lists
    while the places of the queue are kept.
    """
    job, index = a_long_queue(db), QueueIndex(STEP)
    check_each_place(db, job, index)
    decide_about_some(db, job)
    check_each_place(db, job, index)
    check_each_place(db, job, QueueIndex(STEP))


def test_jump_sees_the_rows_of_a_growing_queue(db: Connection) -> None:
    """Nothing is kept about a queue whose job runs."""
    job, index = a_long_queue(db), QueueIndex(STEP)
    update_job(db, job.id, state="in_progress")
    running = read_job(db, job.id)
    assert running is not None
    check_each_place(db, running, index)
    db.execute("DELETE FROM fails WHERE id % 3 = 1")
    check_each_place(db, running, index)


def test_no_query_of_a_jump_skips_more_than_a_step(tmp_path: Path) -> None:
    """The cost of a jump does not follow from its place: each query leaves out few rows, and a
    second jump goes on from the places that the first one found.
    """
    open_database(tmp_path, None).close()
    with closing(connect(tmp_path / DATABASE_FILE)) as db:
        job, index, said = a_long_queue(db), QueueIndex(STEP), list[str]()
        db.set_trace_callback(said.append)
        for at in (ROWS - 5, ROWS - 4):
            said.clear()
            start = index.find(db, job, FailFilter(), "score", at)
            read_page(db, job.id, cursor=start.cursor, at_most=5, skip=start.skip)
            skipped = [int(found) for text in said for found in re.findall(r"OFFSET (\d+)", text)]
            assert skipped
            assert max(skipped) < STEP
        assert len(skipped) == 1


@pytest.mark.parametrize("order", ORDERS)
def test_beginning_of_a_cusip_reads_an_index_alone(tmp_path: Path, order: Order) -> None:
    """A filter by the beginning of a CUSIP finds and orders its fails by an index: of the rows,
    which are long, only those of the page are read.
    """
    open_database(tmp_path, None).close()
    with closing(connect(tmp_path / DATABASE_FILE)) as db:
        job, asked = a_long_queue(db), []
        db.set_trace_callback(asked.append)
        read_page(db, job.id, FailFilter(cusip="0"), order=order)
        db.set_trace_callback(None)
        plan = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert any("COVERING INDEX fails_by_cusip" in each for each in plan), plan
