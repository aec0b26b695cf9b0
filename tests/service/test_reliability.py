"""The service under kills, stops and slow clients: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from finops_cli.kb.load import bundled_kb_dir
from tests.service.conftest import TOKENS, Server, start
from tests.service.test_fails import fails
from tests.service.test_jobs import LINES, MONDAY, begin, finish, upload
from tests.support.records import a_fail
from tests.support.soak import IS_SOAK, scaled

pytestmark = pytest.mark.slow


def address(server: Server) -> tuple[str, int]:
    return "127.0.0.1", int(server.url.rpartition(":")[2])


class Deciding(threading.Thread):
    """Decides and uploads until the service goes away; remembers what was acknowledged."""

    def __init__(self, server: Server, fail: str, first: int) -> None:
        super().__init__()
        self.server, self.fail, self.next = server, fail, first
        self.decided: list[str] = []
        self.files: list[str] = []

    def run(self) -> None:
        with self.server.client("operator") as client:
            try:
                while True:
                    word, self.next = f"n{self.next}", self.next + 1
                    body = {"kind": "comment", "comment": word}
                    headers = {"Idempotency-Key": word}
                    path = f"/v1/fails/{self.fail}/decisions"
                    if client.post(path, json=body, headers=headers).status_code == 201:
                        self.decided.append(word)
                    answer = client.post("/v1/files", content=word.encode(), headers=LINES)
                    if answer.status_code == 201:
                        self.files.append(answer.json()["id"])
            except httpx.HTTPError:
                return


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """After kills at random moments every acknowledged decision and file is there, once; a request
    that is sent again under its key is done once, answered before or not; the chain is unbroken.
    """
    moments = random.Random(9)
    server = start(tmp_path, "--guard", "off")
    with server.client("operator") as client:
        finish(client, begin(client, "run", upload(client, MONDAY)))
        fail = fails(client)[0]["id"]
    decided: list[str] = []
    files: list[str] = []
    first = 0
    for _ in range(scaled(3, 20)):
        worker = Deciding(server, fail, first)
        worker.start()
        until = time.monotonic() + 60
        while not worker.files and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.8))
        server.process.kill()
        server.process.communicate()
        worker.join()
        decided, files, first = decided + worker.decided, files + worker.files, worker.next
        server = start(tmp_path, "--guard", "off")
        with server.client("operator") as client:
            word = f"n{first - 1}"
            again = client.post(
                f"/v1/fails/{fail}/decisions",
                json={"kind": "comment", "comment": word},
                headers={"Idempotency-Key": word},
            )
            assert again.status_code == 201
    with server.client("admin") as client:
        made = client.get(f"/v1/fails/{fail}").json()["decisions"]
        words = [each["content"]["comment"] for each in made]
        assert len(words) == len(set(words))
        assert set(decided) <= set(words)
        for id in files:
            stored = (server.data / "files" / id).read_bytes()
            assert len(stored) == client.get(f"/v1/files/{id}").json()["stored_bytes"]
        assert client.get("/v1/audit/verify").json()["ok"]
    server.process.terminate()
    server.process.communicate()
    assert decided
    assert files


def test_stop_under_load_answers_or_refuses(tmp_path: Path) -> None:
    """A service that is stopped under load ends with 0; each request has a whole answer, a 503 or
    no connection.
    """
    server = start(tmp_path, "--guard", "off")
    records = [a_fail(fail_id=f"F-{number}") for number in range(200)]
    seen: list[object] = []

    def work() -> None:
        with server.client("analyst") as client:
            while True:
                try:
                    answer = client.post("/v1/run", json=records)
                except httpx.HTTPError as error:
                    seen.append(error)
                    return
                seen.append(answer.status_code)
                if answer.status_code == 200:
                    assert len(answer.json()) == len(records)
                else:
                    return

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 120
    while seen.count(200) < len(threads) and time.monotonic() < until:
        time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    _, messages = server.process.communicate(timeout=60)
    for thread in threads:
        thread.join()
    assert server.process.returncode == 0, messages
    assert seen.count(200) > 0
    refused = [each for each in seen if each != 200]
    assert all(each == 503 or isinstance(each, httpx.TransportError) for each in refused)
    cut = [each for each in refused if isinstance(each, httpx.RemoteProtocolError)]
    assert all("without sending a response" in str(each) for each in cut)


def test_slow_connections_are_closed_and_hold_up_nobody(server: Server) -> None:
    """200 connections that drip a byte a second of a head, and 200 that drip a body, are closed by
    their deadline; others are answered meanwhile.
    """
    with ExitStack() as stack:
        heads = [socket.create_connection(address(server)) for _ in range(200)]
        for each in heads:
            each.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\n")
        slow = [*heads, *(open_post(server, "/v1/run", 1_000_000) for _ in range(200))]
        open_ones, began = [stack.enter_context(each) for each in slow], time.monotonic()
        with server.client("analyst") as client:
            while open_ones and time.monotonic() - began < 40:
                assert client.post("/v1/triage", json=a_fail()).status_code == 200
                open_ones = [each for each in open_ones if drip(each)]
                time.sleep(0.5)
    assert open_ones == []


def drip(connection: socket.socket) -> bool:
    """Send a byte; return false for a connection that was closed."""
    connection.setblocking(False)
    try:
        connection.send(b"X")
        return connection.recv(65_536) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.setblocking(True)


def test_reader_that_stalls_keeps_no_others_waiting(server: Server) -> None:
    """A client that never reads its answers does not stop another stream."""
    lines = b"".join(json.dumps(a_fail(fail_id=f"F-{n}")).encode() + b"\n" for n in range(3_000))
    head = (
        f"POST /v1/run HTTP/1.1\r\nHost: 127.0.0.1:{address(server)[1]}\r\n"
        f"Authorization: Bearer {TOKENS['analyst']}\r\nContent-Type: application/jsonl\r\n"
        f"Content-Length: {len(lines)}\r\n\r\n"
    ).encode()
    with socket.create_connection(address(server)) as stalled:
        stalled.sendall(head + lines)
        with server.client("analyst") as client:
            answer = client.post("/v1/run", content=lines, headers=LINES)
            assert len(answer.content.splitlines()) == 3_000


def impatient(folder: Path) -> Server:
    """Start a service that gives slow clients a second or two."""
    kb = Path(shutil.copytree(bundled_kb_dir(), folder / "kb"))
    rules = (kb / "serve.toml").read_text()
    for name, usual, less in (("head", 10, 1), ("stall", 60, 2)):
        assert f" {name} = {usual}," in rules
        rules = rules.replace(f" {name} = {usual},", f" {name} = {less},")
    (kb / "serve.toml").write_text(rules)
    return start(folder, "--guard", "off", kb=kb)


def open_post(server: Server, path: str, length: int) -> socket.socket:
    """Send the head of a request with a body of `length` bytes."""
    connection = socket.create_connection(address(server), timeout=60)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{address(server)[1]}\r\n"
        f"Authorization: Bearer {TOKENS['operator']}\r\nContent-Type: application/jsonl\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
    )
    return connection


def test_body_that_began_fast_is_not_waited_for(tmp_path: Path) -> None:
    """A connection that sends much at once and then nothing is closed as one that is slow."""
    server = impatient(tmp_path)
    with open_post(server, "/v1/files", 50_000_000) as connection:
        connection.sendall(b"x" * 20_000_000)
        assert connection.recv(1) == b""
    server.process.terminate()
    server.process.communicate(timeout=30)


def test_reader_that_takes_no_answer_is_closed(tmp_path: Path) -> None:
    """A connection that reads nothing of a long answer is closed, and its request ends (200 of them
    in `just soak`).
    """
    server = impatient(tmp_path)
    records = [a_fail(fail_id=f"F-{number}") for number in range(1_000)]
    body = json.dumps(records).encode()
    with ExitStack() as stack, server.client("operator") as client:
        client.timeout = scaled(30, 300)
        for _ in range(scaled(4, 200)):
            connection = socket.socket()
            stack.enter_context(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(address(server))
            connection.sendall(
                f"POST /v1/run HTTP/1.1\r\nHost: 127.0.0.1:{address(server)[1]}\r\n"
                f"Authorization: Bearer {TOKENS['analyst']}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        until = time.monotonic() + scaled(120, 900)
        while time.monotonic() < until and in_work(client) != 1:
            time.sleep(0.2)
        assert in_work(client) == 1
        assert client.get("/metrics").json()["monitor"]["in_work"] == 1
    server.process.terminate()
    server.process.communicate(timeout=30)


def in_work(client: httpx.Client) -> int:
    """Return the requests in work, this one too."""
    text = client.get("/metrics", headers={"Accept": "text/plain"}).text
    [found] = re.findall(r"^finops_requests_in_work (\S+)$", text, re.MULTILINE)
    return int(float(found))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_client_that_still_sends_gets_its_refusal(server: Server) -> None:
    """A client that sends a body without saying how long it is gets 413 once it is over the limit,
    although it has not sent all of it.
    """
    path, size = ("/v1/files", 1_200_000_000) if IS_SOAK else ("/v1/run", 80_000_000)
    source = ["head", "-c", str(size), "/dev/zero"]
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-T", "-"]
    command += ["-H", "Expect:", "-H", "Content-Type: application/jsonl"]
    command += ["-H", f"Authorization: Bearer {TOKENS['operator']}", server.url + path]
    with subprocess.Popen(source, stdout=subprocess.PIPE) as sends:
        done = subprocess.run(
            command, stdin=sends.stdout, capture_output=True, text=True, check=False
        )
        sends.kill()
    assert (done.returncode, done.stdout) == (0, "413"), done.stderr


def test_full_disk_is_told_and_overcome(tmp_path: Path) -> None:
    """On a full disk an upload gets 507 and readiness says so; nothing of it is left, and with room
    again the service goes on.
    """
    small = tmp_path / "data"
    small.mkdir()
    options = ["-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("a small file system cannot be mounted")
    try:
        kb = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
        rules = (kb / "serve.toml").read_text()
        least = "free_bytes = 1073741824"
        assert least in rules
        (kb / "serve.toml").write_text(rules.replace(least, "free_bytes = 1048576"))
        server = start(tmp_path, "--guard", "off", kb=kb)
        with server.client("operator") as client:
            fill = upload(client, b"x" * 3_000_000)
            answer = client.post("/v1/files", content=chunks(5_000_000), headers=LINES)
            assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
            fill_up(small / "filler")
            assert client.get("/readyz").json() == {"ready": False, "missing": ["disk"]}
            answer = client.post("/v1/files", content=b"{}", headers=LINES)
            assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
            assert client.post("/v1/run", json=a_fail()).status_code == 200
            (small / "filler").unlink()
            assert client.delete(f"/v1/files/{fill}").status_code == 204
            assert client.get("/readyz").json()["ready"]
            job = finish(client, begin(client, "run", upload(client, MONDAY)))
            assert job["state"] == "completed", job
        assert list((small / "files").glob("*.part")) == []
        server.process.terminate()
        server.process.communicate(timeout=30)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def fill_up(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"z" * 4_096):
            pass


def chunks(count: int) -> Iterator[bytes]:
    """Yield bytes without saying how many come."""
    for _ in range(count // 50_000):
        yield b"y" * 50_000
