"""The page that a day begins with: what came in, what changed, what is due, who must look."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from finops_cli.domain.enums import Status
from finops_cli.service.desk.queue_filter import address
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.sign_in import SignInPages, has_start_token
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.fail_query import FailFilter, count_fails
from finops_cli.service.store.fails import SEVEREST_FIRST, queue_before
from finops_cli.service.store.jobs import Job, job_id, job_number, latest_queue
from finops_cli.service.store.summary import (
    ChangeCounts,
    DueCounts,
    count_assigned,
    count_changes,
    count_decided,
    count_due,
    count_touched,
    sum_residuals,
)

_KEPT = 8
_SOON = 1
"""Settlement days to a deadline that the column `due` counts."""
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


class TierRow(Struct, frozen=True, kw_only=True):
    """A tier with its fails."""

    tier: str
    fails: Figure
    due: Figure
    undecided: Figure
    uncovered: Figure
    shares: int
    """Shares that nothing covers."""


class QueueFacts(Struct, frozen=True, kw_only=True):
    """The counts that do not change once a queue is complete; counted once."""

    counts: dict[str, dict[str, int]]
    due: DueCounts
    urgent: dict[str, int]
    """Fails by tier that are due by the next settlement day."""
    residuals: dict[str, tuple[int, int]]
    before: str | None
    """The queue before; None: this is the first."""
    changes: ChangeCounts


class Today(Struct, frozen=True, kw_only=True):
    """The values of the page, for a queue."""

    job: Job
    as_of: str | None
    total: int
    before: str | None
    changes: list[Figure]
    tiers: list[TierRow]
    due: list[Figure]
    eyes: list[Figure]
    categories: list[Figure]
    decided: list[Figure]


def queue_link(**query: object) -> str:
    """Return the address of the queue with a filter."""
    return address((name, str(value)) for name, value in query.items())


def read_facts(connection: Connection, job: str) -> QueueFacts:
    """Count what no decision changes."""
    number = queue_before(connection, job_number(job))
    before = None if number is None else job_id(number)
    return QueueFacts(
        counts=count_fails(connection, job),
        due=count_due(connection, job),
        urgent=count_fails(connection, job, FailFilter(within_days=_SOON))["tier"],
        residuals=sum_residuals(connection, job),
        before=before,
        changes=ChangeCounts() if before is None else count_changes(connection, job, before),
    )


class FactsCache:
    """The facts of the last queues that do not grow any more."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int | None], QueueFacts] = OrderedDict()

    def read(self, connection: Connection, job: Job) -> QueueFacts:
        """Return the facts of `job`, counted again while it runs or the queue before changes."""
        key = (job.id, queue_before(connection, job_number(job.id)))
        if key not in self._kept:
            facts = read_facts(connection, job.id)
            if job.state != "completed":
                return facts
            self._kept[key] = facts
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def view_today(connection: Connection, person: str, cache: FactsCache) -> Today | None:
    """Return the values of the page; None where no job has fails yet."""
    job = latest_queue(connection)
    if job is None:
        return None
    facts = cache.read(connection, job)
    as_of = job.options.get("as_of")
    return Today(
        job=job,
        as_of=None if as_of is None else str(as_of),
        total=facts.counts["total"]["fails"],
        before=facts.before,
        changes=_list_changes(facts),
        tiers=_list_tiers(facts, count_touched(connection, job.id)),
        due=_list_due(facts.due),
        eyes=[
            Figure(
                facts.counts["status"].get(status, 0), status, queue_link(status=status), meaning
            )
            for status, meaning in _EYES.items()
        ],
        categories=[
            Figure(count, category, queue_link(category=category))
            for category, count in sorted(
                facts.counts["category"].items(), key=lambda pair: -pair[1]
            )
        ],
        decided=_list_decided(connection, job.id, person),
    )


def _list_changes(facts: QueueFacts) -> list[Figure]:
    if facts.before is None:
        return []
    found = facts.changes
    return [
        Figure(found.new, "new", queue_link(change="NEW")),
        Figure(found.raised, "in a higher tier", queue_link(change="RAISED")),
        Figure(found.eased, "in a lower tier", queue_link(change="EASED")),
        Figure(found.gone, "gone", queue_link(change="GONE", job=facts.before)),
    ]


def _list_tiers(facts: QueueFacts, touched: dict[str, int]) -> list[TierRow]:
    rows = []
    for tier in SEVEREST_FIRST:
        fails = facts.counts["tier"].get(tier, 0)
        undecided = fails - touched.get(tier, 0)
        uncovered, shares = facts.residuals.get(tier, (0, 0))
        due = facts.urgent.get(tier, 0)
        rows.append(
            TierRow(
                tier=tier,
                fails=Figure(fails, "fails", queue_link(tier=tier)),
                due=Figure(due, "due", queue_link(tier=tier, within_days=_SOON)),
                undecided=Figure(undecided, "undecided", queue_link(tier=tier, decided="none")),
                uncovered=Figure(uncovered, "uncovered", queue_link(tier=tier, residual="true")),
                shares=shares,
            )
        )
    return rows


def _list_due(due: DueCounts) -> list[Figure]:
    by_today = due.late + due.today
    return [
        Figure(due.late, "late", queue_link(within_days=-1), "The deadline is past."),
        Figure(by_today, "due today or late", queue_link(within_days=0)),
        Figure(
            by_today + due.next_day, "due by the next settlement day", queue_link(within_days=_SOON)
        ),
    ]


def _list_decided(connection: Connection, job: str, person: str) -> list[Figure]:
    done = count_decided(connection, job)
    mine = count_assigned(connection, job, person)
    return [
        Figure(mine, "assigned to you", queue_link(assignee=person)),
        Figure(done.accepted, "accepted", queue_link(decided="accepted")),
        Figure(done.overridden, "overridden", queue_link(decided="overridden")),
        Figure(done.proposed, "wait for a second person", queue_link(decided="proposed")),
        Figure(done.closed, "closed", queue_link(decided="closed")),
        Figure(
            done.carried,
            "decided on an earlier blotter",
            queue_link(decided="any"),
            "The decision was carried over; the queue marks it.",
        ),
    ]


class TodayPage:
    """Answers `/`."""

    def __init__(self, parts: Parts, sign_in: SignInPages) -> None:
        self._parts, self._sign_in = parts, sign_in
        self._cache = FactsCache()

    async def page(self, request: Request) -> Response:
        """Show the page, or begin the session of the start link."""
        if has_start_token(request):
            return await self._sign_in.start(request)
        require_right(request, "see")
        person = facts_of(request).name
        today = await self._parts.database.read(lambda db: view_today(db, person, self._cache))
        return render(request, "today.html", today=today)


def list_today_routes(parts: Parts, sign_in: SignInPages) -> list[NamedRoute]:
    """Return the route of the page."""
    return [NamedRoute("/", TodayPage(parts, sign_in).page)]
