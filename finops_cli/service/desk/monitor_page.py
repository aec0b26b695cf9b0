"""The page of the monitor: health, speed, errors, answers, drift, models and recoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from finops_cli.monitoring.system_monitor import system_monitor
from finops_cli.monitoring.system_stats import PastEvent, SystemStats
from finops_cli.monitoring.windows import MinuteFigures, WindowFigures
from finops_cli.service.alarms.routes import DriftRoutes
from finops_cli.service.desk.charts import Chart, draw_bars, draw_lines
from finops_cli.service.desk.forms import read_form
from finops_cli.service.desk.rendering import render
from finops_cli.service.desk.wording import NOTHING
from finops_cli.service.doors.access_door import require_right
from finops_cli.service.records.when_down import states_of
from finops_cli.service.requests import facts_of
from finops_cli.service.route_table import Parts
from finops_cli.service.routes import NamedRoute
from finops_cli.service.store.database import Connection
from finops_cli.service.store.jobs import Job, list_jobs
from finops_cli.service.store.replicas import Replica, list_replicas
from finops_cli.views.wording import clean

_GOOD, _FAIR = 90, 60
_SHOWN_JOBS = 50
_SHOWN_MINUTES = 60
_PERCENTILES = ("p50", "p95", "p99")
_WHOLE_MS = 10
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WINDOWS = {"minute": "Last minute", "hour": "Last hour", "total": "Since the start"}
EVENT_WORDS = {
    "drift": "Answers drifted from the baseline",
    "drift_over": "The drift is over",
    "latency": "Answers became slow",
    "oom": "A model ran out of memory",
    "recovered": "A model works again",
    "breaker_open": "A server of models was taken out of use",
    "breaker_closed": "A server of models is in use again",
    "health_below": "Health fell below its limit",
    "job_done": "A job ended",
    "job_failed": "A job failed",
    "audit_head": "The head of the audit log was kept",
    "disk_low": "The disk is nearly full",
}
BREAKER_WORDS = {
    "closed": "in use",
    "open": "not in use: it failed several times in a row",
    "half-open": "being tried",
}
PENALTY_WORDS = {
    "errors": "records without an answer, or failed requests",
    "replaced": "answers of models that were replaced",
    "latency": "slow answers",
    "throughput": "fewer records than usual",
}


class WindowRow(NamedTuple):
    """The figures of a window."""

    title: str
    figures: WindowFigures
    latencies: tuple[str, ...]
    """p50, p95 and p99."""


class CountRow(NamedTuple):
    """A value with its count and its part of the whole."""

    value: str
    records: int
    per_cent: float


class EventRow(NamedTuple):
    """An event that was reported."""

    ago: str
    said: str
    facts: str


class ReplicaRow(NamedTuple):
    """A service that uses the database, with the figures that it gave last."""

    name: str
    began: str
    health: int | None
    requests: int | None
    errors: int | None
    p95: str


class MonitorView(NamedTuple):
    """The values of the page."""

    health: int
    health_word: str
    health_class: str
    penalties: tuple[tuple[str, float], ...]
    windows: tuple[WindowRow, ...]
    charts: tuple[Chart, ...]
    statuses: tuple[CountRow, ...]
    predictions: tuple[tuple[str, tuple[CountRow, ...]], ...]
    events: tuple[EventRow, ...]
    recoveries: tuple[tuple[str, int], ...]
    in_work: int
    masked: tuple[CountRow, ...]


def view_monitor(
    stats: SystemStats, minutes: Sequence[MinuteFigures], past: Sequence[PastEvent]
) -> MonitorView:
    """Return the values of the page from the figures of the process."""
    word, css = _judge(stats.health)
    return MonitorView(
        health=stats.health,
        health_word=word,
        health_class=css,
        penalties=tuple(
            (PENALTY_WORDS.get(name, name.replace("_", " ")), round(value, 1))
            for name, value in stats.penalties.items()
            if value > 0
        ),
        windows=tuple(_window(title, getattr(stats, name)) for name, title in _WINDOWS.items()),
        charts=_draw(minutes),
        statuses=_count(stats.statuses),
        predictions=tuple(
            (kind, _count(counts)) for kind, counts in stats.predictions.items() if counts
        ),
        events=tuple(_describe(each) for each in past),
        recoveries=tuple(stats.recoveries.items()),
        in_work=stats.in_work,
        masked=_count(stats.masked),
    )


def _window(title: str, figures: WindowFigures) -> WindowRow:
    latencies = [write_milliseconds(figures.latency_ms[name]) for name in _PERCENTILES]
    return WindowRow(title, figures, tuple(latencies))


def _judge(health: int) -> tuple[str, str]:
    if health >= _GOOD:
        return "good", "health-good"
    return ("fair", "health-fair") if health >= _FAIR else ("poor", "health-bad")


def _draw(minutes: Sequence[MinuteFigures]) -> tuple[Chart, ...]:
    """Draw throughput, latency and errors of the last hour, also of its part before the start."""
    known = minutes[-_SHOWN_MINUTES:]
    before = _SHOWN_MINUTES - len(known)
    unknown: list[float | None] = [None] * before
    latencies = {name: unknown + [each.latency_ms[name] for each in known] for name in _PERCENTILES}
    records = [0.0] * before + [float(each.records) for each in known]
    errors = [0.0] * before + [each.error_rate_pct for each in known]
    return (
        draw_bars("Records a minute", "records", records),
        draw_lines("Latency", "ms", latencies),
        draw_bars("Error rate", "%", errors),
    )


def _count(counts: Mapping[str, int]) -> tuple[CountRow, ...]:
    total = sum(counts.values())
    rows = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return tuple(CountRow(name, n, round(100 * n / total, 1) if total else 0) for name, n in rows)


def _describe(past: PastEvent) -> EventRow:
    facts = ", ".join(f"{name} {value}" for name, value in past.event.facts.items())
    said = EVENT_WORDS.get(past.event.event, past.event.event)
    return EventRow(write_ago(past.seconds_ago), said, clean(facts))


def write_milliseconds(value: float | None) -> str:
    """Write a latency: 0.8 ms, 18 ms, 2,920 ms."""
    if value is None:
        return NOTHING
    return f"{value:,.1f} ms" if value < _WHOLE_MS else f"{value:,.0f} ms"


def write_ago(seconds: float) -> str:
    """Write how long ago something was: 20 s ago, 3 min ago, 2 h ago."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h ago"
    return f"{seconds // _DAY:.0f} d ago"


