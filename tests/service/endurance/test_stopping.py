"""A stop while answers take longer than its time: they end after a whole line."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.desk.test_fail_values import LINES, RECORDS
from tests.service.conftest import TOKENS, Server, start
from tests.support.crafted_jobs import craft_job
from tests.support.own_kb import change_kb
from tests.support.records import a_fail

pytestmark = pytest.mark.slow
LARGE_BYTES = 24 * 1024 * 1024
"""More than the sockets of both sides hold, so that the service waits for the reader."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A service with a large job, whose stop gives requests in work a second."""
    craft_job(tmp_path / "data", [LINES[0]] * (LARGE_BYTES // len(LINES[0])), RECORDS[:1])
    kb = change_kb(tmp_path, "serve.toml", "drain = 30", "drain = 1")
    running = start(tmp_path, "--guard", "off", kb=kb)
    yield running
    running.process.kill()
    running.process.communicate()


def connect(server: Server, head: str, body: bytes = b"") -> socket.socket:
    """Send the head of a request, and its body if it has one, over a small socket."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    opened.settimeout(120)
    host, port = server.url.removeprefix("http://").split(":")
    opened.connect((host, int(port)))
    more = f"Host: {host}:{port}\r\nAuthorization: Bearer {TOKENS['operator']}\r\n\r\n"
    opened.sendall(f"{head}\r\n{more}".encode() + body)
    return opened


def read_rest(opened: socket.socket) -> bytes:
    """Read until the service closes the connection."""
    return b"".join(iter(lambda: opened.recv(65_536), b""))


def stop_beside_upload(server: Server) -> bytes:
    """Stop the service beside an upload that never ends; return the answer of that upload, which
    comes when the time of the stop is over.
    """
    head = "POST /v1/files HTTP/1.1\r\nContent-Type: application/jsonl\r\nContent-Length: 9999"
    with closing(connect(server, head, b"{}\n")) as upload:
        with server.client("operator") as client:
            client.get("/healthz").raise_for_status()
        server.process.send_signal(signal.SIGTERM)
        return read_rest(upload)


@pytest.mark.parametrize("path", ["/v1/jobs/job-1/output", "/v1/export?format=jsonl"])
def test_long_answer_ends_after_a_whole_line(server: Server, path: str) -> None:
    """At the end of a stop, an output or an export that is not read yet ends behind a whole line,
    a request without an answer gets 503, and the service ends with 0 and without a traceback.
    """
    with closing(connect(server, f"GET {path} HTTP/1.1")) as reader:
        head = b""
        while b"\r\n\r\n" not in head:
            head += reader.recv(4_096)
        refused = stop_beside_upload(server)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"/problems/stopping" in refused
        head, _, body = (head + read_rest(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert 0 < len(body) < LARGE_BYTES
    assert body.endswith(b"\n")
    assert all(json.loads(line) for line in body.splitlines())
    _, messages = server.process.communicate(timeout=60)
    assert (server.process.returncode, messages) == (0, "")


def test_open_stream_ends_after_a_whole_line(server: Server) -> None:
    """A stream whose client sends no more has each answer, and its proper end, at the stop."""
    lines = b"".join(json.dumps(a_fail(fail_id=f"F-{n}")).encode() + b"\n" for n in range(3))
    head = "POST /v1/run HTTP/1.1\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked"
    with closing(connect(server, head, b"%x\r\n%b\r\n" % (len(lines), lines))) as reader:
        got = b""
        while got.count(b'"fail_id":"F-') < 3:
            got += reader.recv(65_536)
        stop_beside_upload(server)
        got += read_rest(reader)
    assert got.endswith(b"\n\r\n0\r\n\r\n")
    _, messages = server.process.communicate(timeout=60)
    assert (server.process.returncode, messages) == (0, "")
