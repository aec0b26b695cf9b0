"""The pages of the monitor and of the audit log."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest
from msgspec import structs

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.system_monitor import SystemMonitor
from finops_cli.service.desk.audit_page import ACTIONS, view_entry
from finops_cli.service.desk.charts import HEIGHT, WIDTH, draw_bars, draw_lines, round_up
from finops_cli.service.desk.monitor_page import (
    PENALTY_WORDS,
    ReplicaRow,
    view_monitor,
    view_replicas,
    write_ago,
    write_milliseconds,
)
from finops_cli.service.desk.wording import NOTHING
from finops_cli.service.store.audit import AuditEntry
from finops_cli.service.store.replicas import Replica
from finops_cli.service.store.sqlite import DATABASE_FILE
from tests.desk.conftest import sign_in
from tests.service.conftest import Server
from tests.support.monitors import record_request

slow = pytest.mark.slow
KB = load_kb(bundled_kb_dir())
MORNING = "2026-11-27T08:00:00+00:00"


class Hand:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_monitor() -> tuple[SystemMonitor, Hand]:
    hand = Hand()
    return SystemMonitor(KB, hand), hand


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (42, 50), (500, 500), (501, 1000)]
)
def test_top_of_a_chart_is_a_round_number(value: float, top: float) -> None:
    """The top is 1, 2 or 5 times a power of ten, and never below the highest value."""
    assert round_up(value) == pytest.approx(top)


def test_bars_are_in_the_drawing_and_in_proportion() -> None:
    """The highest bar reaches its value on the axis; a minute without records has none."""
    chart = draw_bars("Records", "records", [0, 50, 100])
    assert len(chart.bars) == 2
    assert chart.bars[1].height == pytest.approx(2 * chart.bars[0].height, rel=0.01)
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH
        assert bar.y + bar.height == pytest.approx(HEIGHT - 22, abs=0.2)
    assert chart.summary == "Records: at most 100 records, now 100 records"


def test_line_is_interrupted_where_nothing_is_known() -> None:
    """A minute without an answer breaks the line; the last known value is given in words."""
    chart = draw_lines("Latency", "ms", {"p50": [1.0, None, 3.0, 4.0], "p95": [None] * 4})
    assert re.findall("[ML]", chart.lines[0].path) == ["M", "M", "L"]
    assert chart.lines[1].path == ""
    assert chart.summary == "Latency, the last known: p50 4 ms, p95 none ms"


def test_minutes_are_those_of_the_last_hour() -> None:
    """Each minute has its own figures, one without requests too, and the old ones go."""
    monitor, hand = a_monitor()
    for minute, requests in ((0, 1), (2, 3), (70, 2)):
        hand.now = minute * 60.0
        for _ in range(requests):
            record_request(monitor, 0.02)
    found = monitor.minutes()
    assert len(found) == KB.monitoring.windows["minutes"]
    assert [each.requests for each in found if each.requests] == [2]
    assert found[-1].minutes_ago == 0
    assert found[-1].latency_ms["p50"] == pytest.approx(20, rel=0.02)


def test_last_events_are_kept_with_their_age() -> None:
    """The page knows the last events, the newest first, and how long ago they were."""
    monitor, hand = a_monitor()
    monitor.report(Event(event="oom", facts={"model": "triage", "rung": "restart"}))
    hand.now = 90.0
    monitor.report(Event(event="recovered", facts={"model": "triage"}))
    view = view_monitor(monitor.stats(), monitor.minutes(), monitor.past_events())
    assert [(each.ago, each.said) for each in view.events] == [
        ("0 s ago", "A model works again"),
        ("1 min ago", "A model ran out of memory"),
    ]
    assert view.events[1].facts == "model triage, rung restart"
    assert view.recoveries == (("restart", 1),)
    for _ in range(50):
        monitor.report(Event(event="job_done", facts={}))
    assert len(monitor.past_events()) == 20


def test_page_names_what_costs_health() -> None:
    """Failed requests lower the health, and the page says so in words."""
    monitor, hand = a_monitor()
    hand.now = 5.0
    for _ in range(10):
        record_request(monitor, 0.01, is_error=True)
    stats = monitor.stats()
    view = view_monitor(stats, monitor.minutes(), [])
    assert view.health_class == "health-bad"
    assert view.penalties[0][0] == PENALTY_WORDS["errors"]
    assert set(stats.penalties) <= set(PENALTY_WORDS)


def test_times_are_written_for_people() -> None:
    """Latencies and ages have the precision that a person needs."""
    assert [write_milliseconds(each) for each in (None, 0.84, 18.4, 2920.0)] == [
        "\N{EN DASH}",
        "0.8 ms",
        "18 ms",
        "2,920 ms",
    ]
    assert [write_ago(each) for each in (5, 130, 7_300, 200_000)] == [
        "5 s ago",
        "2 min ago",
        "2 h ago",
        "2 d ago",
    ]


def an_entry(**fields: Any) -> AuditEntry:
    given: dict[str, Any] = {"seq": 1, "at": "", "who": "anna", "role": "analyst", "prev": ""}
    given |= {"action": "view", "subject": "", "request_id": "r", "details": {}, "hash": ""}
    return AuditEntry(**given | fields)


@pytest.mark.parametrize(
    ("subject", "link"),
    [("job-3", "/jobs/job-3"), ("job-3.17", "/fails/job-3.17"), ("file-1", None), ("", None)],
)
def test_entry_leads_to_its_fail_or_job(subject: str, link: str | None) -> None:
    """An entry about a fail or a job leads to its page."""
    assert view_entry(an_entry(subject=subject)).link == link


def test_details_of_an_entry_are_one_line() -> None:
    """Details are shown as JSON, without control characters."""
    row = view_entry(an_entry(details={"filter": {"q": "\x1b[2J<b>"}}))
    assert "\x1b" not in row.details
    assert row.said == ACTIONS["view"]


def test_services_of_a_shared_database_are_listed() -> None:
    """Each has the figures that it gave last, also a new one that gave none; a service that has
    its database alone is not listed.
    """
    new = Replica(id="a", name="box:8765", began=MORNING, rules="r", beat=0, sample={})
    sample = {"health": 97, "requests": 1200, "errors": 3, "p95_ms": 12.4}
    old = structs.replace(new, name="box:8766", sample=sample)
    assert view_replicas([new]) == ()
    assert view_replicas([new, old]) == (
        ReplicaRow("box:8765", MORNING, None, None, None, NOTHING),
        ReplicaRow("box:8766", MORNING, 97, 1200, 3, "12 ms"),
    )


@slow
def test_monitor_shows_figures_and_drift(desk: Server) -> None:
    """A reader sees the figures; an operator sets the baseline, and drift is shown against it."""
    with sign_in(desk, "reader") as reader:
        page = reader.get("/monitor").text
        assert "Health of the last minute" in page
        assert "/monitor/baseline" not in page
        assert reader.post("/monitor/baseline", data={"job": "job-1"}).status_code == 403
        part = reader.get("/monitor", headers={"HX-Request": "true"}).text
        assert "<html" not in part
        assert "Services on this database" not in part
        with sqlite3.connect(desk.data / DATABASE_FILE) as database:
            database.execute("UPDATE replicas SET sample = ?", ('{"health": 97, "p95_ms": 12.4}',))
        assert "Services on this database" in reader.get("/monitor").text
        assert 'id="monitor"' in part
    with sign_in(desk, "operator") as operator:
        answer = operator.post("/monitor/baseline", data={"job": "job-1"})
        assert answer.status_code == 303, answer.text
        assert "records of the baseline" in operator.get("/monitor").text
        assert operator.post("/monitor/baseline", data={"job": "job-99"}).status_code == 404


@slow
def test_audit_is_filtered_by_who_what_and_subject(desk: Server) -> None:
    """An auditor finds entries by each of the three, page by page."""
    with sign_in(desk, "auditor") as auditor:
        query = {"who": "operator", "action": "job", "subject": "job-1"}
        page = auditor.get("/audit", params=query).text
        rows = re.findall(r"<tr><th scope=\"row\" class=\"number\">(\d+)</th>", page)
        assert len(rows) == 1
        assert "No entry fits" in auditor.get("/audit", params=query | {"who": "op%"}).text
        for number in range(120):
            auditor.get(f"/fails/none-{number}")
            auditor.post("/jobs/job-1/cancel")
        first = auditor.get("/audit").text
        older = re.search(r'href="(/audit\?before=\d+)"', first)
        assert older is not None
        seen = set(re.findall(r"class=\"number\">(\d+)</th>", first))
        assert not seen & set(
            re.findall(r"class=\"number\">(\d+)</th>", auditor.get(older[1]).text)
        )
        assert auditor.get("/audit", params={"before": "x"}).status_code == 422


@slow
@pytest.mark.parametrize("role", ["reader", "analyst", "operator"])
def test_audit_is_for_auditors(desk: Server, role: str) -> None:
    """Nobody else sees the log or its link."""
    with sign_in(desk, role) as browser:
        assert browser.get("/audit").status_code == 403
        assert 'href="/audit"' not in browser.get("/help").text


@slow
def test_broken_chain_is_shown(desk: Server) -> None:
    """The check says that the chain is unbroken, and names an entry that was changed."""
    with sign_in(desk, "auditor") as auditor:
        assert "The chain is unbroken" in auditor.get("/audit?verify=yes").text
        [path] = [each for each in desk.data.iterdir() if each.suffix in (".db", ".sqlite")]
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TRIGGER audit_is_not_changed")
            [who] = connection.execute("SELECT who FROM audit WHERE seq = 2").fetchone()
            connection.execute("UPDATE audit SET who = 'x' WHERE seq = 2")
        assert "Entry 2 was changed" in auditor.get("/audit?verify=yes").text
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE audit SET who = ? WHERE seq = 2", (who,))
        assert "The chain is unbroken" in auditor.get("/audit?verify=yes").text
