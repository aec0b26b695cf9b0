"""One generation against servers that do not keep to HTTP, JSON or time: every word of theirs is a
named failure, none an error of ours.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from finops_cli.models import failures
from finops_cli.models.ollama.generate import Generated, Patience, generate
from finops_cli.models.ollama.hosts import open_client
from finops_cli.models.ollama.timeouts import TimedTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
DONE = b'{"response":"","done":true,"done_reason":"stop","prompt_eval_count":7}\n'


@contextmanager
def saying(pieces: Iterable[bytes], pause: float = 0.0) -> Iterator[str]:
    """A socket that answers one request with `pieces`, a pause before each, and closes."""
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while not asked.endswith(
                    b"}"
                ):  # what is left unread at the end would reset the connection
                    asked += connection.recv(65536)
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


def _generated(url: str, seconds: float = 5.0) -> Generated:
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
        (DONE.replace(b"7", b'"7"'), failures.ConnectionLost),
        (DONE.replace(b'"stop"', b"null"), failures.EmptyGeneration),
    ],
)
def test_a_stream_of_any_content(body: bytes, failure: type) -> None:
    """Bytes that are no text, nesting without end, types that are none of the protocol's, numbers
    that cannot be.
    """
    with saying([HEAD, body]) as url:
        if failure is Generated:
            assert _generated(url).prompt_tokens in (None, 7)
        else:
            with pytest.raises(failure) as raised:
                _generated(url)
            assert type(raised.value) is failure


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
def test_a_status_with_any_body(
    status: int, body: bytes, failure: type[failures.ModelError]
) -> None:
    with (
        saying([b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), body]) as url,
        pytest.raises(failure) as raised,
    ):
        _generated(url)
    assert f"HTTP {status}" in raised.value.detail
    raised.value.detail.encode()


def _for_ever(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield then


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
def test_an_answer_is_overdue_however_it_is_dripped(first: bytes, then: bytes) -> None:
    """Headers, hints, chunk sizes, errors and lines without an end: the timeout holds for all of
    it together.
    """
    started = time.monotonic()
    with saying(_for_ever(first, then), pause=0.02) as url, pytest.raises(failures.TimedOut):
        _generated(url, seconds=0.3)
    assert time.monotonic() - started < 20  # for ever, without the timeout


def test_an_answer_that_is_there_counts_though_the_connection_never_ends() -> None:
    """`done` was said: that the server keeps the connection open takes nothing from the answer."""
    with saying(_for_ever(HEAD + b'{"response":"{}"}\n' + DONE, b""), pause=0.02) as url:
        assert _generated(url, seconds=0.3).text == "{}"


def test_what_came_before_an_end_is_kept() -> None:
    """Torn or overdue, the text so far is there to be looked at."""
    promising = HEAD.replace(b"Connection: close", b"Content-Length: 999")
    with (
        saying([promising, b'{"response":"so far"}\n']) as url,
        pytest.raises(failures.ConnectionLost) as torn,
    ):
        _generated(url)
    with (
        saying(_for_ever(HEAD + b'{"response":"so far"}\n', b""), pause=0.02) as url,
        pytest.raises(failures.TimedOut) as overdue,
    ):
        _generated(url, seconds=0.3)
    assert (torn.value.received, overdue.value.received) == ("so far", "so far")


def test_a_silence_between_pieces_is_not_waited_out() -> None:
    """A stalled answer ends after `silence`, long before its timeout."""
    started = time.monotonic()
    with (
        saying(_for_ever(HEAD + b'{"response":"x"}\n', b""), pause=0.02) as url,
        open_client(url, transport=TimedTransport()) as client,
        pytest.raises(failures.TimedOut),
    ):
        generate(client, {"model": "m"}, Patience(1, 600, 0.3))
    assert time.monotonic() - started < 60


def test_what_is_said_behind_the_end_belongs_to_nothing() -> None:
    """The first `done` ends the answer: neither text nor another reason behind it counts."""
    with saying([HEAD, b'{"response":"{}"}\n', DONE, b'{"response":"TAIL"}\n', DONE]) as url:
        assert _generated(url).text == "{}"
    with (
        saying([HEAD, DONE.replace(b"stop", b"length"), DONE]) as url,
        pytest.raises(failures.Truncated),
    ):
        _generated(url)
