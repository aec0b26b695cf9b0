"""Connections of the service: how answers are sent on them, and when they end."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from msgspec.structs import replace
from uvicorn.config import Config
from uvicorn.server import ServerState

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.service.deadlines import deadline_protocol
from finops_cli.service.doors.exchange import JoinedWrites, _DefaultLines, split_target


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


def test_head_with_a_body_waits_for_it() -> None:
    """A head that says how long its body is goes out with it, however often the loop turns."""

    async def answer() -> tuple[int, list[bytes]]:
        wire = _Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop(), lambda: False)
        joined.hold(b"head,", has_body=True)
        await asyncio.sleep(0.01)
        before = len(wire.sent)
        joined.write(b"body")
        return before, wire.sent

    assert asyncio.run(answer()) == (0, [b"head,body"])


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


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send(HEAD)
    await send({"type": "http.response.body", "body": body[:4]})


def test_resting_connection_is_closed() -> None:
    """A connection that has its answer is used again, and ends after the time that it may rest."""

    async def talk() -> bytes:
        async with connected(_echo, keep_alive=0.3, watch=0.05) as (reader, writer, _):
            answers = b""
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd")
                answers += await reader.readuntil(b"abcd")
                await asyncio.sleep(0.1)
            answers += await reader.read()
            writer.close()
            return answers

    assert asyncio.run(asyncio.wait_for(talk(), 60)).count(b"HTTP/1.1 200 OK") == 2


def test_connection_in_work_does_not_rest() -> None:
    """A connection whose second answer takes longer than a rest may last is not closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.5)
        await _echo(scope, receive, send)

    async def talk() -> bytes:
        async with connected(app, keep_alive=0.1, watch=0.02) as (reader, writer, _):
            for path in (b"/", b"/slow"):
                writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" % path)
                answer = await reader.readuntil(b"abcd")
            writer.close()
            return answer

    assert asyncio.run(asyncio.wait_for(talk(), 60)).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ((b"x-name", b"a\r\nset-cookie: b"), b"500"),
        ((b"x name", b"a"), b"500"),
        ((b"transfer-encoding", b"chunked"), b"500"),
        ((b"x-name", b"a"), b"200"),
    ],
)
def test_header_that_is_not_one_is_not_sent(header: tuple[bytes, bytes], status: bytes) -> None:
    """An answer with a line break in a header would hold a header, or an answer, of
    its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**HEAD, "headers": [*HEAD["headers"], header]})  # type: ignore[misc]
        await send({"type": "http.response.body", "body": b"abcd"})

    async def talk() -> bytes:
        async with connected(app) as (reader, writer, _):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(asyncio.wait_for(talk(), 60))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"set-cookie" not in answer


def test_bad_default_header_is_never_sent() -> None:
    """Each answer fails, not the first alone: later ones would go without the other headers."""
    lines = _DefaultLines()
    headers = [(b"server", b"uvicorn"), (b"x-name", b"a\r\nset-cookie: b")]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="x-name"):
            lines.of(headers)
    assert lines.of(headers[:1]) == b"server: uvicorn\r\n"


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/v1/kb/a%20b", ("/v1/kb/a b", b"/v1/kb/a%20b", b"")),
        (b"/?token=x", ("/", b"/", b"token=x")),
        (b"/" + b"a" * 100, ("/" + "a" * 100, b"/" + b"a" * 100, b"")),
    ],
)
def test_target_is_taken_apart(target: bytes, parts: tuple[str, bytes, bytes]) -> None:
    """A path is decoded, its bytes are kept, and the query is apart; a second time as the first."""
    assert [split_target(target) for _ in range(2)] == [parts, parts]


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
