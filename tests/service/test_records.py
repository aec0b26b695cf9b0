"""One record, lists and streams: the same lines as `finops run`."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import TOKENS, Server
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

pytestmark = pytest.mark.slow
MONDAY = ROOT / "examples/monday.jsonl"
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/jsonl"}


def cli_lines(finops: Finops, command: str, given: bytes) -> bytes:
    return finops(command, "-", "--no-timing", "-q", stdin=given).stdout


@pytest.mark.parametrize("command", ["run", "triage"])
def test_stream_equals_the_output_of_the_command(
    client: httpx.Client, finops: Finops, command: str
) -> None:
    """A stream of lines gives the bytes of the command, rejected and repeated lines too."""
    given = MONDAY.read_bytes() + b"{broken\n" + MONDAY.read_bytes().splitlines()[0]
    answer = client.post(f"/v1/{command}", content=given, headers=LINES)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.content == cli_lines(finops, command, given)


def test_list_equals_the_output_of_the_command(client: httpx.Client, finops: Finops) -> None:
    """A list gives a list in order; an unusable element is a rejected line, and the header says
    that not every answer is verified.
    """
    records = [json.loads(line) for line in MONDAY.read_bytes().splitlines()]
    records.insert(2, {"cusip": 1})
    answer = client.post("/v1/run", json=records)
    assert answer.status_code == 200
    assert answer.headers["finops-verified"] == "false"
    expected = cli_lines(finops, "run", jsonl(*records))
    got = b"".join(json.dumps(each).encode() + b"\n" for each in answer.json())
    assert rows(got) == rows(expected)


def test_one_record_gives_its_line(client: httpx.Client, finops: Finops) -> None:
    """One object gives the line that the command prints, and says that it is verified."""
    body = jsonl(a_fail()).strip()
    answer = client.post("/v1/run", content=body, headers=JSON)
    assert answer.content == cli_lines(finops, "run", body)
    assert answer.headers["finops-verified"] == "true"


def test_unusable_record_is_a_problem(client: httpx.Client) -> None:
    """One record that cannot be used gives 422 with the problems of the rejection."""
    answer = client.post("/v1/run", json=a_fail(age_days=-1))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "/problems/record"
    assert [each["path"] for each in problem["problems"]] == ["/age_days"]
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "name"),
    [
        (b"{", JSON, 400, "not-json"),
        (b"[1", JSON, 400, "not-json"),
        (b"", JSON, 400, "not-json"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "media-type"),
        (b"{}", {}, 415, "media-type"),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 415, "media-type"),
        (b"[" + b"{}," * 1000 + b"{}]", JSON, 413, "too-large"),
        (b" " * (32 * 1024 * 1024 + 1), JSON, 413, "too-large"),
    ],
)
def test_unusable_body_is_a_problem(
    client: httpx.Client, body: bytes, headers: dict[str, str], status: int, name: str
) -> None:
    """A body that is not JSON, of another type, packed, or too large has its own problem."""
    answer = client.post("/v1/run", content=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}")


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ({"as_of": "now"}, "as_of is now"),
        ({"as_of": "2026-02-30"}, "as_of is 2026-02-30"),
        ({"clock": "law"}, "clock is law; accepted: card or regulation"),
        ({"timing": "yes"}, "timing is yes; accepted: true or false"),
        ({"speed": "1"}, "the parameter is speed"),
    ],
)
def test_unusable_parameter_is_a_problem(
    client: httpx.Client, query: dict[str, str], part: str
) -> None:
    """A parameter that a route does not know, or cannot use, gives 422 and what is accepted."""
    answer = client.post("/v1/run", json=a_fail(), params=query)
    assert answer.status_code == 422
    assert part in answer.json()["detail"]


@pytest.mark.parametrize("kind", [JSON, LINES])
@pytest.mark.parametrize("key", ["", "two\twords", "k" * 256, "clé"])
def test_wrong_idempotency_key_is_a_problem(
    client: httpx.Client, kind: dict[str, str], key: str
) -> None:
    """A key that is empty, too long or not printable gives 422, also where the rules answer and
    need no key; the longest key is accepted.
    """
    body = jsonl(a_fail())
    wrong = {**kind, "Idempotency-Key": key.encode("latin-1")}
    answer = client.post("/v1/run", content=body, headers=wrong)
    assert answer.status_code == 422
    assert "the header Idempotency-Key is empty, too long or not printable" in answer.text
    right = {**kind, "Idempotency-Key": "k" * 255}
    assert client.post("/v1/run", content=body, headers=right).status_code == 200


def test_clock_needs_a_moment(client: httpx.Client, finops: Finops, tmp_path: Path) -> None:
    """The clock never reads the time of the machine: without `as_of` it gives 422. With it, the
    line is that of `finops clock`.
    """
    facts = {"settlement_date": "2026-11-24", "security_type": "equity"}
    record = a_fail(clock_facts=facts)
    assert client.post("/v1/clock", json=record).status_code == 422
    answer = client.post("/v1/clock", json=record, params={"as_of": "2026-11-30"})
    assert client.post("/v1/clock", json={}, params={"as_of": "2026-11-30"}).status_code == 422
    call = ("clock", "-", "--as-of", "2026-11-30", "--format", "jsonl", "-q")
    assert rows(answer.content) == rows(finops(*call, stdin=jsonl(record)).stdout)


def test_check_gives_the_verdict(client: httpx.Client) -> None:
    """A right line has no finding; a changed score has the finding of the checker."""
    line: dict[str, Any] = client.post("/v1/run", json=a_fail()).json()
    assert client.post("/v1/check", json=line).json()["ok"] is True
    line["triage"]["priority_score"] = 12.5
    verdict = client.post("/v1/check", json=[line]).json()[0]
    assert "score.priority" in {each["rule"] for each in verdict["findings"]}


def test_stream_of_a_client_that_sends_all_first(server: Server, finops: Finops) -> None:
    """A client that sends everything before it reads gets every line, more than any buffer."""
    given = jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(20_000)))
    with server.client() as client:
        answer = client.post("/v1/triage", content=given, headers=LINES)
    assert answer.content == cli_lines(finops, "triage", given)


def test_stream_above_the_limit_is_refused(server: Server) -> None:
    """A stream that announces more than the limit is refused before it is sent."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/run")
    announced = {**LINES, "Content-Length": str(64 * 1024 * 1024 + 1)}
    for name, value in {**announced, "Authorization": f"Bearer {TOKENS['analyst']}"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"/v1/files" in answer.read()
    connection.close()


def test_sentiment_equals_the_output_of_the_command(client: httpx.Client, finops: Finops) -> None:
    """A stream of texts gives the bytes of `finops sentiment`; one text gives its line; a text that
    is missing is a problem.
    """
    given = (ROOT / "examples/sentiment/texts.jsonl").read_bytes()
    call = ("sentiment", "-", "--no-timing", "-q", "--guard", "off", "--backend", "baseline")
    answer = client.post("/v1/sentiment", content=given, headers=LINES)
    assert answer.content == finops(*call, stdin=given).stdout
    one = client.post("/v1/sentiment", json={"text": "They missed the deadline again."})
    assert one.json()["sentiment"]["label"] in ("negative", "neutral", "positive")
    assert client.post("/v1/sentiment", json={"txt": 1}).status_code == 422
    assert client.post("/v1/sentiment?as_of=2026-11-27", json={"text": "x"}).status_code == 422
    parts = client.post("/v1/sentiment?split=sentences", json=[{"text": "Good. Bad."}]).json()
    assert len(parts[0]["parts"]) == 2
