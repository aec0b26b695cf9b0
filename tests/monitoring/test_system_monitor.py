"""The monitor of the process: exact counts from many threads, windows by an injected clock."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.monitoring.system_monitor import SystemMonitor, system_monitor
from tests.support.monitors import record_answer, record_request
from tests.support.program import EXAMPLES, Finops
from tests.support.soak import scaled

LONGEST_WAIT_SECONDS = 30.0


class Clock:
    """A clock that shows the seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(kb: KnowledgeBase, clock: Clock) -> SystemMonitor:
    return SystemMonitor(kb, clock)


def count_in_threads(monitor: SystemMonitor, threads: int, each: int) -> None:
    """Tell the monitor of `each` records from each thread, while another thread reads it."""
    stopped = Signal()

    def read() -> None:
        while not stopped.is_set():
            stats = monitor.stats()
            assert sum(stats.statuses.values()) == stats.total.records

    def tell(number: int) -> None:
        for place in range(each):
            status = "failed" if place % 10 == 0 else "ok"
            record_answer(monitor, status, number + 1.0, {"tier": "LOW" if place % 2 else "HIGH"})
            record_request(monitor, 0.001, is_error=place % 100 == 0)

    reader = Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(tell, range(threads)))
    stopped.set()
    reader.join()


def assert_exact(monitor: SystemMonitor, records: int) -> None:
    stats = monitor.stats()
    assert stats.total.records == stats.total.requests == records
    assert stats.statuses == {"failed": records // 10, "ok": records - records // 10}
    assert stats.predictions == {"tier": {"LOW": records // 2, "HIGH": records // 2}}
    assert stats.commands == {"run": records}
    assert stats.minute.records == records


@pytest.mark.slow
def test_counts_of_many_threads_are_exact(monitor: SystemMonitor) -> None:
    """No record and no request is lost or counted twice, while another thread reads: of eight
    threads with 10,000 records each (100,000 in `just soak`: service specification, 4).
    """
    each = scaled(10_000, 100_000)
    count_in_threads(monitor, 8, each)
    assert_exact(monitor, 8 * each)


def test_percentiles_are_within_one_percent(monitor: SystemMonitor) -> None:
    """p50, p95 and p99 of 1 to 1,000 ms are those of the list, to within 1 %."""
    for latency in range(1, 1001):
        record_answer(monitor, "ok", float(latency))
    found = monitor.stats().minute.latency_ms
    for name, due in (("p50", 500), ("p95", 950), ("p99", 990)):
        assert found[name] == pytest.approx(due, rel=0.01)


def test_windows_forget_what_is_older(monitor: SystemMonitor, clock: Clock) -> None:
    """The minute forgets after 60 seconds, the hour after 60 minutes, the total never."""
    record_answer(monitor, "ok")
    seen = []
    for seconds in (0, 59, 60, 3599, 3600):
        clock.seconds = 50.0 + seconds
        stats = monitor.stats()
        seen.append((stats.minute.records, stats.hour.records, stats.total.records))
    assert seen == [(1, 1, 1), (1, 1, 1), (0, 1, 1), (0, 1, 1), (0, 0, 1)]


def test_throughput_is_counted_per_second(monitor: SystemMonitor, clock: Clock) -> None:
    """120 records in two minutes are two a second in the last one, and one over the whole."""
    clock.seconds += 60
    for _ in range(120):
        record_answer(monitor, "ok")
    clock.seconds += 60
    stats = monitor.stats()
    assert (stats.total.records_per_second, stats.hour.records_per_second) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("statuses", "errors", "health"),
    [
        ({"ok": 100}, 0.0, 100),
        ({"ok": 95, "failed": 5}, 5.0, 50),
        ({"ok": 80, "rejected": 20}, 20.0, 0),
        ({"ok": 50, "repaired": 25, "fallback": 25}, 0.0, 70),
    ],
)
def test_health_loses_points_for_errors(
    monitor: SystemMonitor, statuses: dict[str, int], errors: float, health: int
) -> None:
    """The health is 100 minus the penalties of kb monitor.health, of the last minute."""
    summary = RunSummary()
    summary.statuses.update(statuses)
    monitor.records("run", summary)
    stats = monitor.stats()
    assert (stats.minute.error_rate_pct, stats.health) == (errors, health)


def test_health_recovers_when_the_minute_is_over(monitor: SystemMonitor, clock: Clock) -> None:
    """A minute after the last error the health is 100 again."""
    record_request(monitor, 0.1, is_error=True)
    assert monitor.stats().health == 0
    clock.seconds += 60
    assert monitor.stats().health == 100


def test_health_loses_points_for_a_latency_spike(monitor: SystemMonitor) -> None:
    """A 95th percentile far above the median costs the whole penalty of the latency."""
    for latency in [1.0] * 90 + [1000.0] * 10:
        record_answer(monitor, "ok", latency)
    assert monitor.stats().penalties["latency"] == 20.0


def test_throughput_counts_only_while_something_is_in_work(
    monitor: SystemMonitor, clock: Clock
) -> None:
    """A minute without answers costs health while a run is in work; an idle service is well."""
    for _ in range(3):
        clock.seconds += 60
        record_answer(monitor, "ok")
    clock.seconds += 120
    assert monitor.stats().health == 100
    with monitor.work():
        stats = monitor.stats()
        assert (stats.in_work, stats.penalties["throughput"]) == (1, 10.0)
    assert monitor.stats().in_work == 0


def test_requests_of_a_service_are_work(monitor: SystemMonitor) -> None:
    """The work that others count is work as long as they count it."""
    requests = [1, 1]

    def count() -> int:
        assert not monitor._lock.locked(), "another thread would wait for it"
        return len(requests)

    monitor.add_work(count)
    with monitor.work():
        assert monitor.stats().in_work == 3
    requests.pop()
    assert monitor.stats().in_work == 1
    monitor.remove_work(count)
    assert monitor.stats().in_work == 0


def test_summary_of_a_batch_is_added(monitor: SystemMonitor) -> None:
    """The counts of a summary are added: predictions by kind, masked kinds, failures of models."""
    summary = RunSummary()
    summary.statuses.update(ok=3)
    summary.tiers.update(HIGH=2)
    summary.labels.update(negative=1)
    summary.masked.update(US_SSN=1)
    summary.server.update({"reply.busy": 2})
    summary.latency.update([step_of(10.0)])
    monitor.records("run", summary)
    monitor.records("run", summary)
    stats = monitor.stats()
    assert stats.predictions == {"tier": {"HIGH": 4}, "label": {"negative": 2}}
    assert (stats.masked, stats.server) == ({"US_SSN": 2}, {"reply.busy": 4})
    assert stats.minute.latency_ms["p95"] == pytest.approx(10.0, rel=0.01)


def test_callback_gets_its_events_in_order(monitor: SystemMonitor) -> None:
    """A registered callback gets each event of its name, in order; one that raises is counted and
    stops neither the others nor the caller.
    """
    seen: list[int] = []

    def fail(event: Event) -> None:
        raise ValueError(event)

    monitor.register("drift", fail)
    monitor.register("drift", lambda event: seen.append(event.facts["number"]))
    for number in range(100):
        monitor.report(Event(event="drift", facts={"number": number}))
        monitor.report(Event(event="latency", facts={"number": -1}))
    assert monitor.drain(LONGEST_WAIT_SECONDS)
    assert seen == list(range(100))
    stats = monitor.stats()
    assert stats.events == {"drift": 100, "latency": 100}
    assert stats.gauges == {"hook_failures": 100}


def test_callback_that_hangs_delays_nobody(monitor: SystemMonitor) -> None:
    """A callback that does not return delays neither the report nor another callback."""
    released, seen = Signal(), Signal()
    monitor.register("drift", lambda _: released.wait(LONGEST_WAIT_SECONDS))
    monitor.register("drift", lambda _: seen.set())
    monitor.report(Event(event="drift", facts={}))
    assert seen.wait(LONGEST_WAIT_SECONDS)
    assert not monitor.drain(0.01)
    released.set()
    assert monitor.drain(LONGEST_WAIT_SECONDS)


def test_unregistered_callback_is_not_called(monitor: SystemMonitor) -> None:
    """After `unregister` a callback gets no further event."""
    seen: Counter[str] = Counter()

    def note(event: Event) -> None:
        seen[event.event] += 1

    monitor.register("oom", note)
    monitor.report(Event(event="oom", facts={}))
    assert monitor.drain(LONGEST_WAIT_SECONDS)
    monitor.unregister("oom", note)
    monitor.report(Event(event="oom", facts={}))
    assert monitor.drain(LONGEST_WAIT_SECONDS)
    assert seen == {"oom": 1}


@pytest.mark.parametrize(
    ("command", "source", "kind"),
    [
        (("run", "--backend", "engine"), EXAMPLES / "monday.jsonl", "tier"),
        pytest.param(
            ("run", "--backend", "engine", "--workers", "2"),
            EXAMPLES / "monday.jsonl",
            "tier",
            marks=pytest.mark.slow,
        ),
        (
            ("sentiment", "--backend", "baseline", "--guard", "off"),
            EXAMPLES / "sentiment/texts.jsonl",
            "label",
        ),
    ],
)
def test_run_tells_the_monitor_of_the_process(
    finops: Finops, command: tuple[str, ...], source: Path, kind: str
) -> None:
    """Each record of a run is counted by `system_monitor()`, which is one for the process."""
    records = len(source.read_bytes().splitlines())
    before = system_monitor().stats()
    finops(*command, source, "-q")
    after = system_monitor().stats()
    name = command[0]
    assert after.commands[name] - before.commands.get(name, 0) == records
    assert system_monitor() is system_monitor()
    answers = sum(after.predictions[kind].values())
    assert answers - sum(before.predictions.get(kind, {}).values()) == records
    assert after.in_work == before.in_work


def test_noted_counts_are_in_every_figure(monitor: SystemMonitor, clock: Clock) -> None:
    """A noted request is counted when figures are read, at the moment that it happened."""
    noted = [monitor.now()]

    def count() -> None:
        while noted:
            record_request(monitor, 0.1, at=noted.pop())

    monitor.add_source(count)
    clock.seconds += 61
    stats = monitor.stats()
    assert (stats.minute.requests, stats.hour.requests) == (0, 1)
    noted.append(monitor.now())
    assert sum(each.requests for each in monitor.minutes()) == 2
    monitor.remove_source(count)
    noted.append(monitor.now())
    assert monitor.stats().total.requests == 2
