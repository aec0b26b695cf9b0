"""Counts of a queue for the page that a day begins with."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.service.store.database import Connection
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
    """What stands was decided about the same fail in an earlier job."""


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


def _count(condition: str) -> str:
    """Return the expression that counts the rows of a condition."""
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"
