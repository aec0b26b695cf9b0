"""What a run tells of itself: latencies, speed by a clock that is passed in, errors, and a health
whose parts add up.
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
    """Stands where it is put."""

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


def test_a_run_without_faults_is_healthy(kb: KnowledgeBase) -> None:
    """1,000 records in 50 seconds, all alike: 20 a second, health 100."""
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
def test_each_signal_takes_its_part_of_health(
    tally: RunSummary, penalties: dict[str, float], health: int, kb: KnowledgeBase
) -> None:
    """Evenly up to the limit in kb, then no more: 5 % errors of a limit of 10 % take half of 40."""
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


def test_a_run_that_slows_down_is_seen(kb: KnowledgeBase) -> None:
    """100 a second for 100 seconds, then 10 a second for a minute: the last minute tells, the
    average hides it.
    """
    fast, slow = a_tally(ok=10_000), a_tally(ok=10_600)
    stats = stats_at(kb, (100.0, fast), (130.0, a_tally(ok=10_300)), (160.0, slow))
    assert stats.recent_per_second == 10.0
    assert stats.per_second == 66.25
    assert stats.penalties["throughput"] == 10.0


def test_what_a_resumed_run_found_done_is_no_speed(kb: KnowledgeBase) -> None:
    """900 of 1,000 records stood there before: 100 in 10 seconds are 10 a second."""
    assert stats_at(kb, (10.0, a_tally(ok=1000)), found=a_tally(ok=900)).per_second == 10.0


def test_parts_of_a_run_add_up(kb: KnowledgeBase) -> None:
    """Latencies of two processes are those of one: tallies add, and a line that is replaced is
    taken away again.
    """
    one, two = a_tally((1.0, 2.0), ok=2), a_tally((500.0,), ok=1)
    one.add(two)
    one.add(two, sign=-1)
    assert stats_at(kb, (1.0, one)).latency_ms["p99"] == pytest.approx(2, rel=0.01)


def test_stats_are_written_beside_the_run(tmp_path: Path, finops: Finops) -> None:
    """Counts are those of the lines; rejected lines are errors; without timing there are no
    latencies.
    """
    stats = tmp_path / "stats.json"
    assert (
        finops(
            "run", EXAMPLES / "monday.jsonl", "--stats-json", stats, "-q", "--backend", "engine"
        ).returncode
        == 0
    )
    told = json.loads(stats.read_bytes())
    assert (told["records"], told["statuses"], told["tiers"]["CRITICAL"]) == (8, {"ok": 8}, 3)
    assert told["latency_ms"]["p50"] > 0
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
    told = json.loads(stats.read_bytes())
    assert (told["statuses"], told["error_rate_pct"], told["latency_ms"]["p95"]) == (
        {"ok": 1, "rejected": 2},
        66.67,
        None,
    )
    assert told["health"] == 0


def test_stats_do_not_overwrite_what_is_read_or_written(tmp_path: Path, finops: Finops) -> None:
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


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_stats_do_not_replace_what_a_stream_goes_into(stream: str, tmp_path: Path) -> None:
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


def test_stats_that_cannot_be_written_hide_no_other_error(tmp_path: Path, finops: Finops) -> None:
    """A run that is refused says why, and leaves the stats of the run before."""
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


def test_stats_may_go_into_a_pipe(tmp_path: Path, finops: Finops) -> None:
    """It is written to, never replaced by a file; so is a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        told = reader.submit(pipe.read_bytes)
        done = finops(
            "run", EXAMPLES / "monday.jsonl", "--stats-json", pipe, "-q", "--backend", "engine"
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(told.result(timeout=30))["records"] == 8
    assert pipe.is_fifo()


def test_stats_are_due_every_few_seconds(kb: KnowledgeBase) -> None:
    """Not at once, then after five seconds each time, however often it is asked."""
    clock = Clock()
    monitor = Monitor(clock, kb.evaluation)
    due = []
    for second in range(1, 13):
        clock.seconds = 100.0 + second
        monitor.update(a_tally(ok=second), 1)
        due.append(monitor.is_due())
    assert [second for second, is_due in enumerate(due, start=1) if is_due] == [5, 10]
