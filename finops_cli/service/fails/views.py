"""A fail as the API shows it, and the questions that pages and routes ask about fails."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.service.fails.query import QueueQuery
from finops_cli.service.problems import ServiceError, not_found, wrong_value
from finops_cli.service.store.database import Connection
from finops_cli.service.store.decisions import (
    UNTOUCHED,
    Decision,
    State,
    list_decisions,
    read_state,
)
from finops_cli.service.store.fail_query import BadCursor, FailPage, count_fails, read_page
from finops_cli.service.store.fails import FailRow, find_fail, same_fail
from finops_cli.service.store.jobs import Job, latest_queue, read_job
from finops_cli.views.answers import Answer


class FailView(Struct, frozen=True, kw_only=True):
    """A fail of the queue, and what stands for it."""

    id: str
    fail_id: str
    job: str
    line: int
    answer: Answer
    """The engine's answer; no decision changes it."""
    state: State
    is_carried: bool
    """What stands was decided about the same fail in an earlier job."""


class QueueView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the queue."""

    job: str | None
    order: str
    fails: list[FailView]
    next: str | None
    """The parameter `cursor` of the next page; null after the last."""
    counts: dict[str, dict[str, int]] | None = None
    """The fails that the filter takes, by tier, category and status."""


class FailDetail(Struct, frozen=True, kw_only=True):
    """One fail with its line and its decisions."""

    fail: FailView
    output: msgspec.Raw
    """The output line of the job; null where the output is gone."""
    decisions: list[Decision]


class PastAnswer(Struct, frozen=True, kw_only=True):
    """The answer about a fail in one job."""

    id: str
    job: str
    answer: Answer


class FailHistory(Struct, frozen=True, kw_only=True):
    """The answers of all jobs about one fail, the newest first, and the decisions in order."""

    answers: list[PastAnswer]
    decisions: list[Decision]


def view_fail(row: FailRow, state: State) -> FailView:
    """Show a row of the queue."""
    return FailView(
        id=row.id,
        fail_id=row.answer.fail_id,
        job=row.job,
        line=row.place.line,
        answer=row.answer,
        state=state,
        is_carried=state.decided_in is not None and state.decided_in != row.job,
    )


def find_queue(connection: Connection, job: str | None) -> Job | None:
    """Return the job of a queue; None where no job has fails yet. Raises ServiceError 404, 410."""
    if job is None:
        return latest_queue(connection)
    found = read_job(connection, job)
    if found is None:
        raise not_found(f"the job {job[:80]}")
    if found.deleted is not None:
        raise ServiceError(HTTPStatus.GONE, "deleted", f"the job {job} was deleted")
    return found


def view_queue(connection: Connection, asked: QueueQuery) -> QueueView:
    """Return a page of the queue. Raises ServiceError 404, 410, 422."""
    job = find_queue(connection, asked.job)
    if job is None:
        return QueueView(job=None, order=asked.order, fails=[], next=None)
    page = _read_page(connection, job, asked)
    return QueueView(
        job=job.id,
        order=asked.order,
        fails=[view_fail(row, page.states.get(row.key, UNTOUCHED)) for row in page.rows],
        next=page.next,
        counts=count_fails(connection, job.id, asked.wanted) if asked.has_counts else None,
    )


def _read_page(connection: Connection, job: Job, asked: QueueQuery) -> FailPage:
    try:
        return read_page(
            connection,
            job.id,
            asked.wanted,
            order=asked.order,
            cursor=asked.cursor,
            at_most=asked.rows,
        )
    except BadCursor as error:
        raise wrong_value(
            "cursor", str(error)[:80], "the `next` of a page with the same order"
        ) from error


def locate_fail(connection: Connection, id: str) -> FailRow:
    """Return a fail by its id, else by its `fail_id` in the newest queue.

    Raises ServiceError 404.
    """
    job = latest_queue(connection)
    found = find_fail(connection, id, None if job is None else job.id)
    if found is None:
        raise not_found(f"the fail {id[:80]}")
    return found


def view_located(connection: Connection, id: str) -> tuple[FailRow, FailView]:
    """Return a fail and how it is shown. Raises ServiceError 404."""
    row = locate_fail(connection, id)
    return row, view_fail(row, read_state(connection, row.key))


def view_history(connection: Connection, id: str) -> FailHistory:
    """Return what was answered and decided about a fail. Raises ServiceError 404."""
    row = locate_fail(connection, id)
    answers = [
        PastAnswer(id=each.id, job=each.job, answer=each.answer)
        for each in same_fail(connection, row.key)
    ]
    return FailHistory(answers=answers, decisions=list_decisions(connection, row.key))


def describe_state(state: State) -> dict[str, Any]:
    """Return what stands as plain data, for the audit log: no words that a person wrote."""
    return {
        "version": state.version,
        "outcome": state.outcome,
        "tier": None if state.change is None else state.change.tier,
        "action": None if state.change is None else state.change.action,
        "assignee": state.assignee,
        "has_proposal": state.has_proposal,
        "is_closed": state.is_closed,
    }
