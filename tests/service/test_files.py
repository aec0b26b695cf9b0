"""Uploads: masked on the way in, within the limits, nothing left of what was refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from finops_cli.domain import limits
from finops_cli.guard.detector import installed
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.service.file_parts import FilePart
from finops_cli.service.uploads.mask_worker import mask_lines
from finops_cli.service.uploads.masking import KNOWN_NAMES, mask_line
from tests.service.conftest import TOKENS, Server, start, stop
from tests.support.program import ROOT
from tests.support.records import a_fail, jsonl

LINES = {"Content-Type": "application/jsonl"}
SSN = "078-05-1120"
KB = load_kb(bundled_kb_dir())
needs_guard = pytest.mark.skipif(not installed(), reason="the guard is not installed")


def mask(line: bytes) -> bytes:
    policy = redaction_policy("require", True, KB)
    assert policy is not None
    return mask_line(policy, line, KB)


@needs_guard
def test_guard_masks_no_name_of_a_field() -> None:
    """The names that an upload keeps unread are names in which the guard finds nothing."""
    policy = redaction_policy("require", True, KB)
    assert policy is not None
    opened = policy.open_mask()
    assert {"cusip", "counterparty", "ftd_qty"} < KNOWN_NAMES
    assert [name for name in KNOWN_NAMES if opened.some(name) != name] == []
    assert SSN.encode() not in mask(jsonl(a_fail(**{f"ssn {SSN}": 1})))


@needs_guard
@pytest.mark.parametrize(
    "line",
    [
        {"text": f"the client {SSN} called"},
        {"id": "T-1", "text": f"ssn {SSN}"},
        a_fail(notes=f"SSN {SSN} on file"),
        a_fail(dk_reason=f"ssn: {SSN}"),
        a_fail(fail_id=f"F-{SSN}"),
        a_fail(cusip=SSN),
        a_fail(unknown=f"ssn {SSN}"),
        a_fail(clock_facts={"events": [{"type": "x", "id": f"ssn {SSN}"}]}),
        {"input": 1, "triage": {"reason": f"ssn {SSN}"}},
        {"fail_id": "F-1", "provenance": {}, "triage": {"reason": f"ssn {SSN}"}},
        [f"ssn {SSN}"],
        f"ssn {SSN}",
    ],
)
def test_line_is_masked_wherever_the_text_stands(line: object) -> None:
    """Personal data is masked in each field that holds text, known or not."""
    masked = mask(json.dumps(line).encode())
    assert SSN.encode() not in masked
    assert b"[" in masked


@needs_guard
@pytest.mark.parametrize(
    "line",
    [
        f'{{"notes": "ssn {SSN}", "notes": "none"}}'.encode(),
        f"F-1,594918104,ssn {SSN}".encode(),
        f'F-1,"a, b",ssn {SSN}\r'.encode(),
        f"F-1,{SSN},32000".encode(),
        f"not json: ssn {SSN}".encode(),
        f'{{"notes": "ssn {SSN}'.encode(),
        f"\xff ssn {SSN}".encode("latin-1"),
    ],
)
def test_line_of_another_form_is_masked(line: bytes) -> None:
    """A name that is given twice hides nothing, and a line that is not JSON is read as text."""
    assert SSN.encode() not in mask(line)


@needs_guard
@pytest.mark.parametrize(
    "line",
    [
        *(ROOT / "examples/monday.jsonl").read_bytes().splitlines(),
        *(ROOT / "examples/cards/cases.jsonl").read_bytes().splitlines(),
        *(ROOT / "examples/monday.expected.jsonl").read_bytes().splitlines(),
        *(ROOT / "examples/csv/blotter.csv").read_bytes().splitlines(),
        b"",
        b"   ",
    ],
)
def test_line_without_personal_data_keeps_its_bytes(line: bytes) -> None:
    """A line in which nothing is found is stored as it was sent, byte for byte."""
    assert mask(line) == line


@needs_guard
def test_line_over_the_limit_stays_too_long() -> None:
    """A line that nobody can read in time is withheld, and is still rejected for its length."""
    masked = mask(b'{"notes": "ssn ' + SSN.encode() + b" " * limits.LINE_BYTES)
    assert SSN.encode() not in masked
    assert len(masked) > limits.LINE_BYTES


@needs_guard
def test_frame_counts_the_lines_that_it_masks() -> None:
    """A frame keeps its lines in order, and its count is that of lines with a finding."""
    policy = redaction_policy("require", True, KB)
    assert policy is not None
    given = jsonl(a_fail(), a_fail(notes=f"ssn {SSN}"), a_fail()).rstrip(b"\n")
    masked, changed = mask_lines(policy, given, KB)
    assert changed == 1
    assert [b"[" in each for each in masked.split(b"\n")] == [False, True, False]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the guard."""
    running = start(tmp_path_factory.mktemp("guarded"))
    yield running
    stop(running)


