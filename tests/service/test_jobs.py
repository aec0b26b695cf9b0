"""Jobs: runs in processes of their own, which survive the end of process and service."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from finops_cli.service.batch.commands import COMMANDS, ServerSettings, command_line
from finops_cli.service.store.jobs import JobCommandName
from tests.service.conftest import Server, start, stop
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl
from tests.support.soak import scaled

MONDAY = (ROOT / "examples/monday.jsonl").read_bytes()
LINES = {"Content-Type": "application/jsonl"}
slow = pytest.mark.slow


def upload(client: httpx.Client, content: bytes) -> str:
    answer = client.post("/v1/files", content=content, headers=LINES)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def begin(client: httpx.Client, command: str, file: str, **options: Any) -> str:
    body = {"command": command, "input": file, "options": options}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finish(client: httpx.Client, job: str, tries: int = 10) -> dict[str, Any]:
    for _ in range(tries):
        found: dict[str, Any] = client.get(f"/v1/jobs/{job}", params={"wait": 20}).json()
        if found["state"] in ("completed", "failed", "cancelled"):
            return found
    raise AssertionError(found)


def many(count: int) -> bytes:
    return jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(count)))


@slow
def test_job_writes_what_the_command_writes(server: Server, finops: Finops) -> None:
    """The output of a job is that of the command, byte for byte, and its counts are right."""
    given = MONDAY + b"{broken\n" + MONDAY.splitlines(keepends=True)[0]
    with server.client("operator") as client:
        job = finish(client, begin(client, "run", upload(client, given)))
        output = client.get(f"/v1/jobs/{job['id']}/output")
    assert (job["state"], job["verified"]) == ("completed", False)
    assert job["request_counts"] == {"total": 10, "done": 10, "ok": 8, "rejected": 2}
    assert output.headers["finops-complete"] == "true"
    assert output.content == finops("run", "-", "--no-timing", "-q", stdin=given).stdout


@slow
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("triage", {"as_of": "2026-11-30", "timing": True}),
        ("book", {"strict_input": True}),
        ("clock", {"as_of": "2026-11-30"}),
        ("sentiment", {"field": "notes"}),
        ("check", {}),
        ("resolve", {"keep_raw": True}),
    ],
)
def test_job_of_each_command_completes(
    server: Server, command: str, options: dict[str, Any]
) -> None:
    """Every command answers every line of its file."""
    with server.client("operator") as client:
        job = finish(client, begin(client, command, upload(client, MONDAY), **options))
    assert job["state"] == "completed", job
    assert job["request_counts"]["done"] >= 8


@slow
def test_certificate_of_a_book_is_made_and_checked(server: Server) -> None:
    """A book gives its certificate when it is asked for one, and a job checks it; other jobs have
    none. A changed certificate is found wrong.
    """
    book = ROOT / "examples" / "book"
    with server.client("operator") as client:
        fails, inventory = (
            upload(client, (book / name).read_bytes())
            for name in ("fails.jsonl", "inventory.jsonl")
        )
        job = finish(client, begin(client, "book", fails, inventory=inventory, certificate=True))
        assert job["state"] == "completed", job
        proof = client.get(f"/v1/jobs/{job['id']}/certificate")
        assert (proof.status_code, proof.headers["finops-complete"]) == (200, "true")
        answers = upload(client, client.get(f"/v1/jobs/{job['id']}/output").content)

        def check(certificate: bytes) -> dict[str, Any]:
            files = {"fails": fails, "inventory": inventory, "proof": upload(client, certificate)}
            return finish(client, begin(client, "check", answers, **files))

        assert check(proof.content)["verified"] is True
        broken = proof.content.replace(b'"owed":2000', b'"owed":2001')
        assert broken != proof.content
        assert check(broken)["verified"] is False
        without = finish(client, begin(client, "book", fails))
        refused = client.get(f"/v1/jobs/{without['id']}/certificate")
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            f"{without['id']} makes no certificate; accepted: a book with the option certificate",
        )


@slow
def test_output_is_read_in_ranges(server: Server) -> None:
    """Ranges of an output put together are the output; its tag says whether it changed."""
    with server.client("operator") as client:
        job = finish(client, begin(client, "triage", upload(client, MONDAY)))
        path = f"/v1/jobs/{job['id']}/output"
        whole = client.get(path)
        parts = [client.get(path, headers={"Range": each}) for each in ("bytes=0-99", "bytes=100-")]
        assert [each.status_code for each in parts] == [206, 206]
        assert b"".join(each.content for each in parts) == whole.content
        last = client.get(path, headers={"Range": "bytes=-7"})
        assert last.content == whole.content[-7:]
        assert client.get(path, headers={"Range": "bytes=9999999-"}).status_code == 416
        tag = whole.headers["etag"]
        for tags in (tag, f'"other", W/{tag}', "*"):
            assert client.get(path, headers={"If-None-Match": tags}).status_code == 304
        first = {"Range": "bytes=0-99", "If-Match": tag}
        assert client.get(path, headers=first).status_code == 206
        refused = client.get(path, headers={**first, "If-Match": '"other"'})
        assert (refused.status_code, refused.headers["etag"]) == (412, tag)
        assert refused.json()["type"] == "/problems/changed"


@slow
@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"command": "rm", "input": "file-1"}, 422, "command"),
        ({"command": "run", "input": "file-1"}, 404, "file-1"),
        ({"command": "run", "input": "../finops.sqlite"}, 404, "does not exist"),
        ({"command": "run", "input": 7}, 422, "input"),
        ({"command": "run", "input": "f", "options": {"output": "/etc"}}, 422, "output"),
        ({"command": "run", "input": "f", "options": {"as_of": "--help"}}, 422, "as_of"),
        ({"command": "run", "input": "f", "options": {"as_of": "now"}}, 422, "as_of"),
        ({"command": "sentiment", "input": "f", "options": {"field": "--kb"}}, 422, "field"),
        ({"command": "clock", "input": "f"}, 422, "as_of"),
        ({"command": "run", "input": "f", "more": 1}, 422, "more"),
        ([], 422, "object"),
    ],
)
def test_unusable_job_is_refused(server: Server, body: object, status: int, part: str) -> None:
    """A job with an unknown command, file or option, or with a value that could be another option,
    is refused and named.
    """
    with server.client("operator") as client:
        answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == status
    assert part in answer.json()["detail"]


@slow
def test_failed_job_says_why(server: Server) -> None:
    """A job whose command refuses its input has failed, with the message and the fix; resuming it
    does it again.
    """
    with server.client("operator") as client:
        csv = upload(client, b"a,b\n1,2\n")
        job = finish(client, begin(client, "run", csv))
        assert job["state"] == "failed"
        assert "finops:" in job["error"]
        assert "fix:" in job["error"]
        assert str(server.data) not in job["error"]
        assert client.post(f"/v1/jobs/{job['id']}/resume").json()["state"] == "queued"
        assert finish(client, job["id"])["attempts"] == 2


@slow
def test_cancelled_job_keeps_its_lines(server: Server, finops: Finops) -> None:
    """A cancelled job keeps the lines that it wrote, and goes on from there when it is resumed."""
    count = 60_000
    given = many(count)
    with server.client("operator") as client:
        job = begin(client, "triage", upload(client, given))
        while not client.get(f"/v1/jobs/{job}").json()["request_counts"]["done"]:
            time.sleep(0.01)
        growing = client.get(f"/v1/jobs/{job}/output")
        assert growing.headers["finops-complete"] == "false"
        assert growing.content.endswith(b"\n")
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 200
        cancelled = finish(client, job)
        assert cancelled["state"] == "cancelled"
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 409
        client.post(f"/v1/jobs/{job}/resume")
        done = finish(client, job)
        assert done["state"] == "completed"
        output = client.get(f"/v1/jobs/{job}/output").content
    assert 0 < cancelled["request_counts"]["done"] < count
    assert output == finops("triage", "-", "--no-timing", "-q", stdin=given).stdout


@slow
def test_deleted_job_is_gone(server: Server) -> None:
    """A deleted job answers 410 and leaves neither output nor rows."""
    with server.client("operator") as client:
        job = finish(client, begin(client, "triage", upload(client, MONDAY)))["id"]
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
        assert client.get(f"/v1/jobs/{job}").status_code == 410
        assert client.get(f"/v1/jobs/{job}/output").status_code == 410
        assert client.get("/v1/jobs/job-999999").status_code == 404
        assert job not in {each["id"] for each in client.get("/v1/jobs").json()}
    assert not (server.data / "jobs" / job).exists()


@pytest.mark.parametrize("text", ["31", "-1", "1.5", "x", "0" * 9 + "31", "9" * 5_000])
def test_unusable_wait_is_refused(server: Server, text: str) -> None:
    """A wait for a job is a number of seconds up to the limit, however it is written."""
    with server.client("operator") as client:
        assert client.get("/v1/jobs/job-1", params={"wait": text}).status_code == 422


def _kill(server: Server) -> None:
    server.process.kill()
    server.process.communicate()


def _workers() -> list[int]:
    found = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if "service.batch.worker" in line]


@slow
def test_job_survives_kills_of_service_and_worker(tmp_path: Path, finops: Finops) -> None:
    """A job whose service and worker are killed at random moments ends with the bytes of a run
    that nobody disturbed, and with a row for each line. Nothing that was said to be done is lost.
    """
    given, moments = many(scaled(30_000, 600_000)), random.Random(28)
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        job = begin(client, "triage", upload(client, given))
    known = 0
    for _ in range(scaled(2, 20)):
        time.sleep(moments.uniform(0.8, 2.5))
        with server.client("operator") as client:
            found = client.get(f"/v1/jobs/{job}").json()
        assert found["request_counts"]["done"] >= known
        known = found["request_counts"]["done"]
        before = _workers()
        _kill(server)
        for _ in range(100):
            if not set(before) & set(_workers()):
                break
            time.sleep(0.05)
        server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        time.sleep(1)
        for pid in _workers():
            if server.process.pid == _parent_of(pid):
                os.kill(pid, signal.SIGKILL)
        done = finish(client, job, tries=scaled(10, 90))
        output = client.get(f"/v1/jobs/{job}/output").content
        assert client.get("/v1/audit/verify").status_code == 403
    stop(server)
    assert done["state"] == "completed", done
    assert done["request_counts"]["done"] == given.count(b"\n")
    assert output == finops("triage", "-", "--no-timing", "-q", stdin=given).stdout


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("command", list(COMMANDS))
def test_command_line_names_paths_and_guard(command: JobCommandName, tmp_path: Path) -> None:
    """A command line holds the input, the output and, where the command has one, the guard."""
    settings = ServerSettings(
        None, Path("rules"), None, "require", "engine", "baseline", (("--host", "x"),)
    )
    line = command_line(
        command,
        {},
        settings,
        source=tmp_path / "in",
        folder=tmp_path,
        file_of=tmp_path.__truediv__,
        resumes=True,
    )
    assert str(tmp_path / "in") in line
    assert line[line.index("-o") + 1] == str(tmp_path / "out.jsonl")
    assert ("--guard" in line) is COMMANDS[command].has_guard
    assert ("--resume" in line) is COMMANDS[command].resumes
    assert "--host" not in line


@slow
def test_job_on_a_cluster_needs_a_service_with_one(server: Server) -> None:
    """`{"executor": "ray"}` is refused with 422, and says why, where --ray was not given."""
    with server.client("operator") as client:
        file = upload(client, MONDAY)
        body = {"command": "run", "input": file, "options": {"executor": "ray"}}
        refused = client.post("/v1/jobs", json=body)
        options = client.get("/openapi.json").json()["components"]["schemas"]["job-request"]
    assert refused.status_code == 422
    assert "started without --ray ADDRESS" in refused.json()["detail"]
    assert options["properties"]["options"]["properties"]["executor"]["enum"] == ["local", "ray"]


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_command_line_of_a_job_names_the_cluster(tmp_path: Path, address: str | None) -> None:
    """A job on a cluster names the address of the service; without one this machine answers."""
    settings = ServerSettings(
        None, Path("rules"), None, "require", "engine", "baseline", ray=address
    )
    line = command_line(
        "run",
        {"executor": "ray"},
        settings,
        source=tmp_path / "in",
        folder=tmp_path,
        file_of=tmp_path.__truediv__,
        resumes=True,
    )
    expected = [] if address is None else ["--executor", "ray", "--ray", address]
    assert line[len(line) - len(expected) :] == expected
    assert ("--executor" in line) is (address is not None)


@slow
def test_job_without_a_folder_holds_up_no_other(tmp_path: Path) -> None:
    """A job whose folder cannot be made has failed and says why; it goes on when it is resumed."""
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        file = upload(client, MONDAY)
        (server.data / "jobs").write_bytes(b"")
        job = finish(client, begin(client, "run", file), tries=1)
        assert job["state"] == "failed"
        assert "File exists" in job["error"]
        (server.data / "jobs").unlink()
        other = finish(client, begin(client, "run", file), tries=2)
        client.post(f"/v1/jobs/{job['id']}/resume").raise_for_status()
        resumed = finish(client, job["id"], tries=2)
    stop(server)
    assert (other["state"], resumed["state"]) == ("completed", "completed")


@slow
def test_job_that_meets_a_fault_holds_up_no_other(tmp_path: Path) -> None:
    """A job of a command that this release does not have has failed; the next job is done."""
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        file = upload(client, MONDAY)
        job = finish(client, begin(client, "run", file))
    stop(server)
    with closing(sqlite3.connect(server.data / "finops.sqlite")) as rows:
        rows.execute("UPDATE jobs SET state = 'interrupted', command = 'later'")
        rows.commit()
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        other = finish(client, begin(client, "run", file))
        failed = client.get(f"/v1/jobs/{job['id']}").json()
    stop(server)
    assert (failed["state"], other["state"]) == ("failed", "completed")
    assert "fault of finops (KeyError)" in failed["error"]
