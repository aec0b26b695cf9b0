"""The doors: hosts, pages, tokens, rights, headers."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.monitoring.system_monitor import system_monitor
from finops_cli.service.auth.tokens import make_token
from finops_cli.service.doors.load import LoadDoor
from finops_cli.service.metrics import Metrics
from finops_cli.service.problems import ServiceError
from finops_cli.service.requests import RequestFacts, RequestHeaders, keep_facts
from tests.service.conftest import TOKENS, Server, start, stop
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

pytestmark = pytest.mark.slow


def test_request_without_a_token_is_refused(server: Server) -> None:
    """Without a token only the open paths answer, and 401 says what is accepted."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for path in ("/v1/kb", "/metrics", "/openapi.json", "/v1/models", "/nothing"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code == 200


def test_right_by_role(server: Server) -> None:
    """A reader sees the rules and may not send records; an auditor neither sends."""
    for role, status in (("reader", 403), ("auditor", 403), ("analyst", 200), ("operator", 200)):
        with server.client(role) as client:
            assert client.get("/v1/kb/score.base").status_code == 200
            assert client.post("/v1/triage", json=a_fail()).status_code == status


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", ""]
)
def test_foreign_host_is_refused(server: Server, host: str) -> None:
    """A Host header of another name or port is refused, so that a rebound name reaches nothing."""
    with server.client(Host=host) as client:
        answer = client.get("/healthz")
    assert answer.status_code == 421
    assert answer.json()["type"] == "/problems/wrong-host"


def test_localhost_is_accepted(server: Server) -> None:
    """The name localhost with the port of the service is accepted."""
    port = server.url.rpartition(":")[2]
    with server.client(Host=f"localhost:{port}") as client:
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Cookie": "finops=x"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({}, 200),
    ],
)
def test_post_of_another_page_is_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    """An unsafe request comes from an own page, or from a program without a cookie."""
    with server.client(**headers) as client:
        assert client.post("/v1/triage", json=a_fail()).status_code == status


def test_answers_have_the_security_headers(server: Server) -> None:
    """Each answer, an error too, has the policy, no CORS header, and the name of the request."""
    with server.client() as client:
        for path in ("/healthz", "/v1/kb/nothing"):
            headers = client.get(path, headers={"X-Request-Id": "mine-1"}).headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["x-request-id"] == "mine-1"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


def test_streams_share_no_header(server: Server) -> None:
    """The answer of a stream has each header once, and the name of its own request alone."""
    with server.client() as client:
        for number in range(3):
            answer = client.post(
                "/v1/run",
                content=jsonl(a_fail()),
                headers={"Content-Type": "application/jsonl", "X-Request-Id": f"mine-{number}"},
            )
            names = [name.lower() for name, _ in answer.headers.raw]
            assert len(names) == len(set(names))
            assert answer.headers["x-request-id"] == f"mine-{number}"


def test_unusable_request_id_is_replaced(server: Server) -> None:
    """A name of a request that could forge a log line is replaced."""
    with server.client() as client:
        given = client.get("/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"]
    assert given != "a b"


def test_unknown_path_and_method_are_problems(server: Server) -> None:
    """404 and 405 are problem documents too."""
    with server.client() as client:
        assert client.get("/v1/nothing").json()["type"] == "/problems/not-found"
        answer = client.get("/v1/run")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.json()["type"] == "/problems/method"


