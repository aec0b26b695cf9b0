"""The monitor of a run: latencies, throughput by an injected clock, errors, and a health score that
is the sum of its parts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.latencies import step_of
from finops_cli.monitoring.monitor import Monitor, Stats
from finops_cli.monitoring.run_summary import RunSummary
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl


class Clock:
    """A clock that shows the seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def stats_at(
    kb: KnowledgeBase, *marks: tuple[float, RunSummary], found: RunSummary | None = None
) -> Stats:
    """The stats of a run that comes to each tally after so many seconds; `found`: what a resumed
    run found done.
    """
    clock = Clock()
    monitor = Monitor(clock, kb.evaluation)
    if found is not None:
        monitor.update(found, 0)
    for seconds, tally in marks:
        clock.seconds = 100.0 + seconds
        monitor.update(tally, 1)
    return monitor.stats()


def a_tally(latencies: tuple[float, ...] = (), **statuses: int) -> RunSummary:
    tally = RunSummary()
    tally.statuses.update(statuses)
    tally.latency.update(map(step_of, latencies))
    return tally


def test_monitor_of_a_run_without_errors_shows_health_100(kb: KnowledgeBase) -> None:
    """A run of 1,000 good records in 50 seconds shows 20 records a second and a health of 100."""
    stats = stats_at(kb, (50.0, a_tally((10.0,) * 1000, ok=1000)))
    assert (stats.per_second, stats.health, stats.error_rate_pct) == (20.0, 100, 0.0)
    assert stats.latency_ms["p50"] == stats.latency_ms["p99"] == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    ("tally", "penalties", "health"),
    [
        (a_tally(ok=95, failed=5), {"errors": 50.0}, 50),
        (a_tally(ok=50, rejected=50), {"errors": 100.0}, 0),
        (a_tally(ok=75, repaired=15, fallback=10), {"replaced": 15.0}, 85),
        (a_tally((10.0,) * 90 + (500.0,) * 10, ok=100), {"latency": 20.0}, 80),
        (
            a_tally((1.0,) * 50 + (900.0,) * 50, failed=60, fallback=40),
            {"errors": 100.0, "replaced": 24.0, "latency": 20.0},
            0,
        ),
    ],
)
def test_monitor_health_loses_the_penalty_of_each_signal(
    tally: RunSummary, penalties: dict[str, float], health: int, kb: KnowledgeBase
) -> None:
    """Each signal reduces the health in proportion up to its limit in kb. With a limit of 10 %, 5 %
    of errors cost half of the penalty.
    """
    stats = stats_at(kb, (10.0, tally))
    assert (
        stats.penalties
        == {
            "errors": 0.0,
            "replaced": 0.0,
            "latency": 0.0,
            "throughput": 0.0,
        }
        | penalties
    )
    assert stats.health == health


def test_monitor_penalises_a_run_that_slows_down(kb: KnowledgeBase) -> None:
    """The throughput of the last minute lowers the health of a run that slows down, although the
    average is high.
    """
    fast, slow = a_tally(ok=10_000), a_tally(ok=10_600)
    stats = stats_at(kb, (100.0, fast), (130.0, a_tally(ok=10_300)), (160.0, slow))
    assert stats.recent_per_second == 10.0
    assert stats.per_second == 66.25
    assert stats.penalties["throughput"] == 10.0


def test_monitor_of_a_resumed_run_ignores_earlier_records(kb: KnowledgeBase) -> None:
    """The throughput of a resumed run does not count the records of the run before."""
    assert stats_at(kb, (10.0, a_tally(ok=1000)), found=a_tally(ok=900)).per_second == 10.0


def test_run_summaries_add_and_subtract_latencies(kb: KnowledgeBase) -> None:
    """Summaries of two processes can be added, and a summary can be subtracted again."""
    one, two = a_tally((1.0, 2.0), ok=2), a_tally((500.0,), ok=1)
    one.add(two)
    one.add(two, sign=-1)
    assert stats_at(kb, (1.0, one)).latency_ms["p99"] == pytest.approx(2, rel=0.01)


