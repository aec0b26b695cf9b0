"""The header Finops-Deadline, models that are loaded again, and how an answer is sent."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from uvicorn.config import Config
from uvicorn.server import ServerState

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.engine import Engine
from finops_cli.service.deadlines import deadline_protocol
from finops_cli.service.exchange import JoinedWrites
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


class _Wire(asyncio.Transport):
    """A connection that keeps each part that the system would get."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_closed = self.is_half_closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True


@pytest.mark.parametrize("has_body", [True, False])
def test_head_and_body_are_sent_together(has_body: bool) -> None:
    """The head of an answer goes with the first part of its body; later parts go at once."""

    async def answer() -> list[bytes]:
        wire = _Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop(), lambda: False)
        joined.hold(b"head,", has_body=has_body)
        for part in (b"body", b"more"):
            joined.write(part)
        await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(answer()) == [b"head,body", b"more"]


@pytest.mark.parametrize("is_closed", [True, False])
def test_head_without_a_body_is_not_kept(is_closed: bool) -> None:
    """A head that nothing follows is sent when the loop turns, and before the connection ends."""

    async def answer() -> list[bytes]:
        wire = _Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop(), lambda: False)
        joined.hold(b"head", has_body=False)
        if is_closed:
            joined.close()
        else:
            await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(answer()) == [b"head"]


def test_connection_stays_open_for_a_client_that_sends() -> None:
    """A connection is closed for writing only, until what took over its end ends it."""

    async def close() -> tuple[_Wire, bool, bool]:
        wire = _Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop(), lambda: True)
        joined.close()
        seen = joined.is_closing(), wire.is_closed
        joined.close()
        joined.end()
        return wire, *seen

    wire, is_closing, was_closed = asyncio.run(close())
    assert (is_closing, was_closed) == (True, False)
    assert (wire.is_half_closed, wire.is_closed) == (True, True)


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


@asynccontextmanager
async def connected(
    app: Any, **times: Any
) -> AsyncIterator[tuple[StreamReader, StreamWriter, ServerState]]:
    """Serve `app` in this process to one client, with the rules of the service but for `times`."""
    rules = load_kb(bundled_kb_dir()).serve
    settings = replace(rules, times={**rules.times, **times})
    state = ServerState()
    config = Config(app, lifespan="off", ws="none", log_config=None)
    protocol = deadline_protocol(settings)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    yield reader, writer, state
    while state.connections or state.tasks:
        await asyncio.sleep(0.01)
    listening.close()


HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


def test_pipelining_client_that_leaves_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """The answer to a client that sent two requests and went away is discarded without an entry in
    the log, and its second request is not begun.
    """
    uvloop = pytest.importorskip("uvloop")
    begun: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(asyncio.Event())
        await receive()
        await begun[0].wait()
        await send(HEAD)
        await send({"type": "http.response.body", "body": b"late"})

    async def leave() -> None:
        async with connected(app) as (_, writer, state):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            while not begun:
                await asyncio.sleep(0.01)
            writer.transport.abort()
            while state.connections:
                await asyncio.sleep(0.01)
            begun[0].set()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(leave())
    assert (len(begun), caplog.messages) == (1, [])


def test_garbage_behind_two_requests_enters_no_answer() -> None:
    """Bytes that are not a request end the connection, and put nothing into an answer that has
    begun, though another request waits between the two.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(HEAD)
        await send({"type": "http.response.body", "body": b"ha", "more_body": True})
        await receive()

    async def talk() -> bytes:
        async with connected(app) as (reader, writer, _):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
            answer = await reader.readuntil(b"ha")
            writer.write(b"cdGET / HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff")
            answer += await reader.read()
            writer.close()
            return answer

    assert asyncio.run(talk()).endswith(b"\r\n\r\nha")


def test_slow_body_behind_its_answer_ends_at_once() -> None:
    """A client that drips a body whose answer it has is not waited for a second time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(HEAD)
        await send({"type": "http.response.body", "body": b"late"})

    async def talk() -> int:
        async with connected(app, head=0.2, watch=0.05) as (reader, writer, state):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            await reader.readuntil(b"late")
            ended = asyncio.create_task(reader.read())
            while not ended.done():
                writer.write(b"x")
                await asyncio.sleep(0.01)
            still_open = len(state.connections)
            writer.transport.abort()
            return still_open

    assert asyncio.run(talk()) == 0


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"0\r\n", b"a: b\r\n" * 10_000),
        (b"0\r\na: ", b"b" * 60_000),
        (b"1;", b"c" * 60_000),
    ],
    ids=["trailers", "a trailer", "a chunk extension"],
)
def test_bytes_without_a_body_have_an_end(begin: bytes, part: bytes) -> None:
    """Trailers and extensions of chunks are bounded as a head is: they would fill the memory."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def talk() -> int:
        sent = 0
        async with connected(app) as (reader, writer, _):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"2\r\n{}\r\n" + begin)
            ended = asyncio.create_task(reader.read())
            with suppress(ConnectionError):
                while sent < 32 * 1024 * 1024 and not ended.done():
                    writer.write(part)
                    sent += len(part)
                    await writer.drain()
            await asyncio.gather(ended, return_exceptions=True)
            writer.transport.abort()
        return sent

    assert asyncio.run(asyncio.wait_for(talk(), 300)) < 32 * 1024 * 1024


def test_engine_has_no_model_to_reload() -> None:
    """The rules need no model, and say so."""
    from finops_cli.errors import UsageError

    with pytest.raises(UsageError, match="no model"):
        reload_model(Engine(load_kb(bundled_kb_dir())), "triage")


@slow
def test_request_ends_at_its_deadline(tmp_path: Path) -> None:
    """A slow model is not waited for longer than the header says; a longer time changes nothing."""
    with FakeOllama(token_seconds=0.03) as fake:
        service = start(tmp_path, "--guard", "off", "--backend", "ollama", "--model-host", fake.url)
        try:
            with service.client() as client:
                short = client.post("/v1/triage", json=a_fail(), headers={"Finops-Deadline": "1"})
                assert short.status_code == 504
                assert short.json()["type"] == "/problems/deadline"
                long = client.post("/v1/triage", json=a_fail(), headers={"Finops-Deadline": "600"})
                assert long.status_code == 200
                stream = client.post(
                    "/v1/triage", content=MONDAY, headers=LINES | {"Finops-Deadline": "4"}
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
