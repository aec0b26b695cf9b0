"""The fake Ollama server and its protocol: versions, lists, generation, limits and slots."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from finops_cli.datasets.reasoning.render import HEADINGS
from finops_cli.devtools.fake_ollama import (
    Behaviour,
    Changed,
    CorrectAnswer,
    FakeOllama,
    FixedText,
    Model,
    ReceivedRequest,
    default_models,
)
from finops_cli.devtools.fake_ollama.response import ResponseStream
from finops_cli.devtools.fake_ollama.tokens import count, split
from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.prompts import resolver_prompt, triage_prompt
from finops_cli.rules.triage import triage
from finops_cli.rules.waterfall import resolve
from finops_cli.verify.codecs import FAIL, RESOLVER_INPUT
from tests.support.program import EXAMPLES
from tests.support.records import a_fail

FAIL_RECORD = FAIL.read(a_fail())
CASE = RESOLVER_INPUT.read(exact_json.decode((EXAMPLES / "cards/cases.jsonl").read_bytes()))
assert FAIL_RECORD is not None
assert CASE is not None
CLIENT = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), headers={"Connection": "close"}
)
"""One for all, because a client takes its time to read certificates; it keeps no connection
open.
"""
TRIAGE, RESOLVER = triage_prompt(FAIL_RECORD).text, resolver_prompt(CASE).text


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama() as running:
        yield running


def body(prompt: str = TRIAGE, **more: Any) -> dict[str, Any]:
    model = "finops-resolver" if prompt == RESOLVER else "finops-triage"
    sent = {
        "model": model,
        "prompt": prompt,
        "raw": True,
        "think": False,
        "truncate": False,
        "shift": False,
    }
    return {**sent, "options": {"num_ctx": 5120, "num_predict": 4096}, **more}


def ask(
    server: FakeOllama, prompt: str = TRIAGE, endpoint: str = "generate", **more: Any
) -> httpx.Response:
    return CLIENT.post(f"{server.url}/api/{endpoint}", json=body(prompt, **more), timeout=10)


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def response_text(response: httpx.Response) -> str:
    return "".join(line["response"] for line in lines(response))


def test_fake_ollama_answers_root_and_version(server: FakeOllama) -> None:
    """The fake Ollama answers GET and HEAD of `/`, and GET of `/api/version`."""
    assert CLIENT.get(server.url).text == "Ollama is running"
    assert CLIENT.head(server.url).status_code == 200
    assert CLIENT.get(f"{server.url}/api/version").json() == {"version": "0.33.0"}


def test_fake_ollama_unknown_path_is_404_and_method_405(server: FakeOllama) -> None:
    """The fake Ollama answers an unknown path with 404 in plain text, and an unknown method with
    405, as Ollama does.
    """
    assert (
        CLIENT.get(f"{server.url}/api/nothing").text,
        CLIENT.get(f"{server.url}/api/generate").status_code,
    ) == ("404 page not found", 405)


def test_fake_ollama_tags_and_show_describe_its_models(server: FakeOllama) -> None:
    """`/api/tags` and `/api/show` give names, digests, architecture, capabilities and parameters of
    the models.
    """
    listed = CLIENT.get(f"{server.url}/api/tags").json()["models"]
    assert {entry["name"]: entry["details"]["family"] for entry in listed} == {
        "finops-triage:latest": "qwen35",
        "finops-resolver:latest": "qwen3",
    }
    description = CLIENT.post(f"{server.url}/api/show", json={"model": "finops-triage"}).json()
    assert description["model_info"]["general.architecture"] == "qwen35"
    assert description["model_info"]["qwen35.context_length"] == 262_144
    assert description["capabilities"] == ["completion", "thinking"]
    assert "num_ctx                        2048" in description["parameters"]
    assert len({entry["digest"] for entry in listed}) == 2


def test_fake_ollama_answers_a_triage_with_the_engine(
    server: FakeOllama, kb: KnowledgeBase
) -> None:
    """The streamed pieces form the engine's triage. The last line has `done`, its reason and the
    token counts.
    """
    response = ask(server)
    assert response.headers["content-type"] == "application/x-ndjson"
    last = lines(response)[-1]
    assert response_text(response).encode() == exact_json.encode(triage(FAIL_RECORD, kb))
    assert (last["done"], last["done_reason"], last["prompt_eval_count"]) == (
        True,
        "stop",
        count(TRIAGE),
    )
    assert last["eval_count"] == len(lines(response)) - 1
    assert last["total_duration"] >= last["load_duration"] + last["eval_duration"]


def test_fake_ollama_resolution_follows_its_reasoning(
    server: FakeOllama, kb: KnowledgeBase
) -> None:
    """In raw mode the resolver's text has the reasoning with its think tags, and then the engine's
    plan.
    """
    thought, _, plan = response_text(ask(server, RESOLVER)).partition("\n</think>\n\n")
    assert thought.startswith(f"<think>\n1 {HEADINGS[0]}\n")
    assert plan.encode() == exact_json.encode(resolve(CASE, kb))


@pytest.mark.parametrize(
    ("behind", "format"), [("", {"type": "object"}), ("<think>\n</think>\n\n", None)]
)
def test_fake_ollama_with_format_answers_without_reasoning(
    server: FakeOllama, behind: str, format: Any
) -> None:
    """With `format`, or after a closed think block, the resolver answers with the JSON alone."""
    assert response_text(ask(server, RESOLVER + behind, format=format)).startswith(
        '{"resolution_steps":'
    )


def test_fake_ollama_without_stream_answers_one_object(server: FakeOllama) -> None:
    """With `stream: false` the same text comes in one object, with `&`, `<` and `>` escaped as Go
    escapes them.
    """
    whole = ask(server, RESOLVER, stream=False)
    assert whole.json()["response"] == response_text(ask(server, RESOLVER))
    assert whole.json()["done_reason"] == "stop"
    assert "<" not in whole.text


def test_fake_ollama_changed_answer_keeps_exact_numbers() -> None:
    """A `Changed` answer gets decimals and is written digit for digit."""
    with FakeOllama(
        lambda request: Changed(
            lambda answer: {**answer, "priority_score": answer["priority_score"] + 1}
        )
    ) as server:
        changed = exact_json.decode(response_text(ask(server)))
    with FakeOllama() as server:
        right = exact_json.decode(response_text(ask(server)))
    assert changed == {**right, "priority_score": right["priority_score"] + 1}
    assert str(changed["score_components"]["inventory_modifier"]) == "1.00"


def test_fake_ollama_records_number_stage_and_attempt() -> None:
    """Each received request has its number over all models, its stage and its attempt. The script
    gets the same object.
    """
    scripted: list[ReceivedRequest] = []

    def script(request: ReceivedRequest) -> Behaviour:
        scripted.append(request)
        return CorrectAnswer()

    with FakeOllama(script) as server:
        for prompt in (TRIAGE, RESOLVER, "", TRIAGE, "hello"):
            ask(server, prompt)
        seen = [(one.number, one.model, one.stage, one.attempt) for one in server.received]
        assert seen[:2] == [
            (1, "finops-triage", "triage", 1),
            (2, "finops-resolver", "resolver", 1),
        ]
        assert seen[2:] == [(3, "finops-triage", "triage", 2), (4, "finops-triage", None, 1)]
        assert scripted == server.received
        assert server.requests[0] == ("POST", "/api/generate", server.received[0].body)


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"model": "nobody"}, 404, "model 'nobody' not found"),
        ({"model": ""}, 400, "model is required"),
        ({"system": "x"}, 400, "raw mode does not support template, system, or context"),
        ({"model": "plain", "think": True}, 400, '"plain" does not support thinking'),
        ({"think": "very"}, 400, "invalid think value"),
        ({"keep_alive": "-1"}, 400, "missing unit in duration"),
        ({"format": "xml"}, 500, "invalid format"),
        ({"options": {"num_ctx": "2048"}}, 500, 'option "num_ctx" must be of type integer'),
        ({"options": {"num_ctx": 64}}, 400, "exceeds the available context size (64 tokens)"),
        (
            {"options": {"num_ctx": 64}, "truncate": True},
            400,
            "the prompt is longer than the context length",
        ),
    ],
)
def test_fake_ollama_refuses_with_ollamas_status_and_message(
    more: dict[str, Any], status: int, message: str
) -> None:
    """The fake Ollama refuses an invalid request with the status and the message of Ollama."""
    with FakeOllama(
        models=[*default_models(), Model("plain", capabilities=("completion",))]
    ) as server:
        response = ask(server, **more)
    assert response.status_code == status
    assert message in response.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_fake_ollama_body_that_is_not_an_object_is_400(server: FakeOllama, content: bytes) -> None:
    """An empty, incomplete or wrongly typed body is answered with 400 and an error."""
    response = CLIENT.post(f"{server.url}/api/generate", content=content)
    assert response.status_code == 400
    assert response.json()["error"]


def test_fake_ollama_silently_truncates_a_long_prompt(
    server: FakeOllama,
) -> None:
    """Without `truncate: false` a long prompt is truncated to half the context, and the answer has
    status 200, as with Ollama.
    """
    response = ask(server, options={"num_ctx": 100}, truncate=None, shift=None)
    assert lines(response)[-1]["prompt_eval_count"] == 52


def test_fake_ollama_stops_at_num_predict_or_stop_sequence() -> None:
    """At `num_predict` tokens the reason is `length`. At a stop sequence, which is not part of the
    text, it is `stop`.
    """
    with FakeOllama(lambda request: FixedText("one two three<|im_end|>four")) as server:
        cut = ask(server, options={"num_predict": 2, "num_ctx": 5120})
        stopped = ask(server)
    assert (response_text(cut), lines(cut)[-1]["done_reason"]) == ("one two", "length")
    assert (response_text(stopped), lines(stopped)[-1]["done_reason"]) == ("one two three", "stop")


def test_fake_ollama_chunks_have_the_requested_tokens() -> None:
    """Each chunk has `chunk_tokens` tokens, and the chunks together form the text."""
    text = '{"a":[1,2.50],"b_c":"<think>ä · Ω</think>"}\n\n  <|im_x|> _'
    assert "".join(split(text)) == text
    with FakeOllama(lambda request: FixedText(text), chunk_tokens=7) as server:
        response = ask(server)
    assert response_text(response) == text
    assert len(lines(response)) == -(-count(text) // 7) + 1


def test_fake_ollama_empty_prompt_loads_or_unloads_a_model(server: FakeOllama) -> None:
    """An empty prompt loads the model, and `keep_alive: 0` unloads it. `/api/ps` lists the loaded
    models.
    """
    assert ask(server, "").json()["done_reason"] == "load"
    loaded = CLIENT.get(f"{server.url}/api/ps").json()["models"]
    assert [(entry["name"], entry["context_length"]) for entry in loaded] == [
        ("finops-triage:latest", 5120)
    ]
    assert ask(server, "", keep_alive=0).json()["done_reason"] == "unload"
    assert CLIENT.get(f"{server.url}/api/ps").json() == {"models": []}
    assert server.received == []


@pytest.mark.parametrize(
    ("fits_both", "loaded"),
    [(True, {"finops-triage", "finops-resolver"}), (False, {"finops-resolver"})],
)
def test_fake_ollama_evicts_a_model_that_does_not_fit(fits_both: bool, loaded: set[str]) -> None:
    """With `fits_both=False` a second model evicts the first. Another `num_ctx` always loads the
    model again.
    """
    with FakeOllama(fits_both=fits_both) as server:
        ask(server)
        ask(server, RESOLVER)
        names = {
            entry["name"].removesuffix(":latest")
            for entry in CLIENT.get(f"{server.url}/api/ps").json()["models"]
        }
        assert names == loaded
        ask(server, RESOLVER, options={"num_ctx": 2560})
        assert server.loads == ["finops-triage", "finops-resolver", "finops-resolver"]


@dataclass(frozen=True)
class Rendezvous(Behaviour):
    """A behaviour that answers when all parties have arrived."""

    barrier: threading.Barrier

    def respond(self, response: ResponseStream) -> None:
        self.barrier.wait(10)
        response.send_text("ok")


def test_fake_ollama_resolver_runs_one_request_per_slot() -> None:
    """The resolver runs four requests at once with `num_parallel=4`."""
    together = Rendezvous(threading.Barrier(4))
    with (
        FakeOllama(lambda request: together, num_parallel=4) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        statuses = [one.status_code for one in pool.map(lambda _: ask(server, RESOLVER), range(8))]
        assert (statuses, server.most_at_once) == ([200] * 8, {"finops-resolver": 4})


def test_fake_ollama_runs_qwen35_one_request_at_a_time() -> None:
    """The architecture qwen35 runs one request at a time, whatever `num_parallel` is."""
    with FakeOllama(num_parallel=4) as server, ThreadPoolExecutor(6) as pool:
        assert {one.status_code for one in pool.map(lambda _: ask(server), range(6))} == {200}
        assert server.most_at_once == {"finops-triage": 1}


def test_fake_ollama_render_only_returns_the_prompt(server: FakeOllama) -> None:
    """`_debug_render_only` returns the prompt that the model's template makes, and generates
    nothing.
    """
    messages = [{"role": "user", "content": triage_prompt(FAIL_RECORD).user}]
    response = ask(server, endpoint="chat", messages=messages, _debug_render_only=True)
    assert response.json()["_debug_info"]["rendered_template"] == TRIAGE
    assert ask(server, _debug_render_only=True).json()["_debug_info"]["rendered_template"] == TRIAGE
    assert server.received == []


def test_fake_ollama_chat_separates_reasoning_and_answer(
    server: FakeOllama, kb: KnowledgeBase
) -> None:
    """A chat response has the reasoning and the answer in separate fields, without tags."""
    messages = [{"role": "user", "content": resolver_prompt(CASE).user}]
    response = ask(server, RESOLVER, "chat", messages=messages, think=True, stream=False)
    message = response.json()["message"]
    assert message["content"].encode() == exact_json.encode(resolve(CASE, kb))
    assert message["thinking"].strip().startswith(f"1 {HEADINGS[0]}")
