"""The service over time: memory, large uploads and garbage. `just soak` runs more of each."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_cli.kb.load import bundled_kb_dir
from tests.service.conftest import TOKENS, Server, start, stop
from tests.service.test_jobs import MONDAY, begin, finish, upload
from tests.support.records import a_fail
from tests.support.soak import scaled

pytestmark = pytest.mark.slow
CONNECTIONS = 16
MIB = 1024 * 1024
PERSON = "Please call Maria at maria.lopez@example.com or 212-555-0187"


def memory_mib(server: Server, field: str = "VmRSS") -> float:
    """Return the memory of the service; VmHWM is the most that it had."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    [found] = re.findall(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found) / 1024


async def ask_often(server: Server, count: int) -> None:
    """Send one record again and again over some connections, each after its answer."""
    port = int(server.url.rpartition(":")[2])
    body = json.dumps(a_fail()).encode()
    head = (
        f"POST /v1/run HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKENS['analyst']}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // CONNECTIONS):
            writer.write(head + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.startswith(b"http/1.1 200"), answer
            [length] = re.findall(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))


def test_many_requests_keep_memory_flat(tmp_path: Path) -> None:
    """After many requests and jobs the service has at most 200 MB, and the second half of the
    requests adds less than 5 MB.
    """
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        for _ in range(scaled(3, 100)):
            finish(client, begin(client, "run", upload(client, MONDAY)))
    requests = scaled(16_000, 1_000_000)
    asyncio.run(ask_often(server, requests // 2))
    half = memory_mib(server)
    asyncio.run(ask_often(server, requests // 2))
    end = memory_mib(server)
    stop(server)
    assert end <= 200
    assert end - half < 5


def lines(size: int) -> Iterator[bytes]:
    """Yield at least `size` bytes of records with personal data, without saying how many come."""
    line = json.dumps(a_fail(notes=PERSON)).encode() + b"\n"
    part = line * (64 * 1024 // len(line))
    for _ in range(size // len(part) + 1):
        yield part


def with_upload_limit(folder: Path, limit: int) -> Path:
    """Copy the rules, with another limit of an upload."""
    kb = Path(shutil.copytree(bundled_kb_dir(), folder / "kb"))
    rules = (kb / "serve.toml").read_text()
    assert "upload_bytes = 1073741824" in rules
    text = rules.replace("upload_bytes = 1073741824", f"upload_bytes = {limit}")
    (kb / "serve.toml").write_text(text)
    return kb


def send_chunks(server: Server, size: int, last: bytes) -> bytes:
    """Upload `size` bytes without saying how many come, then `last`, and return the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    part = b"%x\r\n%b\r\n" % (MIB, (b"x" * 1_023 + b"\n") * 1_024)
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(
            f"POST /v1/files HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n"
            f"Authorization: Bearer {TOKENS['operator']}\r\n"
            "Content-Type: application/jsonl\r\n\r\n".encode()
        )
        for _ in range(size // MIB):
            connection.sendall(part)
        connection.sendall(last)
        return connection.recv(4_096)


def test_upload_ends_at_the_byte_over_the_limit(tmp_path: Path) -> None:
    """An upload of the limit is stored; the next byte is refused with 413 although more may come,
    nothing of it is left, and neither takes 20 MB of memory.
    """
    limit = scaled(4 * MIB, 1024 * MIB)
    server = start(tmp_path, "--guard", "off", kb=with_upload_limit(tmp_path, limit))
    with server.client("operator") as client:
        upload(client, b"{}\n")
    before = memory_mib(server, "VmHWM")
    assert send_chunks(server, limit, b"0\r\n\r\n").startswith(b"HTTP/1.1 201 ")
    assert send_chunks(server, limit, b"1\r\nx\r\n").startswith(b"HTTP/1.1 413 ")
    assert {each.stat().st_size for each in (server.data / "files").iterdir()} == {3, limit}
    assert memory_mib(server, "VmHWM") - before <= 20
    stop(server)


def test_guarded_upload_takes_little_memory(tmp_path: Path) -> None:
    """A long upload is masked with at most 20 MB more memory in the service; over the limit it
    ends with 413, and nothing of it is left.
    """
    pytest.importorskip("presidio_analyzer")
    limit = scaled(2 * MIB, 1024 * MIB)
    server = start(tmp_path, kb=with_upload_limit(tmp_path, limit))
    headers = {"Content-Type": "application/jsonl"}
    with server.client("operator") as client:
        client.timeout = scaled(120, 3_600)
        upload(client, b"".join(lines(64 * 1024)))
        before = memory_mib(server, "VmHWM")
        size = scaled(MIB // 2, 64 * MIB)
        stored = client.post("/v1/files", content=lines(size), headers=headers)
        assert stored.status_code == 201
        kept = (server.data / "files" / stored.json()["id"]).read_bytes()
        assert b"maria.lopez" not in kept
        assert kept.count(b"\n") == stored.json()["lines"] == stored.json()["masked_lines"]
        names = {each.name for each in (server.data / "files").iterdir()}
        refused = client.post("/v1/files", content=lines(limit), headers=headers)
        assert refused.status_code == 413
        assert {each.name for each in (server.data / "files").iterdir()} == names
        assert memory_mib(server, "VmHWM") - before <= 20
    stop(server)


def garbage(draw: random.Random, port: int) -> bytes:
    """Make bytes that are not a request: random, cut off, or a request with nonsense behind it."""
    head = f"POST /v1/run HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    noise = draw.randbytes(draw.randrange(1, 400))
    return draw.choice(
        (
            noise,
            head.encode() + noise,
            f"{head}Transfer-Encoding: chunked\r\n\r\n{draw.randrange(99):x}\r\n".encode() + noise,
            f"{head}Content-Length: {draw.randrange(10**12)}\r\n\r\n".encode() + noise,
            f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() + noise,
            f"{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n".encode() + noise,
        )
    )


def test_garbage_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """Bytes that are not a request get a status 4xx or a closed connection (a good request before
    them gets 200); the service goes on with the memory that it had.
    """
    server = start(tmp_path, "--guard", "off")
    port, draw = int(server.url.rpartition(":")[2]), random.Random(6)
    asyncio.run(ask_often(server, 160))
    before = memory_mib(server)
    for _ in range(scaled(500, 10_000)):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(garbage(draw, port))
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(4_096)
            except ConnectionResetError:
                continue
        assert not answer or re.match(rb"HTTP/1.1 (200|4\d\d) ", answer), answer
    with server.client() as client:
        assert client.post("/v1/run", json=a_fail()).status_code == 200
    grown = memory_mib(server) - before
    stop(server)
    assert server.process.returncode == 0
    assert grown < 20
