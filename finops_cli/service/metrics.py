"""Counts of the process, for `/metrics`: requests, answers, and their latencies."""

from __future__ import annotations

import math
from collections import Counter
from threading import Lock
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from finops_cli.monitoring.latencies import percentile_ms, step_of
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.monitoring.system_monitor import SystemMonitor

PROMETHEUS = CONTENT_TYPE_LATEST
_PERCENTILES = (50, 95, 99)
_SAMPLE_PERCENTILE = 95
_MS = 1000
_OUR_FAULT = 500


class Metrics:
    """The figures of one service, in a registry of their own. Every method may be called from
    any thread.
    """

    def __init__(self, monitor: SystemMonitor) -> None:
        """Count in a new registry, and tell the monitor of the process."""
        self._monitor = monitor
        self.registry = CollectorRegistry()
        self._lock = Lock()
        self._children: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._latency: Counter[int] = Counter()
        self._statuses: Counter[int] = Counter()
        self._requests = PrometheusCounter(
            "finops_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "finops_request_seconds",
            "Time of a request in seconds.",
            ("route",),
            registry=self.registry,
        )
        self._records = PrometheusCounter(
            "finops_records",
            "Answered records by command and status.",
            ("command", "status"),
            registry=self.registry,
        )
        self._predictions = PrometheusCounter(
            "finops_predictions",
            "Answers by kind (tier, category, action) and value.",
            ("kind", "value"),
            registry=self.registry,
        )
        self._in_work = Gauge(
            "finops_requests_in_work", "Requests in work.", registry=self.registry
        )
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

    def begin(self) -> None:
        """Count a request that is admitted."""
        self._in_work.inc()
        self._monitor.begin()

    def end(self) -> None:
        """Count an admitted request that has ended."""
        self._in_work.dec()
        self._monitor.end()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._child(self._requests, route, method, str(status)).inc()
        self._child(self._seconds, route).observe(seconds)
        self._monitor.request(seconds, is_error=status >= _OUR_FAULT)
        with self._lock:
            self._statuses[status] += 1
            self._latency[step_of(seconds * _MS)] += 1

    def _child(self, metric: Any, *labels: str) -> Any:
        """Return the child of a metric for its labels; looking it up there takes microseconds."""
        key = (id(metric), labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        return self._children[key]

    def records(self, command: str, summary: RunSummary) -> None:
        """Count the lines of an answer to `command`."""
        for status, count in summary.statuses.items():
            self._child(self._records, command, status).inc(count)
        for kind, counts in (
            ("tier", summary.tiers),
            ("category", summary.categories),
            ("action", summary.actions),
        ):
            for value, count in counts.items():
                self._child(self._predictions, kind, value).inc(count)
        self._monitor.records(command, summary)

    def prometheus(self) -> bytes:
        """Return the figures in the text format of Prometheus."""
        stats = self._monitor.stats()
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
        with self._lock:
            latency, statuses = self._latency.copy(), self._statuses.copy()
        errors = sum(count for status, count in statuses.items() if status >= _OUR_FAULT)
        stats = self._monitor.stats()
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
        with self._lock:
            latency, statuses = self._latency.copy(), self._statuses.copy()
        return {
            "health": self._monitor.stats().health,
            "requests": statuses.total(),
            "errors": sum(count for status, count in statuses.items() if status >= _OUR_FAULT),
            "p95_ms": percentile_ms(latency, _SAMPLE_PERCENTILE),
        }
