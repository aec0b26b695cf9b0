"""Servers of a run: who lists which model, the address rule, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    CorrectAnswer,
    FakeOpenAI,
    FixedText,
    ReceivedRequest,
    Status,
)
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.failures import Busy, Interrupted
from finops_cli.models.openai.api import resolve_urls
from finops_cli.models.openai.connect import find_modelfile
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.rules.triage import triage
from tests.support.ollama_models import a_record, select_backend_at, some_fails
from tests.support.openai_models import fail_first, server_options
from tests.support.program import Finops
from tests.support.records import jsonl, rows


def test_stage_goes_to_the_server_that_lists_its_model(finops: Finops, tmp_path: Path) -> None:
    """With one model a server, each server is asked about its own stage alone."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(*some_fails(12)))
    with FakeOpenAI(models=["finops-triage"]) as one, FakeOpenAI(models=["finops-resolver"]) as two:
        done = finops(
            "run", fails, "-o", tmp_path / "out.jsonl", *server_options(one, two), "--guard", "off"
        )
    assert done.returncode == 0, done.stderr
    lines = rows((tmp_path / "out.jsonl").read_bytes())
    assert {line["status"] for line in lines} == {"ok"}
    assert {line["provenance"]["backend"] for line in lines} == {"openai"}
    assert {each.stage for each in one.about_records} == {"triage"}
    assert {each.stage for each in two.about_records} == {"resolver"}
    assert one.unknown_models == two.unknown_models == []
    assert finops("check", tmp_path / "out.jsonl", "--fails", fails).returncode == 0


def test_stage_that_nobody_lists_ends_with_3(finops: Finops, tmp_path: Path) -> None:
    """A stage without a model ends the command with 3, what each server lists, and a cure."""
    with FakeOpenAI(models=["finops-triage"]) as server:
        done = finops("run", "-", "-o", tmp_path / "o.jsonl", *server_options(server))
    said = done.stderr.decode()
    assert done.returncode == 3
    assert "no server lists the model finops-resolver of stage resolver" in said
    assert f"{server.url} lists finops-triage" in said
    assert "fix: name a model that is listed: --resolver-model NAME" in said
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    "listing",
    [
        (404, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"data": {}}'),
        (200, b'{"models": []}'),
        (200, b"[" * 100_000),
        (500, b"boom"),
        (302, b""),
        (200, b'{"data": [{"id": 7}, null, {"id": ""}]}'),
    ],
)
def test_odd_list_of_models_is_an_error_with_a_cure(
    listing: tuple[int, bytes], quick: KnowledgeBase
) -> None:
    """A server that lists models in no known way ends the command before any record is sent."""
    with FakeOpenAI() as server:
        server.listing = listing
        with pytest.raises(Exception, match=server.url) as caught:
            select_backend(BackendRequest("openai", hosts=(server.url,)), quick)
    assert getattr(caught.value, "exit_code", None) in (2, 3)
    assert getattr(caught.value, "cure", "")


def test_server_that_is_down_is_named_and_left_out(quick: KnowledgeBase) -> None:
    """One of two servers is enough; a notice names the other."""
    with FakeOpenAI() as gone:
        url = gone.url
    with FakeOpenAI() as server:
        selected = select_backend_at(quick, "openai", url, server.url)
        assert selected.notices == (f"not used: nothing answers at {url}",)
        assert selected.backend.triage(a_record()).status == "ok"
    with pytest.raises(MissingPiece, match="nothing answers"):
        select_backend(BackendRequest("openai", hosts=(url,)), quick)


def test_second_server_answers_when_the_first_stops(quick: KnowledgeBase) -> None:
    """Records go to the other server when one is lost, and none is lost."""
    with FakeOpenAI() as one, FakeOpenAI() as two:
        backend = select_backend_at(quick, "openai", one.url, two.url).backend
        backend.prepare("triage")
        one.stop()
        answers = [backend.triage(a_record(qty=5000 + n)) for n in range(8)]
    assert {answer.status for answer in answers} == {"ok"}
    assert len(two.about_records) == 8