def test_stats_json_has_counts_latencies_and_health(tmp_path: Path, finops: Finops) -> None:
    """`--stats-json` writes the counts of the run and counts rejected lines as errors. Without
    timing it has no latencies.
    """
    stats = tmp_path / "stats.json"
    assert (
        finops(
            "run", EXAMPLES / "monday.jsonl", "--stats-json", stats, "-q", "--backend", "engine"
        ).returncode
        == 0
    )
    written = json.loads(stats.read_bytes())
    assert (written["records"], written["statuses"], written["tiers"]["CRITICAL"]) == (
        8,
        {"ok": 8},
        3,
    )
    assert written["latency_ms"]["p50"] > 0
    given = jsonl(a_fail(), a_fail(fail_id="F-2", age_days=-1), a_fail())
    done = finops(
        "triage",
        "-",
        "--stats-json",
        stats,
        "-q",
        "--backend",
        "engine",
        "--no-timing",
        stdin=given,
    )
    assert done.returncode == 1
    written = json.loads(stats.read_bytes())
    assert (written["statuses"], written["error_rate_pct"], written["latency_ms"]["p95"]) == (
        {"ok": 1, "rejected": 2},
        66.67,
        None,
    )
    assert written["health"] == 0


def test_stats_json_refuses_to_overwrite_input_or_output(tmp_path: Path, finops: Finops) -> None:
    """`--stats-json` is refused for the input, the output, the output's run note and stdout."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(a_fail()))
    output = tmp_path / "out.jsonl"  # not there yet
    for stats in (
        fails,
        output,
        tmp_path / "out.jsonl.run.json",
        tmp_path / "." / "out.jsonl",
        "-",
    ):
        done = finops("triage", fails, "-o", output, "--stats-json", stats, "--backend", "engine")
        assert done.returncode == 2, stats
        assert fails.read_bytes() == jsonl(a_fail())
        assert [file.name for file in tmp_path.iterdir()] == ["fails.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_stats_json_refuses_the_target_of_a_stream(stream: str, tmp_path: Path) -> None:
    """`--stats-json` is refused for a file that stdout or stderr writes to."""
    file = tmp_path / "log"
    call = [
        sys.executable,
        "-m",
        "finops_cli",
        "run",
        EXAMPLES / "monday.jsonl",
        "--backend",
        "engine",
        "--stats-json",
        file,
    ]
    for path in (file, f"/dev/{stream}"):
        with file.open("wb") as out:
            done = subprocess.run(
                [*call[:-1], path],
                stdout=out if stream == "stdout" else None,
                stderr=out,
                check=False,
            )
        assert done.returncode == 2
        assert f"{stream} goes there".encode() in file.read_bytes()


def test_refused_run_keeps_the_stats_of_the_previous_run(tmp_path: Path, finops: Finops) -> None:
    """A refused run reports its own error and leaves the stats file of the previous run
    unchanged.
    """
    output, stats = tmp_path / "out.jsonl", tmp_path / "stats.json"
    call = (
        "triage",
        EXAMPLES / "monday.jsonl",
        "-o",
        output,
        "--backend",
        "engine",
        "--stats-json",
    )
    assert finops(*call, stats).returncode == 0
    before = stats.read_bytes()
    for path in (stats, "/dev/full"):
        done = finops(*call, path, "--resume", "--no-timing")
        assert (done.returncode, b"cannot resume" in done.stderr) == (2, True), done.stderr
    assert stats.read_bytes() == before


def test_stats_json_writes_into_a_named_pipe(tmp_path: Path, finops: Finops) -> None:
    """`--stats-json` writes into a named pipe and does not replace it by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        written = reader.submit(pipe.read_bytes)
        done = finops(
            "run", EXAMPLES / "monday.jsonl", "--stats-json", pipe, "-q", "--backend", "engine"
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(written.result(timeout=30))["records"] == 8
    assert pipe.is_fifo()


def test_monitor_update_is_due_every_five_seconds(kb: KnowledgeBase) -> None:
    """The monitor is due after each five seconds, and not at the start."""
    clock = Clock()
    monitor = Monitor(clock, kb.evaluation)
    due = []
    for second in range(1, 13):
        clock.seconds = 100.0 + second
        monitor.update(a_tally(ok=second), 1)
        due.append(monitor.is_due())
    assert [second for second, is_due in enumerate(due, start=1) if is_due] == [5, 10]
