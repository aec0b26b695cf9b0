"""The fake Ollama speaks its protocol: versions, lists, generation, limits, slots.

Its failures: test_fake_ollama_failures.py.
"""

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


def test_it_says_that_it_runs_and_its_version(server: FakeOllama) -> None:
    """`GET /` and `GET /api/version`, and their HEAD."""
    assert CLIENT.get(server.url).text == "Ollama is running"
    assert CLIENT.head(server.url).status_code == 200
    assert CLIENT.get(f"{server.url}/api/version").json() == {"version": "0.33.0"}


def test_an_unknown_path_is_404_and_an_unknown_method_405(server: FakeOllama) -> None:
    """In plain text, as Ollama's router answers."""
    assert (
        CLIENT.get(f"{server.url}/api/nothing").text,
        CLIENT.get(f"{server.url}/api/generate").status_code,
    ) == ("404 page not found", 405)


def test_tags_and_show_describe_the_models(server: FakeOllama) -> None:
    """Names with their tag, digests, architecture, capabilities, and the parameters of the
    Modelfile.
    """
    listed = CLIENT.get(f"{server.url}/api/tags").json()["models"]
    assert {entry["name"]: entry["details"]["family"] for entry in listed} == {
        "finops-triage:latest": "qwen35",
        "finops-resolver:latest": "qwen3",
    }
    shown = CLIENT.post(f"{server.url}/api/show", json={"model": "finops-triage"}).json()
    assert shown["model_info"]["general.architecture"] == "qwen35"
    assert shown["model_info"]["qwen35.context_length"] == 262_144
    assert shown["capabilities"] == ["completion", "thinking"]
    assert "num_ctx                        2048" in shown["parameters"]
    assert len({entry["digest"] for entry in listed}) == 2


def test_a_triage_is_answered_with_the_rules_of_the_desk(
    server: FakeOllama, kb: KnowledgeBase
) -> None:
    """The streamed pieces make the engine's JSON; the last line has done, its reason and the
    counts.
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


def test_a_resolution_comes_behind_its_trace(server: FakeOllama, kb: KnowledgeBase) -> None:
    """Raw mode leaves the think tags in the text."""
    thought, _, plan = response_text(ask(server, RESOLVER)).partition("\n</think>\n\n")
    assert thought.startswith(f"<think>\n1 {HEADINGS[0]}\n")
    assert plan.encode() == exact_json.encode(resolve(CASE, kb))


@pytest.mark.parametrize(
    ("behind", "format"), [("", {"type": "object"}), ("<think>\n</think>\n\n", None)]
)
def test_a_grammar_or_a_closed_think_block_leaves_no_trace(
    server: FakeOllama, behind: str, format: Any
) -> None:
    """Ollama applies `format` from the first token."""
    assert response_text(ask(server, RESOLVER + behind, format=format)).startswith(
        '{"resolution_steps":'
    )


def test_without_a_stream_one_object_comes(server: FakeOllama) -> None:
    """`stream: false`: the same text and counts at once; & < and > are escaped as Go does it."""
    whole = ask(server, RESOLVER, stream=False)
    assert whole.json()["response"] == response_text(ask(server, RESOLVER))
    assert whole.json()["done_reason"] == "stop"
    assert "<" not in whole.text


def test_changed_keeps_exact_numbers() -> None:
    """`Changed` gets Decimals, and what it returns is written digit for digit."""
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


def test_what_is_heard_has_number_stage_and_attempt() -> None:
    """Requests are counted over all models, attempts by user turn; the script gets the same
    object.
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
def test_what_ollama_refuses_is_refused_in_its_words(
    more: dict[str, Any], status: int, message: str
) -> None:
    """Status and {"error": ...}."""
    with FakeOllama(
        models=[*default_models(), Model("plain", capabilities=("completion",))]
    ) as server:
        response = ask(server, **more)
    assert response.status_code == status
    assert message in response.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_body_that_is_no_object_is_400(server: FakeOllama, content: bytes) -> None:
    """Nothing, half a text, another type."""
    response = CLIENT.post(f"{server.url}/api/generate", content=content)
    assert response.status_code == 400
    assert response.json()["error"]