def upload(client: httpx.Client, content: bytes, **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/files", content=content, headers={**LINES, **headers})
    assert answer.status_code == 201, answer.text
    facts: dict[str, Any] = answer.json()
    return facts


@pytest.mark.slow
@needs_guard
def test_upload_stores_no_personal_data(guarded: Server) -> None:
    """Nothing in the data folder holds what the guard masked; the digest is of what was sent."""
    records = [a_fail(fail_id=f"F-{n}", notes=f"ssn {SSN} a") for n in range(3_000)]
    content = jsonl(*records) + f"ssn {SSN}".encode()
    with guarded.client("operator") as client:
        facts = upload(client, content)
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert (facts["lines"], facts["masked_lines"], facts["bytes"]) == (3_001, 3_001, len(content))
    stored = (guarded.data / "files" / facts["id"]).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == facts["stored_sha256"]
    names = [json.loads(line)["fail_id"] for line in stored.splitlines()[:-1]]
    assert names == [f"F-{n}" for n in range(3_000)]
    for path in guarded.data.rglob("*"):
        assert not path.is_file() or SSN.encode() not in path.read_bytes()


@pytest.mark.slow
def test_upload_is_stored_as_sent_without_the_guard(server: Server) -> None:
    """Without the guard the stored bytes are those that were sent, for the owner alone."""
    content = b"\xff{broken\r\n\n" + jsonl(a_fail()) * 5_000 + b"last line"
    with server.client("operator") as client:
        answer = client.post("/v1/files?name=../../etc/a%0Ab.jsonl", content=content, headers=LINES)
        facts = answer.json()
        assert answer.headers["location"] == f"/v1/files/{facts['id']}"
        assert client.get(answer.headers["location"]).json() == facts
    path = server.data / "files" / facts["id"]
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "/" not in facts["name"]
    assert "\n" not in facts["name"]
    assert facts["lines"] == 5_003


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh9"])
def test_packed_upload_is_refused(server: Server, head: bytes) -> None:
    """A packed file is refused, whatever it says to be, and nothing of it is left."""
    with server.client("operator") as client:
        answer = client.post("/v1/files", content=head + b"x" * 100, headers=LINES)
        assert answer.status_code == 415
    assert list((server.data / "files").glob("*.part")) == []


@pytest.mark.slow
def test_upload_over_the_limit_is_refused_at_once(server: Server) -> None:
    """An upload that announces more than the limit is refused before it is sent."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
            b"Content-Type: application/jsonl\r\nContent-Length: %d\r\n\r\n"
            % (
                server.url.removeprefix("http://").encode(),
                TOKENS["operator"].encode(),
                2**30 + 1,
            )
        )
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.slow
def test_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    """A client that goes away in the middle leaves no file and no row."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with server.client("operator") as client:
        before = client.get("/v1/files").json()
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(
                b"POST /v1/files HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                b"Content-Type: application/jsonl\r\nContent-Length: 1000\r\n\r\n{}\n"
                % (server.url.removeprefix("http://").encode(), TOKENS["operator"].encode())
            )
        for _ in range(100):
            if not list((server.data / "files").glob("*.part")):
                break
            client.get("/healthz")
        assert client.get("/v1/files").json() == before
    assert list((server.data / "files").glob("*.part")) == []


@pytest.mark.slow
def test_upload_with_a_key_is_stored_once(server: Server) -> None:
    """The same key and bytes give the first answer; other bytes under the key are refused."""
    with server.client("operator") as client:
        first = upload(client, b"{}\n", **{"Idempotency-Key": "files-1"})
        again = client.post(
            "/v1/files", content=b"{}\n", headers={**LINES, "Idempotency-Key": "files-1"}
        )
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first
        other = client.post(
            "/v1/files", content=b"[]\n", headers={**LINES, "Idempotency-Key": "files-1"}
        )
        assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
        assert sum(each["id"] == first["id"] for each in client.get("/v1/files").json()) == 1


@pytest.mark.slow
def test_deleted_file_is_gone(server: Server) -> None:
    """A deleted file answers 410, an unknown one 404, and its bytes are gone."""
    with server.client("operator") as client:
        facts = upload(client, b"{}\n")
        assert client.delete(f"/v1/files/{facts['id']}").status_code == 204
        assert client.get(f"/v1/files/{facts['id']}").status_code == 410
        assert client.delete(f"/v1/files/{facts['id']}").status_code == 410
        assert client.get("/v1/files/file-0").status_code == 404
    assert not (server.data / "files" / facts["id"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("role", ["reader", "analyst", "auditor"])
def test_upload_needs_the_role_operator(server: Server, role: str) -> None:
    """Only operators and admins upload."""
    with server.client(role) as client:
        assert client.post("/v1/files", content=b"{}", headers=LINES).status_code == 403


def test_names_of_files_are_ids(tmp_path: Path) -> None:
    """No name that a client sends becomes a path: the folder holds ids alone."""
    from finops_cli.service.store.files import files_folder

    assert files_folder(tmp_path) == tmp_path / "files"


def test_file_that_was_cut_ends_its_answer(tmp_path: Path) -> None:
    """An answer from a file that has fewer bytes than it should ends, and does not hang."""
    (tmp_path / "out.jsonl").write_bytes(b"{}\n")
    part = FilePart(tmp_path / "out.jsonl", 0, 10, 200, {})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def answer() -> None:
        async with asyncio.timeout(5):
            await part({"type": "http", "method": "GET"}, _receive_nothing, send)

    with pytest.raises(EOFError, match="has 3 bytes, and not 10"):
        asyncio.run(answer())
    assert [each.get("body") for each in sent[1:]] == [b"{}\n"]


async def _receive_nothing() -> Message:
    raise AssertionError
