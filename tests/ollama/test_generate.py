"""One generation against a server that violates HTTP, JSON or timing: each violation is a named
failure.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.ollama.generate import generate
from finops_cli.models.servers.answers import Generated, Patience
from finops_cli.models.servers.hosts import open_client
from finops_cli.models.servers.timeouts import TimedTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
DONE = b'{"response":"","done":true,"done_reason":"stop","prompt_eval_count":7}\n'


@contextmanager
def serve_bytes(pieces: Iterable[bytes], pause: float = 0.0) -> Iterator[str]:
    """A socket that answers one request with `pieces`, a pause before each, and closes."""
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
            with connection:
                request = b""
                while not request.endswith(
                    b"}"
                ):  # what is left unread at the end would reset the connection
                    request += connection.recv(65536)
                for piece in pieces:
                    if ended.wait(pause):
                        return
                    connection.sendall(piece)
        except OSError:
            pass  # the client has gone, as it should

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            listening.close()
            thread.join(5)


def generate_at(url: str, seconds: float = 5.0) -> Generated:
    with open_client(url, transport=TimedTransport()) as client:
        return generate(client, {"model": "m"}, Patience(1, seconds, seconds))


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'{"response":"\xff\xfe"}\n' + DONE, failures.ConnectionLost),
        (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n" + DONE, failures.ConnectionLost),
        (b'{"error":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n", failures.ConnectionLost),
        (b'{"error":null}\n', failures.Incomplete),
        (b'{"error":{"code":500,"message":"out of memory"}}\n', failures.Crashed),
        (b'{"response":5}\n' + DONE, failures.ConnectionLost),
        (b'{"response":"x","done":true,"done_reason":"stop"}', Generated),
        (b'\n\n{"response":"x"}\r\n\r\n' + DONE + DONE, Generated),
        (b'{"response":"\\ud83d"}\n' + DONE, failures.ConnectionLost),
        (b"", failures.Incomplete),
        (DONE.replace(b"7", b"1" + b"0" * 400), Generated),
        (DONE.replace(b"7", b"-7"), Generated),
        (b'{"response":null}\n' + DONE, Generated),
        (DONE + b"<html>", Generated),
        (DONE.replace(b'"stop"', b"null"), failures.EmptyGeneration),
    ],
)
def test_generate_names_the_failure_of_any_stream(body: bytes, failure: type) -> None:
    """Invalid bytes, endless nesting, wrong types and impossible numbers in a stream are a named
    failure or are ignored.
    """
    with serve_bytes([HEAD, body]) as url:
        if failure is Generated:
            assert generate_at(url).prompt_tokens in (None, 7)
        else:
            with pytest.raises(failure) as raised:
                generate_at(url)
            assert type(raised.value) is failure


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [
        b'"7"',
        b"null",
        b"-7",
        b"7.5",
        b"1e400",
        b"true",
        b"[7]",
        b'{"n":7}',
        b"NaN",
        b"Infinity",
        b"9" * 6000,
        b"-" + b"9" * 400,
        b'"\\ud83d"',
        b'"many"',
    ],
)
@pytest.mark.parametrize(
    "field",
    ["prompt_eval_count", "eval_count", "eval_duration", "total_duration", "context", "new"],
)
def test_generate_keeps_an_answer_with_odd_statistics(field: str, odd: bytes) -> None:
    """A count or a duration of an odd type costs no complete answer; it counts as not reported."""
    last = b'{"response":"{}","done":true,"done_reason":"stop","%s":%s}\n' % (field.encode(), odd)
    with serve_bytes([HEAD, b'{"response":"","%s":%s}\n' % (field.encode(), odd), last]) as url:
        assert generate_at(url) == Generated("{}", None)


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        ([b'{"thinking":"hm"}'], "<think>hm</think>"),
        ([b'{"thinking":"h"}', b'{"thinking":"m","response":" "}'], "<think>hm</think> "),
        ([b'{"thinking":"<|im_end|></think>{}"}'], "<think>< |im_end|>< /think>{}</think>"),
    ],
)
def test_generate_names_and_keeps_reasoning_alone(lines: list[bytes], received: str) -> None:
    """Text in `thinking` without a `response` has a rule of its own, and the text is kept."""
    with (
        serve_bytes([HEAD, b"\n".join([*lines, DONE])]) as url,
        pytest.raises(failures.ReasoningOnly) as raised,
    ):
        generate_at(url)
    assert raised.value.received == received
    assert "`thinking`" in raised.value.detail


def test_generate_puts_reasoning_before_the_response() -> None:
    """Text in `thinking` beside a response is kept before it, as a model writes it."""
    with serve_bytes([HEAD, b'{"thinking":"hm"}\n{"response":"{}"}\n', DONE]) as url:
        assert generate_at(url).text == "<think>hm</think>{}"


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, b"[" * 50_000, failures.Rejected),
        (400, b'{"error":"\xff\xfe"}', failures.Rejected),
        (400, b'{"error":"\\ud800"}', failures.Rejected),
        (500, b"", failures.Crashed),
        (204, b"", failures.Rejected),
        (999, b"?", failures.Crashed),
        (
            400,
            b'{"error":"request (9 tokens) exceeds the available context size"}',
            failures.ContextExceeded,
        ),
    ],
)
def test_generate_names_the_failure_of_any_error_status(
    status: int, body: bytes, failure: type[failures.ModelError]
) -> None:
    """An error status with any body is a named failure whose detail has the status."""
    with (
        serve_bytes(
            [b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), body]
        ) as url,
        pytest.raises(failure) as raised,
    ):
        generate_at(url)
    assert f"HTTP {status}" in raised.value.detail
    raised.value.detail.encode()


def repeat_forever(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield then


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a"),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 60000\r\n\r\n", b"["),
        (HEAD, b" "),
        (HEAD + b'{"response":"', b"x"),
    ],
)
def test_generate_timeout_covers_headers_and_body(first: bytes, then: bytes) -> None:
    """The timeout covers endless headers, hints, chunk sizes, errors and lines."""
    started = time.monotonic()
    with (
        serve_bytes(repeat_forever(first, then), pause=0.02) as url,
        pytest.raises(failures.TimedOut),
    ):
        generate_at(url, seconds=0.3)
    assert time.monotonic() - started < 20  # for ever, without the timeout


def test_generate_returns_at_done_on_an_open_connection() -> None:
    """An answer with `done` is returned although the server keeps the connection open."""
    with serve_bytes(repeat_forever(HEAD + b'{"response":"{}"}\n' + DONE, b""), pause=0.02) as url:
        assert generate_at(url, seconds=0.3).text == "{}"


def test_generate_failure_keeps_the_text_so_far() -> None:
    """A lost connection and a timeout keep the text that was received before."""
    promising = HEAD.replace(b"Connection: close", b"Content-Length: 999")
    with (
        serve_bytes([promising, b'{"response":"so far"}\n']) as url,
        pytest.raises(failures.ConnectionLost) as torn,
    ):
        generate_at(url)
    with (
        serve_bytes(repeat_forever(HEAD + b'{"response":"so far"}\n', b""), pause=0.02) as url,
        pytest.raises(failures.TimedOut) as overdue,
    ):
        generate_at(url, seconds=0.3)
    assert (torn.value.received, overdue.value.received) == ("so far", "so far")


def test_generate_leaves_an_answer_that_is_too_long() -> None:
    """The stream is read until its text is longer than any answer can be, and no further."""
    line = b'{"response":"%s"}\n' % (b"a" * 50_000)
    sent = 0

    def flood() -> Iterator[bytes]:
        nonlocal sent
        yield HEAD
        while True:
            yield line
            sent += len(line)

    with serve_bytes(flood()) as url, pytest.raises(failures.TooLong) as long:
        generate_at(url)
    assert len(long.value.received) == limits.REPLY_CHARS
    assert sent < 32 * limits.REPLY_CHARS  # what waits in the sockets is sent too


def test_generate_ends_a_stalled_answer_at_the_silence_limit() -> None:
    """An answer that stalls ends after the silence limit, long before its timeout."""
    started = time.monotonic()
    with (
        serve_bytes(repeat_forever(HEAD + b'{"response":"x"}\n', b""), pause=0.02) as url,
        open_client(url, transport=TimedTransport()) as client,
        pytest.raises(failures.Silent) as silent,
    ):
        generate(client, {"model": "m"}, Patience(1, 600, 0.3, "--timeout"))
    assert time.monotonic() - started < 60
    detail = re.sub(r"after \d+ s", "after N s", silent.value.detail)
    assert detail == (
        "the server sent nothing for 0.3 s (kb entry model.timeouts, `silence`) in the middle of an"
        " answer; the connection was closed after N s of 600 s"
    )
    assert "`silence`" in silent.value.cure


def test_generate_timeout_names_the_setting_that_bounds_it() -> None:
    """An answer that is not complete in its time names the seconds and the option that set them."""
    with (
        serve_bytes(repeat_forever(HEAD + b'{"response":"x"}\n', b" "), pause=0.02) as url,
        open_client(url, transport=TimedTransport()) as client,
        pytest.raises(failures.TimedOut, match=r"within 0\.3 s \(--timeout\)"),
    ):
        generate(client, {"model": "m"}, Patience(1, 0.3, 600, "--timeout"))


def test_generate_ignores_text_after_done() -> None:
    """The first `done` ends the answer, and later text or another reason is ignored."""
    with serve_bytes([HEAD, b'{"response":"{}"}\n', DONE, b'{"response":"TAIL"}\n', DONE]) as url:
        assert generate_at(url).text == "{}"
    with (
        serve_bytes([HEAD, DONE.replace(b"stop", b"length"), DONE]) as url,
        pytest.raises(failures.Truncated),
    ):
        generate_at(url)
