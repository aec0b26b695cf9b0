"""The counts of a service, which are made when many have gathered or when somebody asks."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finops_cli.commands.serve_start import show_ready
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.monitoring.system_monitor import SystemMonitor
from finops_cli.pipeline.output import Line, Provenance, Verification
from finops_cli.service.config import ServeConfig
from finops_cli.service.metrics import Metrics
from finops_cli.service.requests import new_request_id
from tests.monitoring.test_system_monitor import Clock


@pytest.fixture
def monitor() -> SystemMonitor:
    return SystemMonitor(load_kb(bundled_kb_dir()))


def test_request_counts_in_each_figure_at_once(monitor: SystemMonitor) -> None:
    """One request is in the figures, in the text for Prometheus and in the monitor."""
    metrics = Metrics(monitor)
    for count in (1, 2):
        metrics.request("/v1/triage", "POST", 200, 0.01)
        assert monitor.stats().total.requests == count
        assert metrics.figures()["requests"] == count
        assert f'status="200"}} {count}.0' in metrics.prometheus().decode()


def test_late_count_is_in_the_minute_of_its_moment() -> None:
    """Requests and answers that wait to be counted are those of the minute in which they ended."""
    clock = Clock()
    monitor = SystemMonitor(load_kb(bundled_kb_dir()), clock)
    metrics = Metrics(monitor)
    provenance = Provenance("engine", {}, "kb", None, 1, None)
    line = Line(fail_id="F-1", status="ok", verification=Verification(), provenance=provenance)
    for _ in range(3):
        metrics.record("run", line)
        metrics.request("/v1/run", "POST", 200, 0.01)
        clock.seconds += 60
    found = [(each.requests, each.records) for each in monitor.minutes()]
    assert found == [(1, 1), (1, 1), (1, 1), (0, 0)]


def test_counts_of_many_threads_lose_nothing(monitor: SystemMonitor) -> None:
    """Threads that note and read at the same time count each request once."""
    metrics = Metrics(monitor)

    def note(number: int) -> None:
        for _ in range(500):
            metrics.request("/v1/run", "POST", 500 if number else 200, 0.01)
            if number == 3:
                metrics.sample()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note, range(4)))
    assert metrics.sample()["requests"] == monitor.stats().total.requests == 2000
    assert metrics.sample()["errors"] == 1500


def test_closed_metrics_leave_the_monitor(monitor: SystemMonitor) -> None:
    """The monitor outlives a service: it has its counts, and asks it no more."""
    metrics = Metrics(monitor)
    metrics.request("/v1/run", "POST", 200, 0.01)
    metrics.close()
    metrics.request("/v1/run", "POST", 200, 0.01)
    assert monitor.stats().total.requests == 1


def test_names_of_requests_are_not_used_twice() -> None:
    """Names are drawn many at once, and each is new."""
    names = {new_request_id() for _ in range(1000)}
    assert len(names) == 1000
    assert {len(name) for name in names} == {26}


def test_ready_service_looks_for_garbage(tmp_path: Path) -> None:
    """Garbage is not looked for during the start, and is from then on."""
    gc.disable()
    try:
        show_ready(ServeConfig(data=tmp_path), None)
        assert gc.isenabled()
    finally:
        gc.enable()
