"""Counts of a queue for the page that a day begins with."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from finops_cli.service.store.jobs import job_number


class DueCounts(Struct, frozen=True, kw_only=True):
    """Fails by their settlement days to the deadline."""

    late: int = 0
    today: int = 0
    next_day: int = 0


class DecidedCounts(Struct, frozen=True, kw_only=True):
    """Fails by what people decided. One fail may count in several fields."""

    accepted: int = 0
    overridden: int = 0
    proposed: int = 0
    """Overrides that wait for a second person."""
    closed: int = 0
    carried: int = 0
    """What stands was decided about the same fail in an earlier job."""


def count_due(connection: sqlite3.Connection, job: str) -> DueCounts:
    """Count the fails whose deadline is past, today or on the next settlement day."""
    late, today, next_day = connection.execute(
        "SELECT coalesce(sum(days_left < 0), 0), coalesce(sum(days_left = 0), 0),"
        " coalesce(sum(days_left = 1), 0) FROM fails WHERE job = ? AND days_left <= 1",
        (job_number(job),),
    ).fetchone()
    return DueCounts(late=late, today=today, next_day=next_day)


def count_decided(connection: sqlite3.Connection, job: str) -> DecidedCounts:
    """Count the fails of `job` that somebody decided about."""
    # CROSS JOIN: SQLite begins with the states, which are few
    row = connection.execute(
        "SELECT coalesce(sum(s.decision = 'accepted'), 0),"
        " coalesce(sum(s.decision = 'overridden'), 0), coalesce(sum(s.has_proposal), 0),"
        " coalesce(sum(s.is_closed), 0),"
        " coalesce(sum(json_extract(s.body, '$.decided_in') <> ?), 0)"
        " FROM states s CROSS JOIN fails f ON f.key = s.key WHERE f.job = ?",
        (job, job_number(job)),
    ).fetchone()
    names = ("accepted", "overridden", "proposed", "closed", "carried")
    return DecidedCounts(**dict(zip(names, row, strict=True)))


def count_assigned(connection: sqlite3.Connection, job: str, assignee: str) -> int:
    """Count the fails of `job` that `assignee` works on."""
    [count] = connection.execute(
        "SELECT count(*) FROM states s CROSS JOIN fails f ON f.key = s.key"
        " WHERE s.assignee = ? AND f.job = ?",
        (assignee, job_number(job)),
    ).fetchone()
    return int(count)