def test_too_many_wrong_tokens_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The eleventh wrong token of a minute from one address gives 429."""
    from tests.service.conftest import start, stop

    server = start(tmp_path_factory.mktemp("wrong"), "--guard", "off")
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            statuses = [
                client.get(
                    "/v1/kb", headers={"Authorization": f"Bearer {make_token()}"}
                ).status_code
                for _ in range(11)
            ]
    finally:
        stop(server)
    assert statuses == [401] * 10 + [429]


def test_audit_log_has_what_was_denied(server: Server) -> None:
    """A denied request is an entry with its template, never its path. Only the audit right reads
    the log, whose chain verifies.
    """
    with server.client("reader") as reader:
        assert reader.get("/v1/audit").status_code == 403
        assert reader.post("/v1/triage", json=a_fail(fail_id="SECRET")).status_code == 403
    with server.client("auditor") as auditor:
        entries = auditor.get("/v1/audit", params={"limit": 1000}).json()
        assert auditor.get("/v1/audit/verify").json() == {"ok": True, "entries": len(entries)}
        assert auditor.get("/v1/audit", params={"after": "x"}).status_code == 422
    assert entries[0]["action"] == "start"
    denied = [each for each in entries if each["who"] == "reader"]
    assert {(each["action"], each["details"]["status"]) for each in denied} == {("denied", 403)}
    assert "SECRET" not in str(entries)


def test_second_service_on_a_data_folder_is_refused(server: Server, finops: Finops) -> None:
    """Two services never share a data folder: the second ends with 2 and says why."""
    done = finops("serve", "--port", "0", "--data", server.data, "--guard", "off")
    assert done.returncode == 2
    assert b"another finops" in done.stderr


@pytest.mark.slow
def test_unreadable_tokens_let_nobody_in(tmp_path: Path) -> None:
    """While the file of tokens is gone, damaged or open to others, every request for more than
    health is 503 and readiness says why; a mended file counts at once.
    """
    server = start(tmp_path, "--guard", "off")
    tokens = tmp_path / "tokens.toml"
    good = tokens.read_text()
    with server.client("admin") as client:
        for damage in (
            tokens.unlink,
            lambda: tokens.write_text("[[token]"),
            lambda: tokens.chmod(0o644),
        ):
            damage()
            for path in ("/v1/models", "/fails"):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
            given = client.post("/sign-in", data={"token": TOKENS["admin"]})
            assert given.status_code == 503
            assert client.get("/readyz").json() == {"ready": False, "missing": ["tokens"]}
            tokens.write_text(good)
            tokens.chmod(0o600)
            assert client.get("/v1/models").status_code == 200
    stop(server)


def ask_raw(server: Server, request: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_bytes_that_are_no_request_get_a_problem(server: Server) -> None:
    """Bytes that are not HTTP get a problem document, as every other error does."""
    head, _, body = ask_raw(server, b"nonsense\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["type"] == "/problems/request"


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_head_that_is_too_large_gets_a_problem(server: Server, size: int) -> None:
    """A head above the limit gets a problem document, also where the client sends on."""
    head, _, body = ask_raw(server, b"GET / HTTP/1.1\r\nX: " + b"x" * size).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["type"] == "/problems/head-too-large"


def test_trailers_are_not_read_as_headers(server: Server) -> None:
    """A field behind a chunked body changes nothing that the doors have read in the head."""
    body = json.dumps(a_fail()).encode()
    answer = ask_raw(
        server,
        b"POST /v1/run HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"%x\r\n%s\r\n0\r\nHost: evil.example\r\nX-Request-Id: trailer\r\n\r\n"
        % (
            server.url.removeprefix("http://").encode(),
            TOKENS["analyst"].encode(),
            len(body),
            body,
        ),
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"x-request-id: trailer" not in answer


async def _refusals(door: LoadDoor, clients: list[str], ended: asyncio.Event) -> list[str]:
    """Send a request of each client at once, end those in work, and name the refusals."""
    refused: list[str] = []

    async def ask(name: str) -> None:
        scope: Scope = {"type": "http", "headers": []}
        headers = RequestHeaders(scope)
        keep_facts(scope, RequestFacts(request_id="r", headers=headers, name=name))
        with suppress(AssertionError):  # of the application below
            try:
                await door(scope, ended.wait, ended.wait)  # type: ignore[arg-type]
            except ServiceError as error:
                refused.append(f"{name} {error.name}")

    asked = [asyncio.ensure_future(ask(name)) for name in clients]
    await asyncio.sleep(0)
    ended.set()
    await asyncio.gather(*asked)
    return refused


def test_requests_in_work_are_counted_by_client() -> None:
    """A client may have so many requests in work, and all clients together so many. What has ended
    counts no more, also after an error.
    """
    kb = load_kb(bundled_kb_dir())
    limits = {**kb.serve.limits, "client_requests": 2, "requests": 3}

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise AssertionError

    async def ask_twice() -> list[list[str]]:
        settings = replace(kb.serve, limits=limits)
        door = LoadDoor(work, settings, Metrics(system_monitor(kb)))
        clients = ["anna", "anna", "anna", "ben", "ben"]
        return [await _refusals(door, clients, asyncio.Event()) for _ in range(2)]

    assert asyncio.run(ask_twice()) == [["anna client-busy", "ben busy"]] * 2
