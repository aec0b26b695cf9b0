"""Live drift against a stored baseline, and the hooks that are told."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.devtools.fake_ollama.behaviours import Behaviour, CorrectAnswer, ReceivedRequest
from finops_cli.files.jsonl import Batch
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.monitoring.events import Event
from finops_cli.monitoring.live_drift import Baseline
from finops_cli.monitoring.system_monitor import SystemMonitor, system_monitor
from finops_cli.service.alarms.alarms import Alarms
from finops_cli.service.app import build_service
from finops_cli.service.auth.tokens import SingleToken
from finops_cli.service.batch.commands import ServerSettings
from finops_cli.service.batch.progress import JobProgress
from finops_cli.service.config import ServeConfig
from finops_cli.service.records.answering import Answering, AnswerOptions
from finops_cli.service.store.database import Connection
from finops_cli.service.store.jobs import Job, output_path, update_job
from finops_cli.service.store.sqlite import SqliteDatabase
from finops_cli.service.upkeep import Watch
from tests.monitoring.test_system_monitor import Clock
from tests.service.conftest import Server, start, stop
from tests.service.test_jobs import MONDAY, begin, finish, upload
from tests.support.program import call_finops
from tests.support.records import a_fail, jsonl
from tests.support.stores import LINES, a_job, add_file

KB = load_kb(bundled_kb_dir())
BASELINE = Baseline(records=200, dimensions={"tier": {"LOW": 100, "CRITICAL": 100}})


class Servers:
    """A backend with two servers whose states a test sets."""

    def __init__(self) -> None:
        self.states = {"http://a": "closed", "http://b": "closed"}

    def endpoint_states(self) -> dict[str, str]:
        return self.states


def watch(data: Path) -> tuple[Alarms, list[Event]]:
    monitor, events = SystemMonitor(KB), []
    monitor.add_sink(events.append)
    return Alarms(monitor, KB, data), events


def lines(count: int) -> list[bytes]:
    done = call_finops("triage", "-", "--no-timing", "-q", stdin=jsonl(a_fail()))
    return [done.stdout] * count


def test_drift_is_reported_once(tmp_path: Path) -> None:
    """Answers that diverge are reported once; without a baseline nothing is compared."""
    alarms, events = watch(tmp_path)
    alarms.see(lines(300))
    alarms.judge()
    assert (events, alarms.drift().records) == ([], None)
    alarms.set_baseline(BASELINE)
    alarms.see([*lines(300), b'{"ok": true}\n', b"not a line\n"])
    alarms.judge()
    alarms.judge()
    assert [each.event for each in events] == ["drift"]
    assert events[0].facts["dimension"] == "tier"
    assert alarms.drift().answers == 300


def test_baseline_survives_a_restart(tmp_path: Path) -> None:
    """The next service compares with the baseline that was stored."""
    watch(tmp_path)[0].set_baseline(BASELINE)
    assert watch(tmp_path)[0].drift().records == 200


def test_models_that_become_slow_are_reported_once(tmp_path: Path) -> None:
    """Two minutes in which models take over a second, and three times as long as usual, fire
    `latency` once, with a bundle that names the slow records; rejected records do not count.
    """
    timer, added, events = Clock(), [0.2], list[Event]()

    def answer_late(request: ReceivedRequest) -> Behaviour:
        timer.seconds += added[0]
        return CorrectAnswer()

    with FakeOllama(answer_late) as fake, closing(SqliteDatabase(tmp_path)) as database:
        request = BackendRequest(backend="ollama", hosts=(fake.url,), waits=False)
        backend = select_backend(request, KB).backend
        answering = Answering(KB, backend, bundled_kb_dir(), "off", timer=timer)
        service = build_service(
            ServeConfig(data=tmp_path),
            answering,
            SingleToken("x"),
            database,
            jobs=ServerSettings(None, Path("rules"), None, "off", "ollama", "baseline"),
        )
        # the monitor belongs to the process: other tests in it may have lowered the health
        system_monitor().add_sink(
            keep := lambda event: events.append(event) if event.event == "latency" else None
        )
        pipeline = answering.pipeline("triage", AnswerOptions())
        told = []
        for added[0] in (0.2, 0.2, 0.2, 4, 4, 4):
            for body in (jsonl(a_fail(fail_id="F-7")), *[b"{}"] * 25):
                asyncio.run(answering.answer_batch(pipeline, Batch(1, [body], 0)))
            timer.seconds += 60
            service.parts.alarms.judge()
            told.append(len(events))
        system_monitor().remove_sink(keep)
        answering.close()
    assert told == [0, 0, 0, 0, 1, 1]
    [bundle] = (tmp_path / "diagnostics").iterdir()
    assert events[0].event == "latency"
    assert events[0].facts["p95_ms"] > 3_900
    assert events[0].facts["bundle"] == bundle.name
    assert [each["id"] for each in json.loads(bundle.read_bytes())["slow_answers"]] == [
        "F-7",
        "F-7",
    ]


def begin_model_job(database: SqliteDatabase) -> Job:
    """Store a job that the service `me` runs."""

    def work(db: Connection) -> Job:
        add_file(db)
        job = a_job(db)
        update_job(db, job.id, state="in_progress", owner="me")
        return job

    return database.write_now(work)


def test_job_whose_models_become_slow_is_reported(tmp_path: Path) -> None:
    """The lines of a job feed the watch, although they have no times: each comes later."""
    timer, events = Clock(), list[Event]()
    with FakeOllama() as fake, closing(SqliteDatabase(tmp_path)) as database:
        request = BackendRequest(backend="ollama", hosts=(fake.url,), waits=False)
        backend = select_backend(request, KB).backend
        answering = Answering(KB, backend, bundled_kb_dir(), "off", timer=timer)
        settings = ServerSettings(None, Path("rules"), None, "off", "ollama", "baseline")
        service = build_service(
            ServeConfig(data=tmp_path), answering, SingleToken("x"), database, jobs=settings
        )
        job = begin_model_job(database)
        output = output_path(tmp_path, job.id)
        output.parent.mkdir(parents=True)
        progress = JobProgress(
            job, "me", tmp_path, database, service.parts.runner.see_of(job, "models")
        )
        system_monitor().add_sink(
            keep := lambda event: events.append(event) if event.event == "latency" else None
        )
        told, lanes = [], answering.lanes_of("run")
        for minute, latency in enumerate((0.5, 0.5, 0.5, 4, 4, 4), start=1):
            for number in range(11):
                timer.seconds += latency / lanes if number else 0
                with output.open("ab") as file:
                    file.write(LINES[0])
                assert asyncio.run(progress.advance()) == 1
            timer.seconds = 60 * minute
            service.parts.alarms.judge()
            told.append(len(events))
            service.parts.alarms.jobs.end(job.id)  # it stands still until the minute is over
        system_monitor().remove_sink(keep)
        answering.close()
    assert told == [0, 0, 0, 0, 1, 1]
    assert events[0].facts["jobs_of"] == "run"
    assert events[0].facts["p95_ms"] == pytest.approx(4_000, rel=0.02)
    [bundle] = (tmp_path / "diagnostics").iterdir()
    slow = json.loads(bundle.read_bytes())["slow_answers"]
    assert {each["id"] for each in slow} == {job.id}


def test_change_of_a_server_is_reported_once(tmp_path: Path) -> None:
    """A breaker that opens or closes, and a disk that fills, are reported when they change."""
    alarms, events = watch(tmp_path)
    servers: Any = Servers()
    looking = Watch(alarms, servers)
    looking.compare_states()
    servers.states["http://a"] = "open"
    looking.compare_states()
    looking.compare_states()
    servers.states["http://a"] = "closed"
    looking.compare_states()
    for free in (100, 1, 1, 100, 1):
        looking.compare_disk(free, least=10)
    names = [each.event for each in events]
    assert names == ["breaker_open", "breaker_closed", "disk_low", "disk_low"]


@pytest.mark.slow
def test_service_tells_hooks_and_shows_drift(tmp_path: Path) -> None:
    """A job sets the baseline; the end of a job reaches a hook; the audit log has the baseline."""
    told = tmp_path / "told.jsonl"
    script = tmp_path / "hook.sh"
    script.write_text(f"#!/bin/sh\ncat >> {told}\necho >> {told}\n")
    script.chmod(0o700)
    hooks = tmp_path / "hooks.toml"
    hooks.write_text(f'[[hook]]\nevents = ["job_done"]\ncommand = ["{script}"]\n')
    server: Server = start(tmp_path, "--guard", "off", "--hooks", str(hooks))
    with server.client("operator") as client:
        assert client.get("/v1/drift").json()["records"] is None
        job = finish(client, begin(client, "triage", upload(client, MONDAY)))["id"]
        answer = client.put("/v1/drift/baseline", json={"job": job})
        assert answer.json()["records"] == 8
        client.post("/v1/triage", json=[a_fail(fail_id=f"F-{n}") for n in range(50)])
        view = client.get("/v1/drift").json()
        assert view["answers"] == 50
        assert {each["dimension"] for each in view["dimensions"]} >= {"tier", "action"}
        assert client.put("/v1/drift/baseline", json={"job": "job-99"}).status_code == 404
        assert client.put("/v1/drift/baseline", json={}).status_code == 422
    with server.client("reader") as reader:
        assert reader.put("/v1/drift/baseline", json={"job": job}).status_code == 403
    stop(server)
    events = [json.loads(line) for line in told.read_text().splitlines() if line]
    assert [each["event"] for each in events] == ["job_done"]
