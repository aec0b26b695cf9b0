"""Tell a monitor of one request or one answer."""

from __future__ import annotations

from collections.abc import Mapping

from finops_cli.monitoring.noted import AnsweredRecord, EndedRequest
from finops_cli.monitoring.system_monitor import SystemMonitor


def record_request(
    monitor: SystemMonitor, seconds: float, is_error: bool = False, at: float | None = None
) -> None:
    """Count a request that ended at the moment `at`; None: now."""
    monitor.count([EndedRequest(monitor.now() if at is None else at, seconds, is_error)])


def record_answer(
    monitor: SystemMonitor,
    status: str,
    latency_ms: float | None = None,
    predictions: Mapping[str, str] | None = None,
) -> None:
    """Count a record that is answered now."""
    answer = AnsweredRecord(monitor.now(), "run", status, latency_ms, predictions or {})
    monitor.count([], [answer])
