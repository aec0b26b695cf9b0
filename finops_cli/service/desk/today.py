"""The page that a day begins with: what came in, what is due, and what needs a person."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain.enums import Status
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.sign_in import SignInPages, has_start_token
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.fail_query import FailFilter, count_fails
from finops_cli.service.store.fails import SEVEREST_FIRST
from finops_cli.service.store.jobs import Job, latest_queue
from finops_cli.service.store.summary import count_assigned, count_decided, count_due

QUEUE = "/fails"
_EYES: dict[Status, str] = {
    "rejected": "The record cannot be used; it has no answer.",
    "failed": "No answer passed the checks.",
    "fallback": "The rules answered in place of the model.",
    "repaired": "The model's answer was wrong and has been put right.",
}
"""The statuses that a person looks at, and what each means."""


class Figure(Struct, frozen=True):
    """A number of the page. It leads to the fails that it counts."""

    count: int
    label: str
    link: str
    note: str = ""


class TierRow(Struct, frozen=True):
    """A tier with its fails."""

    tier: str
    fails: Figure
    due: Figure
    undecided: Figure


class Today(Struct, frozen=True, kw_only=True):
    """The values of the page, for a queue."""

    job: Job
    as_of: str | None
    total: int
    tiers: list[TierRow]
    due: list[Figure]
    eyes: list[Figure]
    categories: list[Figure]
    decided: list[Figure]
    mine: Figure


def queue_link(**query: Any) -> str:
    """Return the address of the queue with a filter."""
    return f"{QUEUE}?{urlencode(query, doseq=True)}" if query else QUEUE


def view_today(connection: Connection, person: str) -> Today | None:
    """Return the values of the page; None where no job has fails yet."""
    job = latest_queue(connection)
    if job is None:
        return None
    counts = count_fails(connection, job.id)
    as_of = job.options.get("as_of")
    return Today(
        job=job,
        as_of=None if as_of is None else str(as_of),
        total=counts["total"]["fails"],
        tiers=_list_tiers(connection, job.id, counts["tier"]),
        due=_list_due(connection, job.id),
        eyes=[
            Figure(counts["status"].get(status, 0), status, queue_link(status=status), meaning)
            for status, meaning in _EYES.items()
        ],
        categories=[
            Figure(count, category, queue_link(category=category))
            for category, count in sorted(counts["category"].items(), key=lambda pair: -pair[1])
        ],
        decided=_list_decided(connection, job.id),
        mine=Figure(
            count_assigned(connection, job.id, person),
            "assigned to you",
            queue_link(assignee=person),
        ),
    )


def _list_tiers(connection: Connection, job: str, by_tier: dict[str, int]) -> list[TierRow]:
    urgent = count_fails(connection, job, FailFilter(within_days=1))["tier"]
    undecided = count_fails(connection, job, FailFilter(decided="none"))["tier"]
    return [
        TierRow(
            tier,
            Figure(by_tier.get(tier, 0), "fails", queue_link(tier=tier)),
            Figure(urgent.get(tier, 0), "due", queue_link(tier=tier, within_days=1)),
            Figure(undecided.get(tier, 0), "undecided", queue_link(tier=tier, decided="none")),
        )
        for tier in SEVEREST_FIRST
    ]


def _list_due(connection: Connection, job: str) -> list[Figure]:
    due = count_due(connection, job)
    return [
        Figure(due.late, "late", queue_link(within_days=-1), "The deadline is past."),
        Figure(due.late + due.today, "due today or late", queue_link(within_days=0)),
        Figure(
            due.late + due.today + due.next_day,
            "due by the next settlement day",
            queue_link(within_days=1),
        ),
    ]


def _list_decided(connection: Connection, job: str) -> list[Figure]:
    done = count_decided(connection, job)
    return [
        Figure(done.accepted, "accepted", queue_link(decided="accepted")),
        Figure(done.overridden, "overridden", queue_link(decided="overridden")),
        Figure(done.proposed, "wait for a second person", queue_link(decided="proposed")),
        Figure(done.closed, "closed", queue_link(decided="closed")),
        Figure(done.carried, "decided on an earlier blotter", queue_link(decided="any")),
    ]


class TodayPage:
    """Answers `/`."""

    def __init__(self, parts: Parts, sign_in: SignInPages) -> None:
        self._parts, self._sign_in = parts, sign_in

    async def page(self, request: Request) -> Response:
        """Show the page, or begin the session of the start link."""
        if has_start_token(request):
            return await self._sign_in.start(request)
        require_right(request, "see")
        person = facts_of(request).name
        today = await self._parts.database.read(lambda db: view_today(db, person))
        return render(request, "today.html", today=today)


def list_today_routes(parts: Parts, sign_in: SignInPages) -> list[NamedRoute]:
    """Return the route of the page."""
    return [NamedRoute("/", TodayPage(parts, sign_in).page)]
