"""Counts of the process, for `/metrics`: requests, answers, and their latencies."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import accumulate
from threading import Lock
from typing import Any, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.utils import floatToGoString

from finops_cli.domain.triage import Triage
from finops_cli.monitoring.latencies import percentile_ms
from finops_cli.monitoring.noted import AnsweredRecord, EndedRequest
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.monitoring.system_monitor import SystemMonitor
from finops_cli.pipeline.output import Line
from finops_cli.pipeline.sentiment.output import SentimentLine

T = TypeVar("T")
PROMETHEUS = CONTENT_TYPE_LATEST
_PERCENTILES = (50, 95, 99)
_SAMPLE_PERCENTILE = 95
_OUR_FAULT = 500
_NOTED = 64
"""Requests and answers that are counted at once."""

_COUNTERS = {
    "records": ("Answered records by command and status.", ("command", "status")),
    "predictions": (
        "Answers by kind (tier, category, action, label) and value.",
        ("kind", "value"),
    ),
}
"""The counters of answers that are kept here, each with its text and its labels."""
_REQUEST_LABELS = ("route", "method", "status")


class _Durations:
    """The times of the requests of one route."""

    __slots__ = ("buckets", "seconds")
    bounds = Histogram.DEFAULT_BUCKETS
    """The upper bound of each bucket, in seconds; the last one is infinite."""

    def __init__(self) -> None:
        self.buckets = [0] * len(self.bounds)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count a request that took `seconds`."""
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> tuple[list[tuple[str, int]], float]:
        """Return the requests up to each bound, and the seconds of all."""
        names = map(floatToGoString, self.bounds)
        return list(zip(names, accumulate(self.buckets), strict=True)), self.seconds


def predictions_of(line: Line | SentimentLine) -> dict[str, str]:
    """Return the answers of a line by their kind."""
    if isinstance(line, SentimentLine):
        return {} if line.sentiment is None else {"label": line.sentiment.label}
    triage = line.triage
    if not isinstance(triage, Triage):
        return {}
    return {"tier": triage.priority_tier, "category": triage.category, "action": triage.action}


def _take_all(noted: deque[T]) -> list[T]:
    """Take what is noted. Another thread may take some of it meanwhile, or note more."""
    taken: list[T] = []
    while noted:
        try:
            taken.append(noted.popleft())
        except IndexError:  # another thread has taken the last one
            break
    return taken