def test_a_long_prompt_is_cut_to_half_in_silence_where_nothing_forbids_it(
    server: FakeOllama,
) -> None:
    """The trap: 200, and a prompt_eval_count of (num_ctx + num_keep) / 2."""
    response = ask(server, options={"num_ctx": 100}, truncate=None, shift=None)
    assert lines(response)[-1]["prompt_eval_count"] == 52


def test_num_predict_and_stop_end_the_text() -> None:
    """done_reason is `length` at the budget and `stop` at a stop sequence, which is not part of the
    text.
    """
    with FakeOllama(lambda request: FixedText("one two three<|im_end|>four")) as server:
        cut = ask(server, options={"num_predict": 2, "num_ctx": 5120})
        stopped = ask(server)
    assert (response_text(cut), lines(cut)[-1]["done_reason"]) == ("one two", "length")
    assert (response_text(stopped), lines(stopped)[-1]["done_reason"]) == ("one two three", "stop")


def test_chunks_hold_as_many_tokens_as_wanted() -> None:
    """`chunk_tokens`; joined they are the text, whatever it holds."""
    text = '{"a":[1,2.50],"b_c":"<think>ä · Ω</think>"}\n\n  <|im_x|> _'
    assert "".join(split(text)) == text
    with FakeOllama(lambda request: FixedText(text), chunk_tokens=7) as server:
        response = ask(server)
    assert response_text(response) == text
    assert len(lines(response)) == -(-count(text) // 7) + 1


def test_an_empty_prompt_loads_and_keep_alive_0_unloads(server: FakeOllama) -> None:
    """One object with done_reason `load` or `unload`; `/api/ps` shows what is loaded, with its
    context.
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
def test_models_that_do_not_fit_together_evict_each_other(
    fits_both: bool, loaded: set[str]
) -> None:
    """`fits_both=False`: asking in turns loads again each time; another num_ctx loads again
    always.
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
class Together(Behaviour):
    """Answers when all are there."""

    barrier: threading.Barrier

    def respond(self, response: ResponseStream) -> None:
        self.barrier.wait(10)
        response.send_text("ok")


def test_the_resolver_runs_as_many_at_once_as_it_has_slots() -> None:
    """Four meet in the middle of their generation, which only four slots allow."""
    together = Together(threading.Barrier(4))
    with (
        FakeOllama(lambda request: together, num_parallel=4) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        statuses = [one.status_code for one in pool.map(lambda _: ask(server, RESOLVER), range(8))]
        assert (statuses, server.most_at_once) == ([200] * 8, {"finops-resolver": 4})


def test_qwen35_runs_one_at_a_time() -> None:
    """Whatever num_parallel is."""
    with FakeOllama(num_parallel=4) as server, ThreadPoolExecutor(6) as pool:
        assert {one.status_code for one in pool.map(lambda _: ask(server), range(6))} == {200}
        assert server.most_at_once == {"finops-triage": 1}


def test_render_only_returns_the_prompt_and_generates_nothing(server: FakeOllama) -> None:
    """`_debug_render_only` over chat renders with the model's template: ChatML, and an empty think
    block for think false.
    """
    messages = [{"role": "user", "content": triage_prompt(FAIL_RECORD).user}]
    response = ask(server, endpoint="chat", messages=messages, _debug_render_only=True)
    assert response.json()["_debug_info"]["rendered_template"] == TRIAGE
    assert ask(server, _debug_render_only=True).json()["_debug_info"]["rendered_template"] == TRIAGE
    assert server.received == []


def test_chat_tells_thinking_and_answer_apart(server: FakeOllama, kb: KnowledgeBase) -> None:
    """message.thinking and message.content, without the tags."""
    messages = [{"role": "user", "content": resolver_prompt(CASE).user}]
    response = ask(server, RESOLVER, "chat", messages=messages, think=True, stream=False)
    message = response.json()["message"]
    assert message["content"].encode() == exact_json.encode(resolve(CASE, kb))
    assert message["thinking"].strip().startswith(f"1 {HEADINGS[0]}")
