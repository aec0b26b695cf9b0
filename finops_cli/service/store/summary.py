"""Counts of a queue for the page that a day begins with."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.service.store.database import Connection
from finops_cli.service.store.fails import CHANGES, SEVEREST_FIRST, mark_bits
from finops_cli.service.store.jobs import job_number

_ACCEPTED, _OVERRIDDEN = "s.decision = 'accepted'", "s.decision = 'overridden'"
_DECIDED_IN = '"decided_in":"'
"""The field of a state; quotes in what a person wrote have a backslash before them."""


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
    """True if the decision was made about the same fail in an earlier job."""


def count_due(connection: Connection, job: str) -> DueCounts:
    """Count the fails whose deadline is past, today or on the next settlement day."""
    late, today, next_day = connection.execute(
        f"SELECT {_count('days_left < 0')}, {_count('days_left = 0')}, {_count('days_left = 1')}"  # noqa: S608 - constants
        " FROM fails WHERE job = ? AND days_left <= 1",
        (job_number(job),),
    ).fetchone()
    return DueCounts(late=late, today=today, next_day=next_day)


def count_decided(connection: Connection, job: str) -> DecidedCounts:
    """Count the fails of `job` that somebody decided about."""
    # CROSS JOIN: SQLite begins with the states, which are few
    row = connection.execute(
        f"SELECT {_count(_ACCEPTED)}, {_count(_OVERRIDDEN)}, {_count('s.has_proposal = 1')},"  # noqa: S608 - the same
        f" {_count('s.is_closed = 1')}, {_count('s.body LIKE ? AND s.body NOT LIKE ?')}"
        " FROM states s CROSS JOIN fails f WHERE f.key = s.key AND f.job = ?",
        (f"%{_DECIDED_IN}%", f'%{_DECIDED_IN}{job}"%', job_number(job)),
    ).fetchone()
    names = ("accepted", "overridden", "proposed", "closed", "carried")
    return DecidedCounts(**dict(zip(names, row, strict=True)))


def count_assigned(connection: Connection, job: str, assignee: str) -> int:
    """Count the fails of `job` that `assignee` works on."""
    [count] = connection.execute(
        "SELECT count(*) FROM states s CROSS JOIN fails f WHERE f.key = s.key"
        " AND s.assignee = ? AND f.job = ?",
        (assignee, job_number(job)),
    ).fetchone()
    return int(count)


class ChangeCounts(Struct, frozen=True, kw_only=True):
    """Fails that are not as they were in the queue before."""

    new: int = 0
    raised: int = 0
    """The tier rose."""
    eased: int = 0
    """The tier fell."""
    gone: int = 0
    """Fails of the queue before that are not in this one."""


def count_changes(connection: Connection, job: str, before: str) -> ChangeCounts:
    """Count what changed since the queue `before`."""
    counts = {
        name.lower(): _count_marked(connection, before if name == "GONE" else job, name)
        for name in CHANGES
    }
    return ChangeCounts(**counts)


def _count_marked(connection: Connection, job: str, mark: str) -> int:
    [count] = connection.execute(
        "SELECT count(*) FROM fails WHERE job = ? AND marks & ? <> 0",
        (job_number(job), mark_bits((mark,))),
    ).fetchone()
    return int(count)


def sum_residuals(connection: Connection, job: str) -> dict[str, tuple[int, int]]:
    """Return by tier how many fails have shares that nothing covers, and how many shares."""
    rows = connection.execute(
        "SELECT tier, count(*), sum(residual) FROM fails WHERE job = ? AND residual > 0"
        " GROUP BY tier",
        (job_number(job),),
    )
    return {
        SEVEREST_FIRST[tier]: (int(fails), int(shares))
        for tier, fails, shares in rows
        if tier < len(SEVEREST_FIRST)
    }


def count_touched(connection: Connection, job: str) -> dict[str, int]:
    """Count by tier the fails of `job` that somebody decided about."""
    rows = connection.execute(
        "SELECT f.tier, count(*) FROM states s CROSS JOIN fails f WHERE f.key = s.key AND f.job = ?"
        " AND (s.decision IS NOT NULL OR s.has_proposal = 1 OR s.is_closed = 1) GROUP BY f.tier",
        (job_number(job),),
    )
    return {SEVEREST_FIRST[tier]: int(n) for tier, n in rows if tier < len(SEVEREST_FIRST)}


def _count(condition: str) -> str:
    """Return the expression that counts the rows of a condition."""
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"
