"""A service whose models do not answer: it refuses at once, or the rules answer."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx
import pytest

from finops_cli.devtools.fake_ollama import FakeOllama
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.failures import EndpointsDown
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from tests.service.conftest import Server, start, stop
from tests.support.records import a_fail

SETTINGS = load_kb(bundled_kb_dir()).models.breaker


def an_endpoint(url: str = "http://127.0.0.1:1") -> Endpoint:
    client = httpx.Client()
    client.close()
    return Endpoint(url, client, CircuitBreaker(SETTINGS, gives_up=False), {"triage": 2})


def test_pool_that_does_not_wait_refuses_at_once() -> None:
    """While every breaker is open no request waits; after the pause one of them tests a server,
    and the others are still refused.
    """
    now = 0.0
    endpoint = an_endpoint()
    pool = EndpointPool([endpoint], clock=lambda: now, waits=False)
    endpoint.breaker.trip(now)
    with pytest.raises(EndpointsDown) as caught, pool.slot("triage"):
        pass
    assert caught.value.seconds == float(SETTINGS["open"])
    now = 100.0
    with pool.slot("triage"):
        assert pool.states() == {endpoint.url: "half-open"}
        with pytest.raises(EndpointsDown), pool.slot("triage"):
            pass
    assert pool.states() == {endpoint.url: "closed"}


def test_second_server_takes_the_requests() -> None:
    """One open breaker refuses nothing while another server is in use."""
    first, second = an_endpoint(), an_endpoint("http://127.0.0.1:2")
    pool = EndpointPool([first, second], clock=lambda: 0.0, waits=False)
    first.breaker.trip(0.0)
    with pool.slot("triage") as endpoint:
        assert endpoint is second


def test_breaker_of_a_service_never_gives_up() -> None:
    """However often its tests fail, the server is tested again after the longest pause."""
    breaker, now = CircuitBreaker(SETTINGS, gives_up=False), 0.0
    breaker.trip(now)
    for _ in range(100):
        now += 1_000
        assert breaker.admits(now)
        breaker.failed(now, breaker.age)
    assert breaker.wait(now) == float(SETTINGS["longest"])


@pytest.fixture
def quick_kb(tmp_path: Path) -> Path:
    """Rules with short pauses."""
    folder = Path(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    models = folder / "models.toml"
    text = models.read_text()
    for old, new in (
        ("first = 0.25, factor = 2, longest = 15", "first = 0.01, factor = 2, longest = 0.02"),
        (
            "failures = 5, open = 2, factor = 2, longest = 30",
            "failures = 2, open = 1, factor = 1, longest = 1",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    models.write_text(text)
    return folder


def open_breaker(server: Server, client: httpx.Client) -> httpx.Response:
    """Send records until the breaker is open; return the last answer."""
    for _ in range(20):
        answer = client.post("/v1/triage", json=a_fail())
        if client.get("/readyz").json()["missing"] == ["backend"]:
            return answer
    raise AssertionError(answer.text)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["refuse", "engine"])
def test_service_answers_while_its_server_is_gone(
    tmp_path: Path, quick_kb: Path, policy: str
) -> None:
    """Without a server, `refuse` gives 503 with Retry-After and `engine` the answer of the rules
    with status fallback; when the server is back, the model answers again.
    """
    with FakeOllama() as fake:
        options = ("--backend", "ollama", "--model-host", fake.url, "--when-down", policy)
        service = start(tmp_path, "--guard", "off", *options, kb=quick_kb)
        with service.client("analyst") as client:
            assert client.post("/v1/triage", json=a_fail()).json()["status"] == "ok"
            fake.stop()
            answer = open_breaker(service, client)
            if policy == "refuse":
                answer = client.post("/v1/triage", json=a_fail())
                assert answer.status_code == 503
                assert answer.json()["type"] == "/problems/model-down"
                assert int(answer.headers["retry-after"]) >= 1
            else:
                line = client.post("/v1/triage", json=a_fail()).json()
                assert line["status"] == "fallback"
                assert line["provenance"]["attempt_errors"][0]["rules"] == ["reply.unreachable"]
                assert client.post("/v1/check", json=line).json()["findings"] == []
            assert set(client.get("/v1/models").json()["servers"].values()) <= {"open", "half-open"}
            fake.start()
            for _ in range(50):
                answer = client.post("/v1/triage", json=a_fail())
                if answer.status_code == 200 and answer.json()["status"] == "ok":
                    break
                time.sleep(0.1)
            assert answer.json()["status"] == "ok"
            assert client.get("/readyz").json()["ready"]
        stop(service)


@pytest.mark.slow
def test_request_with_a_key_asks_the_model_once(tmp_path: Path) -> None:
    """The same request with the same key gets the first answer, also when the server is gone; other
    bytes under the key are refused.
    """
    with FakeOllama() as fake:
        service = start(tmp_path, "--guard", "off", "--backend", "ollama", "--model-host", fake.url)
        with service.client("analyst", **{"Idempotency-Key": "triage-1"}) as client:
            first = client.post("/v1/triage", json=a_fail())
            fake.stop()
            again = client.post("/v1/triage", json=a_fail())
            other = client.post("/v1/triage", json=a_fail(qty=4_000))
        stop(service)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["finops-verified"] == first.headers["finops-verified"]
    assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
