"""Two models of an Ollama server without a GPU: they take turns, or share its cores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from finops_cli.devtools.fake_ollama import FakeOllama, Model
from finops_cli.files.jsonl import Batch
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.circuit_breaker import CircuitBreaker
from finops_cli.models.servers.endpoint_pool import Endpoint, EndpointPool
from finops_cli.models.tasks import RUN_TASKS
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import process_with_models
from finops_cli.pipeline.sequences import SEQUENCES
from finops_cli.verify.codecs import FAIL
from tests.support.ollama_models import select_backend_at, some_fails
from tests.support.program import Finops
from tests.support.records import jsonl

slow_server = partial(FakeOllama, chunk_tokens=8, token_seconds=0.0005)
"""Its answers take long enough for the next request to come, and have few chunks to read."""


def models(**parameters: object) -> tuple[Model, Model]:
    return (
        Model("finops-triage", "qwen3", parameters=parameters),
        Model("finops-resolver", "qwen3", parameters=parameters),
    )


def run_both_stages(server: FakeOllama, kb: KnowledgeBase, count: int) -> tuple[list[str], str]:
    """Run `count` records, and return their statuses and what is said about the processor."""
    selected = select_backend_at(kb, "ollama", server.url, workers=4)
    pipeline = Pipeline(SEQUENCES["run"], selected.backend, kb, timed=False)
    batches = [Batch(n, [jsonl(fail)], n + 1) for n, fail in enumerate(some_fails(count), 1)]
    results = list(process_with_models(batches, pipeline))
    assert not selected.backend.must_alternate
    selected.backend.close()
    statuses = [status for result in results for status in result.summary.statuses.elements()]
    return statuses, selected.describe_sharing()


@pytest.mark.slow
def test_models_without_a_gpu_take_turns(quick: KnowledgeBase) -> None:
    """If no model is on a GPU, a request runs beside those of its own model only, and no model is
    loaded twice.
    """
    for _ in range(3):
        with slow_server(models=models(), has_gpu=False) as server:
            statuses, sharing = run_both_stages(server, quick, 30)
        # the server counts a request until a moment after the client has its last byte
        if server.most_models_at_once == 1:
            break
    else:
        pytest.fail("both models ran at once in each of three runs")
    with slow_server(models=models(), has_gpu=False) as server:
        statuses, sharing = run_both_stages(server, quick, 30)
        assert set(statuses) == {"ok"}
        assert max(server.most_at_once.values()) > 1
        assert len(server.loads) == 2
    assert sharing == (
        f"no model at {server.url} is on a GPU: the models take turns on its processor"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("has_gpu", "parameters"), [(True, {}), (False, {"num_thread": 2})])
def test_models_run_at_once_with_a_gpu_or_own_threads(
    has_gpu: bool, parameters: dict[str, object], quick: KnowledgeBase
) -> None:
    """On a GPU, and with `num_thread` in the Modelfile of each model, both models run at once."""
    with slow_server(models=models(**parameters), has_gpu=has_gpu) as server:
        statuses, sharing = run_both_stages(server, quick, 30)
        assert set(statuses) == {"ok"}
        assert server.most_models_at_once == 2
    assert ("(num_thread 2 and 2)" in sharing) == bool(parameters)
    assert bool(sharing) != has_gpu


def test_models_of_a_service_take_turns_once_both_have_answered(quick: KnowledgeBase) -> None:
    """A service prepares no model. When each has answered, the servers are asked where they are."""
    with FakeOllama(models=models(), has_gpu=False) as server:
        selected = select_backend_at(quick, "ollama", server.url, workers=4)
        fail = FAIL.read(some_fails(1)[0])
        assert fail is not None
        case = RUN_TASKS["resolver"].record_of(fail, quick)
        assert selected.backend.triage(fail).status == "ok"
        assert selected.describe_sharing() == ""
        assert selected.backend.resolve(case).status == "ok"
        assert "take turns" in selected.describe_sharing()


def test_pool_counts_the_requests_that_run_when_turns_begin() -> None:
    """A request that runs when turns begin keeps the other model waiting until it ends."""
    endpoint = Endpoint(
        "http://x",
        httpx.Client(),
        CircuitBreaker(load_kb(bundled_kb_dir()).models.breaker),
        {"triage": 4, "resolver": 4},
    )
    pool = EndpointPool([endpoint])
    with pool.slot("triage"):
        pool.take_turns(["http://x"], longest=4)
        assert endpoint.free_slots("resolver", others_wait=False) == 0
    assert endpoint.free_slots("resolver", others_wait=False) == 4


def test_num_thread_is_sent_in_no_request(quick: KnowledgeBase) -> None:
    """finops sends no `num_thread`: another value than the model's own would load it again."""
    with FakeOllama(models=models(num_thread=2), has_gpu=False) as server:
        run_both_stages(server, quick, 2)
        assert server.received
        assert all("num_thread" not in request.body["options"] for request in server.received)


def test_run_and_doctor_say_how_models_share_a_processor(finops: Finops) -> None:
    """The summary of a run and the doctor name the server and what was chosen."""
    with FakeOllama(models=models(), has_gpu=False) as server:
        fails = b"\n".join(map(jsonl, some_fails(2)))
        ran = finops("run", "-", "--backend", "ollama", "--host", server.url, stdin=fails)
        assert b"the models take turns on its processor" in b" ".join(ran.stderr.split())
        checked = finops("doctor", "--host", server.url)
        assert b"take turns on its processor" in b" ".join(checked.stdout.split())


def test_quiet_run_says_nothing_about_the_processor(finops: Finops) -> None:
    """`--quiet` leaves the sentence out."""
    with FakeOllama(models=models(), has_gpu=False) as server:
        fails = b"\n".join(map(jsonl, some_fails(1)))
        ran = finops("run", "-", "--backend", "ollama", "--host", server.url, "-q", stdin=fails)
        assert b"processor" not in ran.stderr
        assert ran.returncode == 0


class LlamaServer(BaseHTTPRequestHandler):
    """The two routes of `llama_cpp.server` that the fake Ollama uses."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/extras/tokenize/count":
            self._send("application/json", json.dumps({"count": len(body["input"])}))
            return
        events = [{"text": piece, "finish_reason": None} for piece in ("posi", "tive")]
        events.append({"text": "", "finish_reason": "stop"})
        lines = [f"data: {json.dumps({'choices': [event]})}\n\n" for event in events]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    """The address of a server with the routes of `llama_cpp.server`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), LlamaServer) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_fake_ollama_answers_from_an_upstream_server(
    upstream: str, post: Callable[[str, dict[str, object]], list[dict[str, object]]]
) -> None:
    """A model with an upstream answers with its text, its count of tokens and its end."""
    with FakeOllama(models=models(), upstream={"finops-triage": upstream}) as server:
        body = {"model": "finops-triage", "prompt": "Is it good?", "raw": True}
        lines = post(f"{server.url}/api/generate", body)
    assert "".join(str(line["response"]) for line in lines) == "positive"
    assert (lines[-1]["prompt_eval_count"], lines[-1]["done_reason"]) == (11, "stop")


@pytest.fixture
def post() -> Callable[[str, dict[str, object]], list[dict[str, object]]]:
    """Post a body and read the lines of the answer."""

    def send(url: str, body: dict[str, object]) -> list[dict[str, object]]:
        answer = httpx.post(url, json=body, timeout=10, trust_env=False).raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    return send