class Metrics:
    """The figures of one service, in a registry of their own. Every method may be called from
    any thread.
    """

    def __init__(self, monitor: SystemMonitor) -> None:
        """Count in a new registry, and tell the monitor of the process."""
        self.monitor = monitor
        monitor.add_source(self._settle)
        monitor.add_work(self._count_work)
        self.registry = CollectorRegistry()
        self._lock = Lock()
        self._seconds: dict[str, _Durations] = {}
        self.count_work: Callable[[], int] = lambda: 0
        """Returns the number of admitted requests that have not ended."""
        self._asked: deque[tuple[EndedRequest, str, str, int]] = deque()
        """Requests that are noted and not yet counted, with route, method and status."""
        self._answered: deque[AnsweredRecord] = deque()
        """Answers that are noted and not yet counted: their facts, since the lines themselves
        would keep their memory from the next ones.
        """
        self._counts: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in _COUNTERS}
        self.registry.register(self)
        self._latency: Counter[int] = Counter()
        """Requests by step of their latency."""
        self._requests: Counter[tuple[str, str, int]] = Counter()
        """Requests by route, method and status."""
        self._health = Gauge(
            "finops_health", "Health of the last minute, 0 to 100.", registry=self.registry
        )
        self._latency_ms = Gauge(
            "finops_latency_ms",
            "Latency of answers in milliseconds, by window and percentile.",
            ("window", "percentile"),
            registry=self.registry,
        )
        self._gauges = Gauge(
            "finops_gauge", "Values of the monitor, by name.", ("name",), registry=self.registry
        )

    def close(self) -> None:
        """Count what is noted, and let the monitor go."""
        self._settle()
        self.monitor.remove_source(self._settle)
        self.monitor.remove_work(self._count_work)

    def _count_work(self) -> int:
        return self.count_work()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        ended = EndedRequest(self.monitor.now(), seconds, status >= _OUR_FAULT)
        self._asked.append((ended, route, method, status))
        if len(self._asked) >= _NOTED:
            self._settle()

    def record(self, command: str, line: Line | SentimentLine) -> None:
        """Count one answer of the rules to `command`."""
        masked = line.pii if isinstance(line, SentimentLine) else line.provenance.masked or ()
        latency_ms, predictions = line.provenance.latency_ms, predictions_of(line)
        at = self.monitor.now()
        self._answered.append(
            AnsweredRecord(at, command, line.status, latency_ms, predictions, masked)
        )
        if len(self._answered) >= _NOTED:
            self._settle()

    def _settle(self) -> None:
        """Count what is noted: many at once, since code that runs in turns with an answer is not
        in the caches of the processor, and takes several times as long.
        """
        asked, answered = _take_all(self._asked), _take_all(self._answered)
        if not asked and not answered:
            return
        steps = self.monitor.count([ended for ended, *_ in asked], answered)
        records, predictions = self._counts["records"], self._counts["predictions"]
        with self._lock:
            for (ended, route, method, status), step in zip(asked, steps, strict=True):
                durations = self._seconds.get(route)
                if durations is None:
                    durations = self._seconds[route] = _Durations()
                durations.add(ended.seconds)
                self._requests[route, method, status] += 1
                self._latency[step] += 1
            for each in answered:
                records[each.command, each.status] += 1
                for prediction in each.predictions.items():
                    predictions[prediction] += 1

    def records(self, command: str, summary: RunSummary) -> None:
        """Count the lines of an answer to `command`."""
        self._settle()
        with self._lock:
            records, predictions = self._counts["records"], self._counts["predictions"]
            for status, count in summary.statuses.items():
                records[command, status] += count
            for kind, counts in (
                ("tier", summary.tiers),
                ("category", summary.categories),
                ("action", summary.actions),
                ("label", summary.labels),
            ):
                for value, count in counts.items():
                    predictions[kind, value] += count
        self.monitor.records(command, summary)

    def collect(self) -> Iterator[Metric]:
        """Yield the counts when somebody asks for them: to count is a sum in a dictionary."""
        self._settle()
        with self._lock:
            counts = {name: dict(found) for name, found in self._counts.items()}
            asked = dict(self._requests)
            seconds = {route: found.copy() for route, found in self._seconds.items()}
        requests = CounterMetricFamily(
            "finops_requests", "Requests by route, method and status.", labels=_REQUEST_LABELS
        )
        for (route, method, status), count in asked.items():
            requests.add_metric((route, method, str(status)), count)
        yield requests
        times = HistogramMetricFamily(
            "finops_request_seconds", "Time of a request in seconds.", labels=("route",)
        )
        for route, (buckets, total) in seconds.items():
            times.add_metric((route,), buckets, total)
        yield times
        for name, (text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(f"finops_{name}", text, labels=labels)
            for values, count in counts[name].items():
                family.add_metric(values, count)
            yield family
        yield GaugeMetricFamily("finops_requests_in_work", "Requests in work.", self.count_work())

    def _latency_and_statuses(self) -> tuple[Counter[int], Counter[int]]:
        """Return the requests by step of their latency, and by status."""
        self._settle()
        statuses: Counter[int] = Counter()
        with self._lock:
            latency, requests = self._latency.copy(), dict(self._requests)
        for (_, _, status), count in requests.items():
            statuses[status] += count
        return latency, statuses

    def prometheus(self) -> bytes:
        """Return the figures in the text format of Prometheus."""
        stats = self.monitor.stats()
        self._health.set(stats.health)
        for window, figures in (("minute", stats.minute), ("hour", stats.hour)):
            for percentile, value in figures.latency_ms.items():
                self._latency_ms.labels(window, percentile).set(
                    math.nan if value is None else value
                )
        for name, value in stats.gauges.items():
            self._gauges.labels(name).set(value)
        return generate_latest(self.registry)

    def figures(self) -> dict[str, Any]:
        """Return the figures as plain data; latencies in milliseconds, to within 1 %."""
        latency, statuses = self._latency_and_statuses()
        errors = sum(count for status, count in statuses.items() if status >= _OUR_FAULT)
        stats = self.monitor.stats()
        total = statuses.total()
        return {
            "requests": total,
            "error_rate_pct": round(100 * errors / total, 2) if total else 0.0,
            "latency_ms": {f"p{each}": percentile_ms(latency, each) for each in _PERCENTILES},
            "health": stats.health,
            "monitor": msgspec.to_builtins(stats),
            "records": stats.total.records,
            "statuses": stats.statuses,
            "predictions": stats.predictions,
        }

    def sample(self) -> dict[str, Any]:
        """Return the few figures that the other replicas show of this one."""
        latency, statuses = self._latency_and_statuses()
        return {
            "health": self.monitor.stats().health,
            "requests": statuses.total(),
            "errors": sum(count for status, count in statuses.items() if status >= _OUR_FAULT),
            "p95_ms": percentile_ms(latency, _SAMPLE_PERCENTILE),
        }