def test_server_without_memory_gives_way_to_the_next(quick: KnowledgeBase) -> None:
    """CUDA out of memory halves the requests, then sends the records to the next server."""
    oom = Status(500, '{"error":{"message":"CUDA out of memory. Tried to allocate 2 GiB"}}')
    with FakeOpenAI(fail_first(oom)) as one, FakeOpenAI() as two:
        backend = select_backend_at(quick, "openai", one.url, two.url, workers=2).backend
        backend.prepare("triage")
        answers = [backend.triage(a_record(qty=5000 + n)) for n in range(8)]
    assert {answer.status for answer in answers} == {"ok"}
    assert len(two.about_records) == 8
    assert len(one.about_records) < 8


def test_model_that_vanishes_ends_the_run_with_3(quick_kb: Path, finops: Finops) -> None:
    """A server that has lost its model is given up; the cure names the option."""
    with FakeOpenAI() as server:

        def vanish(request: ReceivedRequest) -> Behaviour:
            if request.is_trial:
                return CorrectAnswer()
            server.models.clear()
            return Status(404, '{"error":"The model does not exist."}')

        server.script = vanish
        done = finops(
            *("--kb", quick_kb, "run", "-", *server_options(server), "--guard", "off"),
            stdin=jsonl(*some_fails(3)),
        )
    assert done.returncode == 3
    assert b"does not exist" in done.stderr
    assert b"fix: start the model on that server again, or name another" in done.stderr


def test_public_address_is_refused(quick: KnowledgeBase) -> None:
    """Fail records stay in the network, as with Ollama."""
    with pytest.raises(UsageError, match=r"8\.8\.8\.8 is a public address"):
        select_backend(BackendRequest("openai", hosts=("http://8.8.8.8:8000",)), quick)


def test_proxy_of_the_environment_is_not_used(
    quick: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records go to the server itself, never to a proxy that the environment names."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FakeOpenAI() as server:
        backend = select_backend_at(quick, "openai", server.url).backend
        assert backend.triage(a_record()).value == triage(a_record(), quick)


def test_address_may_end_with_v1() -> None:
    """The address that OpenAI's clients take names the same server; two such are one too many."""
    assert resolve_urls(("http://gpu1:8000/v1/",)) == ("http://gpu1:8000",)
    assert resolve_urls(("gpu1",)) == ("http://gpu1:8000",)
    with pytest.raises(UsageError, match="given twice"):
        resolve_urls(("gpu1", "http://gpu1:8000/v1"))
    with pytest.raises(UsageError, match="no server is named"):
        resolve_urls(())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-triage", "tiny-triage"),
        ("finops-tiny-triage:latest", "tiny-triage"),
        ("/models/tiny-triage.gguf", "tiny-triage"),
        ("finops-triage", "triage"),
        ("Qwen/Qwen3-8B", None),
        ("tiny-resolver", None),
    ],
)
def test_name_of_a_model_says_its_prompt(name: str, expected: str | None) -> None:
    """A server tells no Modelfile, so the name of the model does."""
    assert find_modelfile("triage", name) == expected


def test_context_of_the_server_limits_the_prompt(quick: KnowledgeBase) -> None:
    """A server with a smaller context than the Modelfile is not asked for more than it has."""
    for context, sent in ((640, 1), (300, 0)):
        with FakeOpenAI(context=context) as server:
            backend = select_backend_at(quick, "openai", server.url, stages=("triage",)).backend
            answer = backend.triage(a_record())
        assert [each.body["max_tokens"] < 512 for each in server.about_records] == [True] * sent
        assert ("reply.context" in [each.rule for each in answer.findings]) is not bool(sent)


