"""The header Finops-Deadline, and models that are loaded again."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.engine import Engine
from finops_cli.service.problems import ServiceError
from finops_cli.service.records.query import limit_time, read_time_limit
from finops_cli.service.records.when_down import reload_model
from tests.desk.conftest import sign_in
from tests.service.conftest import TOKENS, Server, start, stop
from tests.support.program import ROOT
from tests.support.records import a_fail

slow = pytest.mark.slow
MONDAY = (ROOT / "examples/monday.jsonl").read_bytes()
LINES = {"Content-Type": "application/jsonl"}


@pytest.mark.parametrize(
    "text", ["0", "0.5", "-1", "1e3", "x", "", "1000000", "86401", "nan", "1.0005"]
)
def test_unusable_time_limit_is_refused(text: str) -> None:
    """The header takes at least a second, and at most a day."""
    with pytest.raises(ServiceError) as caught:
        read_time_limit(Headers({"Finops-Deadline": text}))
    assert caught.value.status == 422


def test_time_limit_is_read_in_seconds() -> None:
    """Without the header no further limit applies."""
    assert read_time_limit(Headers({})) is None
    assert read_time_limit(Headers({"Finops-Deadline": "2.5"})) == 2.5


def test_time_limit_leaves_other_timeouts_alone() -> None:
    """Only its own end becomes the problem `deadline`."""

    async def wait() -> None:
        async with limit_time(30):
            raise TimeoutError

    async def overrun() -> None:
        async with limit_time(0.001):
            await asyncio.sleep(30)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    with pytest.raises(ServiceError, match=r"0\.001 s"):
        asyncio.run(overrun())


@slow
def test_client_that_still_sends_reads_the_answer(tmp_path: Path) -> None:
    """A body over the limit is answered, and the answer arrives though the client sends on and
    asked for the end of the connection, as nginx does.
    """
    server = start(tmp_path, "--guard", "off")
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/triage HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {TOKENS['operator']}\r\nContent-Type: application/jsonl\r\n"
        "Content-Length: 70000000\r\n\r\n"
    )
    try:
        for _ in range(5):
            with socket.create_connection((host, int(port)), timeout=60) as client:
                client.sendall(head.encode())
                for _ in range(40):
                    client.sendall(b"x" * 100_000)
                    time.sleep(0.002)
                answer = b"".join(iter(lambda: client.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert answer.endswith(b"}")
    finally:
        stop(server)


def test_engine_has_no_model_to_reload() -> None:
    """The rules need no model, and say so."""
    from finops_cli.errors import UsageError

    with pytest.raises(UsageError, match="no model"):
        reload_model(Engine(load_kb(bundled_kb_dir())), "triage")


@slow
def test_request_ends_at_its_deadline(tmp_path: Path) -> None:
    """A slow model is not waited for longer than the header says; a longer time changes nothing."""
    with FakeOllama(token_seconds=0.01) as fake:
        service = start(tmp_path, "--guard", "off", "--backend", "ollama", "--model-host", fake.url)
        try:
            with service.client() as client:
                short = client.post("/v1/triage", json=a_fail(), headers={"Finops-Deadline": "1"})
                assert short.status_code == 504
                assert short.json()["type"] == "/problems/deadline"
                long = client.post("/v1/triage", json=a_fail(), headers={"Finops-Deadline": "600"})
                assert long.status_code == 200
                stream = client.post(
                    "/v1/triage", content=MONDAY, headers=LINES | {"Finops-Deadline": "2"}
                )
                lines = stream.content.splitlines(keepends=True)
                if stream.status_code == 200:  # some answers came in time: they are whole
                    assert len(lines) < 8
                    assert all(line.endswith(b"\n") for line in lines)
                    assert all(json.loads(line)["fail_id"] for line in lines)
                else:
                    assert stream.status_code == 504, stream.text
        finally:
            stop(service)


@slow
def test_stream_with_time_enough_is_whole(client: httpx.Client) -> None:
    """A deadline that is not reached changes no byte."""
    plain = client.post("/v1/run", content=MONDAY, headers=LINES)
    limited = client.post("/v1/run", content=MONDAY, headers=LINES | {"Finops-Deadline": "60"})
    assert limited.content == plain.content
    wrong = client.post("/v1/run", json=a_fail(), headers={"Finops-Deadline": "soon"})
    assert wrong.status_code == 422


@slow
def test_model_is_loaded_again(tmp_path: Path) -> None:
    """An operator has a model unloaded and loaded; the audit log says so, and it answers again."""
    with FakeOllama() as fake:
        service = start(tmp_path, "--guard", "off", "--backend", "ollama", "--model-host", fake.url)
        try:
            with service.client("operator") as client:
                name = client.get("/v1/models").json()["models"]["triage"]
                for path in ("triage", name):
                    answer = client.post(f"/v1/models/{path}/reload")
                    assert answer.status_code == 200, answer.text
                assert client.post("/v1/models/none/reload").status_code == 404
                assert client.post("/v1/triage", json=a_fail()).status_code == 200
            with service.client("analyst") as client:
                assert client.post("/v1/models/triage/reload").status_code == 403
            with service.client("auditor") as client:
                entries = client.get("/v1/audit?limit=1000").json()
            assert [each["subject"] for each in entries if each["action"] == "reload"] == [
                "triage",
                name,
            ]
            bodies = [body for _, path, body in fake.requests if path == "/api/generate"]
            assert [body for body in bodies if body.get("keep_alive") == 0]
        finally:
            stop(service)


@slow
def test_desk_has_a_button_for_each_model(tmp_path: Path) -> None:
    """An operator loads a model again on the page of the monitor; an analyst has no button."""
    with FakeOllama() as fake:
        service = start(tmp_path, "--guard", "off", "--backend", "ollama", "--model-host", fake.url)
        try:
            with sign_in(service, "operator") as operator:
                assert 'name="model" value="triage"' in operator.get("/monitor").text
                answer = operator.post("/monitor/reload", data={"model": "triage"})
                assert answer.status_code == 303, answer.text
                assert "is loaded again" in operator.get(answer.headers["location"]).text
                assert operator.post("/monitor/reload", data={"model": "x"}).status_code == 404
            with sign_in(service) as analyst:
                assert "/monitor/reload" not in analyst.get("/monitor").text
                answer = analyst.post("/monitor/reload", data={"model": "triage"})
                assert answer.status_code == 403
            bodies = [body for _, path, body in fake.requests if path == "/api/generate"]
            assert [body for body in bodies if body.get("keep_alive") == 0]
        finally:
            stop(service)


@slow
def test_service_without_models_has_none_to_reload(server: Server) -> None:
    """The engine has no model, so the answer is 404."""
    with server.client("operator") as client:
        assert client.post("/v1/models/triage/reload").status_code == 404
