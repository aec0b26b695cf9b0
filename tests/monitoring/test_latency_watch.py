"""A latency spike is found by the minute, reported once, and written down with what explains it."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.recovery.incidents import BOARD
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.latency_watch import LatencyWatch, write_bundle
from finops_cli.monitoring.system_monitor import SystemMonitor
from tests.monitoring.test_system_monitor import Clock
from tests.support.monitors import record_answer

AT = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(kb: KnowledgeBase, clock: Clock) -> SystemMonitor:
    return SystemMonitor(kb, clock)


def spend_minutes(
    watch: LatencyWatch, monitor: SystemMonitor, clock: Clock, *latencies: float | None
) -> list[Event | None]:
    """Spend a minute for each latency, in which ten answers take so many milliseconds."""
    found = []
    for latency in latencies:
        for _ in range(10):
            if latency is not None:
                record_answer(monitor, "ok", latency)
                monitor.note_latency("F-1", "run", latency)
        clock.seconds += 60
        found.append(watch.look())
    return found


def test_spike_is_reported_once_after_two_minutes(
    kb: KnowledgeBase, monitor: SystemMonitor, clock: Clock, tmp_path: Path
) -> None:
    """Two minutes above three times the usual latency and above a second are a spike, one is not;
    it is reported once until it is over.
    """
    watch = LatencyWatch(monitor, kb.monitoring.spike, tmp_path / "diagnostics", lambda: AT)
    assert spend_minutes(watch, monitor, clock, 500, 510, 490) == [None] * 3
    assert spend_minutes(watch, monitor, clock, 1700, 490) == [None, None]
    quiet, spike, still, over, _, again, once_more = spend_minutes(
        watch, monitor, clock, 1700, 1700, 1800, 490, 500, 5000, 5000
    )
    assert (quiet, still, over, again) == (None, None, None, None)
    assert spike is not None
    assert spike.facts["p95_ms"] == pytest.approx(1700, rel=0.01)
    assert spike.facts["usual_p95_ms"] == pytest.approx(500, rel=0.05)
    assert once_more is not None
    assert monitor.stats().events == {"latency": 2}


@pytest.mark.parametrize(
    "latencies",
    [
        (10, 12, 11, 900, 900),
        (800, 800, 800, 1200, 1200),
        (None, None, 5000, 5000),
        (500, None, 5000, None, 5000),
    ],
)
def test_latency_that_is_no_spike_is_not_reported(
    kb: KnowledgeBase, monitor: SystemMonitor, clock: Clock, latencies: tuple[float | None, ...]
) -> None:
    """Below a second, below three times the usual, without a usual one, or not in a row: none."""
    watch = LatencyWatch(monitor, kb.monitoring.spike, None)
    assert set(spend_minutes(watch, monitor, clock, *latencies)) == {None}


def test_spike_is_told_where_no_bundle_can_be_written(
    kb: KnowledgeBase, monitor: SystemMonitor, clock: Clock, tmp_path: Path
) -> None:
    """A full disk, or a folder that cannot be made, costs the bundle and not the event."""
    (tmp_path / "file").touch()
    watch = LatencyWatch(monitor, kb.monitoring.spike, tmp_path / "file" / "folder")
    [*_, spike] = spend_minutes(watch, monitor, clock, 500, 500, 1700, 1700)
    assert spike is not None
    assert spike.facts["no_bundle"] == "Not a directory"
    assert monitor.stats().events == {"latency": 1}


def test_bundle_holds_what_may_explain_the_spike(
    kb: KnowledgeBase, monitor: SystemMonitor, tmp_path: Path
) -> None:
    """The bundle has the figures, the slow answers by their ids, the state of the backends and of
    the process; a backend that cannot be described does not spoil it.
    """

    def fail() -> None:
        raise OSError("no answer")

    monitor.note_latency("F-7", "run", 9000.0)
    monitor.note_latency("F-8", "run", 9.0)
    BOARD.add_probe("good", lambda: {"busy": 3})
    BOARD.add_probe("bad", fail)
    try:
        event = Event(event="latency", facts={"p95_ms": 9000.0})
        path = write_bundle(monitor, event, tmp_path / "d", kb.monitoring.spike, AT)
    finally:
        BOARD.remove_probe("bad", fail)
    bundle = json.loads(path.read_bytes())
    assert path.name == "20261129T083000.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each["id"] for each in bundle["slow_answers"]] == ["F-7"]
    assert bundle["backends"]["good"] == {"busy": 3}
    assert "no answer" in bundle["backends"]["bad"]
    assert bundle["process"]["rss_bytes"] > 1_000_000
    assert bundle["stats"]["health"] == 100


def test_only_the_newest_bundles_are_kept(
    kb: KnowledgeBase, monitor: SystemMonitor, tmp_path: Path
) -> None:
    """Of more bundles than kb monitor.latency_spike allows the oldest are deleted."""
    event = Event(event="latency", facts={})
    for minute in range(25):
        write_bundle(monitor, event, tmp_path, kb.monitoring.spike, AT.replace(minute=minute))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == kb.monitoring.spike["bundles"] == 20
    assert names[0] == "20261129T080500.json"