def test_requests_at_once_depend_on_the_kind(quick: KnowledgeBase) -> None:
    """vLLM gets 16 requests at once, a server that is not known gets one; --workers decides."""
    for kind, workers, expected in (("vllm", None, 24), ("plain", None, 2), ("plain", 3, 6)):
        with FakeOpenAI(kind=kind) as server:
            backend = select_backend_at(quick, "openai", server.url, workers=workers).backend
            assert backend.concurrency == expected


def test_server_that_interrupts_gets_fewer_requests(kb: KnowledgeBase) -> None:
    """A server that ends an answer when another request comes gets half as many at once for each
    interruption, and no later answer raises the number again; a full queue is overcome.
    """
    most: dict[StageName, int] = {"triage": 4, "resolver": 1}
    endpoint = Endpoint("http://a:1", httpx.Client(), CircuitBreaker(kb.models.breaker), most)
    pool = EndpointPool([endpoint])
    for failure, expected in ((Busy("x"), 4), (Interrupted("x"), 2), (Interrupted("x"), 1)):
        with pytest.raises(type(failure)), pool.slot("triage"):
            raise failure
        for _ in range(9):
            with pool.slot("triage"):
                pass
        assert pool.slots("triage") == expected
        assert endpoint.free_slots("triage", others_wait=False) == expected
    assert pool.slots("resolver") == 1
    endpoint.client.close()


def test_models_of_an_unknown_server_alternate(quick: KnowledgeBase) -> None:
    """A server of an unknown kind may load one model at a time, so its models take turns."""
    for kind, expected in (("plain", True), ("vllm", False)):
        with FakeOpenAI(kind=kind) as server:
            assert select_backend_at(quick, "openai", server.url).backend.must_alternate is expected


def test_options_of_other_backends_are_refused(finops: Finops, tmp_path: Path) -> None:
    """An option that the backend does not read ends the command with 2 and names the backend."""
    key = tmp_path / "key"
    key.touch(0o600)
    for options, said in (
        (("--backend", "engine", "--model-api", "chat"), "only for --backend openai"),
        (("--backend", "auto", "--api-key-file", key), "only for --backend openai"),
        (("--backend", "engine", "--host", "h"), "only for --backend ollama or openai"),
        (("--backend", "openai", "--triage-gguf", "f"), "only for --backend llama-cpp"),
        (("--backend", "openai"), "no server is named"),
    ):
        done = finops("run", "-", *options)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr.decode()


@pytest.mark.slow
def test_run_resumes_with_the_same_bytes(finops: Finops, tmp_path: Path) -> None:
    """A run that is continued gives the bytes of one that was not interrupted."""
    fails, whole, part = (tmp_path / name for name in ("f.jsonl", "whole.jsonl", "part.jsonl"))
    fails.write_bytes(jsonl(*some_fails(6)))
    with FakeOpenAI() as server:
        options = (*server_options(server), "--guard", "off", "--no-timing", "--quiet")
        assert finops("run", fails, "-o", whole, *options).returncode == 0
        assert finops("run", fails, "-o", part, *options).returncode == 0
        first = part.read_bytes().split(b"\n")
        part.write_bytes(b"\n".join(first[:3]) + b"\n" + first[3][:40])
        assert finops("run", fails, "-o", part, *options, "--resume").returncode == 0
        assert part.read_bytes() == whole.read_bytes()
        other = finops("run", fails, "-o", part, *options, "--resume", "--model-api", "chat")
    assert other.returncode == 2, "another way to ask is another run"


def test_unconstrained_answers_are_named_on_stderr(finops: Finops) -> None:
    """The summary says that a server holds no answer to a schema, and the line says it too."""
    with FakeOpenAI(fail_first(FixedText("no"), times=1), kind="plain") as server:
        done = finops(
            *("triage", "-", *server_options(server), "--guard", "off"),
            stdin=json.dumps(some_fails(1)[0]).encode(),
        )
    [line] = rows(done.stdout)
    assert line["provenance"]["format_warnings"] == ["reply.unconstrained"]
    assert b"holds no answer of finops-triage to a schema" in b" ".join(done.stderr.split())