class MonitorPages:
    """Answers `/monitor` and the form of the baseline."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._drift = DriftRoutes(parts.alarms, parts.data, parts.database, parts.now)

    async def monitor(self, request: Request) -> Response:
        """Show the figures; to its own script the part that changes."""
        require_right(request, "see")
        parts = self._parts
        monitor = system_monitor(parts.answering.kb)
        is_part = request.headers.get("hx-request") == "true"
        backend = parts.answering.backend
        values: dict[str, Any] = {
            "view": view_monitor(monitor.stats(), monitor.minutes(), monitor.past_events()),
            "drift": parts.alarms.drift(),
            "breakers": [
                (clean(name), BREAKER_WORDS.get(state, state), state)
                for name, state in states_of(backend).items()
            ],
            "backend": backend.origin.name,
            "models": {name: told for name, told in dict(backend.origin.models).items() if told},
        }
        values["replicas"] = view_replicas(await parts.database.read(list_replicas))
        if is_part:
            return render(request, "_monitor.html", **values)
        jobs = await parts.database.read(_list_baselines)
        may_operate = facts_of(request).may("operate")
        return render(
            request,
            "monitor.html",
            jobs=jobs,
            may_operate=may_operate,
            can_reload=may_operate and backend.concurrency > 0 and bool(values["models"]),
            **values,
        )

    async def load_again(self, request: Request) -> Response:
        """Load the model of a form again. Raises ServiceError 403, 404 and 409."""
        require_right(request, "operate")
        form = await read_form(request)
        await self._parts.system.load_again(request, form.text("model"))
        return RedirectResponse("/monitor?said=model-reloaded", 303)

    async def set_baseline(self, request: Request) -> Response:
        """Take the answers of a job as the baseline. Raises ServiceError 403, 404, 409, 422."""
        require_right(request, "operate")
        form = await read_form(request)
        await self._drift.take_baseline(request, form.text("job"))
        return RedirectResponse("/monitor", 303)


def view_replicas(found: Sequence[Replica]) -> tuple[ReplicaRow, ...]:
    """Return a row for each service of a database that several use; none where one has it alone.

    A service that shares the database gives its figures every few seconds, the first after these.
    """
    if not any(each.sample for each in found):
        return ()
    return tuple(
        ReplicaRow(
            clean(each.name),
            each.began,
            each.sample.get("health"),
            each.sample.get("requests"),
            each.sample.get("errors"),
            write_milliseconds(each.sample.get("p95_ms")),
        )
        for each in found
    )


def _list_baselines(connection: Connection) -> list[Job]:
    """Return the jobs that a baseline can be made of."""
    found = list_jobs(connection, None, _SHOWN_JOBS)
    return [each for each in found if each.state == "completed" and each.command in _WITH_ANSWERS]


_WITH_ANSWERS = ("run", "triage", "resolve", "book", "sentiment")


def list_monitor_routes(parts: Parts) -> list[NamedRoute]:
    """Return the routes of the page of the monitor."""
    pages = MonitorPages(parts)
    return [
        NamedRoute("/monitor", pages.monitor),
        NamedRoute("/monitor/baseline", pages.set_baseline, methods=["POST"]),
        NamedRoute("/monitor/reload", pages.load_again, methods=["POST"]),
    ]
