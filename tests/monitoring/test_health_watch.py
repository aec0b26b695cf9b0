"""Health below its limit is reported once, and again only after it was well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, FixedText
from finops_cli.errors import KnowledgeError
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.health_watch import HealthWatch
from finops_cli.monitoring.system_monitor import SystemMonitor
from tests.monitoring.test_hooks import write_hooks, write_program
from tests.monitoring.test_system_monitor import Clock
from tests.support.monitors import record_answer
from tests.support.own_kb import change_kb
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl


def answer(monitor: SystemMonitor, failed: int, good: int) -> None:
    for number in range(failed + good):
        record_answer(monitor, "failed" if number < failed else "ok", 10)


def test_low_health_is_reported_once_until_it_was_well(kb: KnowledgeBase) -> None:
    """Half of the answers lost is below 70; it is reported once, and again after a good minute."""
    clock = Clock()
    monitor = SystemMonitor(kb, clock)
    watch = HealthWatch(monitor, kb.monitoring.health_alarm)
    answer(monitor, 20, 20)
    event = watch.look()
    assert event is not None
    assert event.facts["health"] < event.facts["below"] == 70
    assert (event.facts["answers"], event.facts["errors_points"] > 30) == (40, True)
    clock.seconds += 1
    answer(monitor, 20, 0)
    assert watch.look() is None
    clock.seconds += 120
    answer(monitor, 0, 40)
    assert watch.look() is None
    clock.seconds += 120
    answer(monitor, 40, 0)
    assert watch.look() is not None
    assert monitor.stats().events == {"health_below": 2}


def test_few_answers_and_the_same_second_say_nothing(kb: KnowledgeBase) -> None:
    """Nineteen lost answers are too few; a second look in a second is for the end alone."""
    clock = Clock()
    monitor = SystemMonitor(kb, clock)
    watch = HealthWatch(monitor, kb.monitoring.health_alarm)
    answer(monitor, 19, 0)
    assert watch.look() is None
    answer(monitor, 1, 0)
    assert watch.look() is None
    assert watch.look(is_end=True) is not None
    assert watch.look(is_end=True) is None


def test_run_tells_its_hooks_of_low_health(
    finops: Finops, tmp_path: Path, server: FakeOllama
) -> None:
    """A model whose answers are all lost ends with the event health_below at the hook."""
    server.script = lambda _: FixedText("no JSON")
    told = tmp_path / "told"
    body = f"import sys\nopen({str(told)!r}, 'a').write(sys.stdin.read() + '\\n')"
    program = write_program(tmp_path / "program", body)
    hook = {"command": [str(program)], "events": ["health_below"]}
    hooks = write_hooks(tmp_path / "hooks.toml", hook)
    fails = jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(30)))
    done = finops(
        "triage", "-", "--backend", "ollama", "--host", server.url, "--guard", "off",
        "--on-violation", "reject", "--hooks", hooks, "-q", stdin=fails,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    [event] = [json.loads(line) for line in told.read_text().splitlines()]
    assert event["event"] == "health_below"
    assert event["facts"]["errors_points"] > 0


def test_rearm_below_the_limit_is_refused(tmp_path: Path) -> None:
    """A rule by which health would be well below its limit is refused."""
    own = change_kb(tmp_path, "monitoring.toml", "below = 70", "below = 90")
    with pytest.raises(KnowledgeError, match="health_alarm: rearm"):
        load_kb(own)
