"""The service while somebody sets the clock of its machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import Server, start, stop
from tests.service.test_fails import fails
from tests.service.test_jobs import MONDAY, begin, finish, upload
from tests.support.records import a_fail

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs cc"),
]
HOUR = 3_600
STEPS = (6 * HOUR, -6 * HOUR, 20 * HOUR, 0)


def preload(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Return the file with the step, in seconds, of the clock of programs that start."""
    library, step = folder / "clock_step.so", folder / "step"
    source = Path(__file__).with_name("clock_step.c")
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl"], check=True)
    step.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_STEP", str(step))
    return step


def refusals(server: Server, count: int) -> list[int]:
    """Return the statuses of requests with a wrong token."""
    wrong = {"Authorization": "Bearer wrong"}
    with httpx.Client(base_url=server.url, headers=wrong, timeout=60) as client:
        return [client.get("/v1/models").status_code for _ in range(count)]


def test_clock_that_is_set_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step of the clock, forward and back, records, jobs and decisions are answered, a
    key is still known, no count of wrong tokens lasts longer than its minute, and the audit log
    is whole.
    """
    with monkeypatch.context() as patched:
        step = preload(patched, tmp_path)
        server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        finish(client, begin(client, "run", upload(client, MONDAY)))
        path = f"/v1/fails/{fails(client)[0]['id']}/decisions"

        def decide(word: str) -> httpx.Response:
            body = {"kind": "comment", "comment": word}
            return client.post(path, json=body, headers={"Idempotency-Key": word})

        decide("first").raise_for_status()
        for seconds in STEPS:
            assert refusals(server, 11)[-1] == 429
            step.write_text(str(seconds))
            assert refusals(server, 1) == [401], seconds
            assert client.post("/v1/run", json=a_fail()).status_code == 200
            job = finish(client, begin(client, "triage", upload(client, MONDAY)))
            assert job["state"] == "completed", job
            assert decide(f"n{seconds}").status_code == 201
            assert decide("first").headers["Idempotency-Replayed"] == "true"
            assert client.get("/readyz").json()["ready"]
    with server.client("admin") as client:
        made = client.get(path.removesuffix("/decisions")).json()["decisions"]
        assert len(made) == 1 + len(STEPS)
        assert client.get("/v1/audit/verify").json()["ok"]
        dates = {each["at"][:13] for each in client.get("/v1/audit?limit=1000").json()}
    assert len(dates) > 2, "the clock was not set"
    stop(server)
    assert server.process.returncode == 0
