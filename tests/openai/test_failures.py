"""Failures of a server of OpenAI's API: each has its rule, limited retries, and no wrong number."""

from __future__ import annotations

from typing import Any

import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    Changed,
    CorrectAnswer,
    ErrorEvent,
    FakeOpenAI,
    Finish,
    FixedText,
    Garbled,
    HalfPromptCount,
    Hang,
    Huge,
    Interrupted,
    NoFinish,
    OddUsage,
    ReceivedRequest,
    Status,
    Torn,
    Whole,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.openai.api_key import ApiKey
from finops_cli.models.openai.send import send
from finops_cli.models.servers.answers import Patience
from finops_cli.models.servers.hosts import open_client
from finops_cli.models.servers.timeouts import TimedTransport
from finops_cli.rules.triage import triage
from tests.ollama.test_generate import HEAD, serve_bytes
from tests.support.ollama_models import a_record, select_backend_at
from tests.support.openai_models import fail_first, triage_at

ONCE_MORE, CRASHES = 2, 3
"""Requests in all for a record: an answer is asked for once more; a crash is overcome twice."""
CONTEXT = "This model's maximum context length is 2048 tokens. However, you requested 2300 tokens"
REASONING = '{"choices":[{"message":{"reasoning":"so"},"finish_reason":["stop"]}]}'
FAILURES: list[tuple[Behaviour, str, int]] = [
    (Torn(), "reply.connection_lost", CRASHES),
    (Torn(after=0), "reply.connection_lost", CRASHES),
    (Garbled(), "reply.connection_lost", CRASHES),
    (ErrorEvent(), "reply.crashed", CRASHES),
    (ErrorEvent({"message": "CUDA error", "code": 500}), "reply.crashed", CRASHES),
    (Status(500, '{"object":"error","message":"EngineDead"}'), "reply.crashed", CRASHES),
    (Status(502, "<html>bad gateway</html>"), "reply.crashed", CRASHES),
    (NoFinish(says_done=True), "reply.interrupted", CRASHES),
    (Interrupted(), "reply.interrupted", CRASHES),
    (NoFinish(), "reply.incomplete", ONCE_MORE),
    (NoFinish(after=0), "reply.incomplete", ONCE_MORE),
    (Finish("length", whole=False), "reply.truncated", ONCE_MORE),
    (Finish("length"), "reply.truncated", ONCE_MORE),
    (Finish("stop", whole=False), "reply.json", ONCE_MORE),
    (Finish("content_filter"), "reply.empty", ONCE_MORE),
    (Finish("abort", whole=False), "reply.empty", ONCE_MORE),
    (Finish(17), "reply.empty", ONCE_MORE),
    (Finish({"type": "stop"}), "reply.empty", ONCE_MORE),
    (Status(200, f"data: {REASONING}\n\n"), "reply.empty", ONCE_MORE),
    (Huge(), "reply.too_large", ONCE_MORE),
    (FixedText("I am not sure."), "reply.json", ONCE_MORE),
    (FixedText('{"category": "CNS_FAIL"}'), "schema.required", ONCE_MORE),
    (Status(200, "<html>Please log in</html>"), "reply.connection_lost", CRASHES),
    (Status(200, '{"choices": 4}'), "reply.connection_lost", CRASHES),
    (Status(200, '{"choices": null}'), "reply.incomplete", ONCE_MORE),
    (Status(200, ""), "reply.incomplete", ONCE_MORE),
    (Status(200, "data: " + "[" * 100_000), "reply.connection_lost", CRASHES),
    (Status(400, f'{{"error":{{"message":"{CONTEXT}"}}}}'), "reply.context", 1),
    (Status(400, "no"), "reply.rejected", 1),
    (Status(302, "", {"Location": "http://127.0.0.1:9/"}), "reply.rejected", 1),
    (Status(302, "", {"Location": "mailto:x"}), "reply.rejected", 1),
    (Status(302, "", {"Location": "http://xn--a/"}), "reply.rejected", 1),
    (HalfPromptCount(), "reply.prompt_truncated", 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("behaviour", "rule", "requests"), FAILURES)
def test_failure_has_its_rule_and_limited_retries(
    behaviour: Behaviour, rule: str, requests: int, vllm: FakeOpenAI, quick: KnowledgeBase
) -> None:
    """A server that always fails in one way gives the engine's answer, a finding with that
    failure's rule, and a limited number of requests.
    """
    answer = triage_at(vllm, quick, fail_first(behaviour))
    assert (answer.status, answer.value) == ("fallback", triage(a_record(), quick))
    assert rule in [finding.rule for finding in answer.findings]
    assert len(vllm.about_records) == requests


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour",
    [Torn(), ErrorEvent(), Status(500, "no"), NoFinish(says_done=True), Status(429), Status(503)],
)
def test_request_is_repeated_after_a_failure(
    behaviour: Behaviour, vllm: FakeOpenAI, quick: KnowledgeBase
) -> None:
    """After a server failure the request is repeated. The answer is ok, and `attempt_errors` lists
    what was overcome.
    """
    answer = triage_at(vllm, quick, fail_first(behaviour, times=2))
    assert (answer.status, answer.attempts) == ("ok", 1)
    [attempt_error] = answer.attempt_errors
    assert (attempt_error.rules, len(attempt_error.server)) == ((), 2)


@pytest.mark.parametrize("odd", ["12", -1, [], {"prompt_tokens": "many"}, None, 10**30])
def test_odd_usage_costs_no_complete_answer(
    odd: object, vllm: FakeOpenAI, quick: KnowledgeBase
) -> None:
    """An answer with a `usage` of any type is accepted at once."""
    answer = triage_at(vllm, quick, fail_first(OddUsage(odd)))
    assert (answer.status, answer.attempts, answer.attempt_errors) == ("ok", 1, ())
    assert len(vllm.about_records) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/png"])
def test_whole_object_of_any_content_type_is_read(
    kind: str, vllm: FakeOpenAI, quick: KnowledgeBase
) -> None:
    """A server that answers one object instead of a stream is understood, whatever it calls it."""
    assert triage_at(vllm, quick, fail_first(Whole(kind))).status == "ok"


@pytest.mark.slow
def test_silence_in_an_answer_ends_it(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """A server that hangs costs the record its time, not the run."""
    for after in (0, 3):
        answer = triage_at(vllm, quick, fail_first(Hang(after)), timeout=0.5)
        assert (answer.status, answer.value) == ("fallback", triage(a_record(), quick))
        assert "reply.timeout" in [finding.rule for finding in answer.findings]


@pytest.mark.parametrize(
    ("status", "rule"),
    [(401, "reply.unauthorized"), (403, "reply.unauthorized"), (404, "reply.model_missing")],
)
def test_record_that_a_working_server_refuses_is_sent_twice(
    status: int, rule: str, vllm: FakeOpenAI, quick: KnowledgeBase
) -> None:
    """A server that passes its test after it refused a record gets that record once more: further
    requests may lock the account of the key.
    """
    answer = triage_at(vllm, quick, fail_first(Status(status, "no")))
    assert (answer.status, answer.value) == ("fallback", triage(a_record(), quick))
    assert rule in [finding.rule for finding in answer.findings]
    assert len(vllm.about_records) == 2
    assert triage_at(vllm, quick, fail_first(Status(status, "no"), times=1)).status == "ok"


def test_interruption_is_no_fault_of_the_server(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """Answers that other requests interrupt open no breaker, however many."""
    vllm.script = fail_first(Interrupted())
    backend = select_backend_at(quick, "openai", vllm.url, stages=("triage",)).backend
    backend.prepare("triage")
    answers = [backend.triage(a_record(qty=5000 + n)) for n in range(4)]
    assert {answer.status for answer in answers} == {"fallback"}
    assert backend.endpoint_states() == {vllm.url: "closed"}  # type: ignore[attr-defined]


def test_wrong_number_is_repaired_and_marked(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """A wrong number of a server is replaced, and the line says so."""

    def raise_score(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "priority_score": 99.9}

    answer = triage_at(vllm, quick, fail_first(Changed(raise_score)))
    assert (answer.status, answer.value) == ("repaired", triage(a_record(), quick))


def test_retry_after_is_heeded(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """A server that asks to wait longer than the longest pause is not waited for that long."""
    busy = Status(429, "slow down", {"Retry-After": "86400"})
    answer = triage_at(vllm, quick, fail_first(busy, times=1))
    assert answer.status == "ok"
    assert answer.attempt_errors[0].server == ("reply.busy",)


def test_second_attempt_is_held_to_the_schema(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """After an answer that is not JSON, the model is asked again, constrained."""
    answer = triage_at(vllm, quick, fail_first(FixedText("I am not sure."), times=1))
    first, second = vllm.about_records
    assert (answer.status, answer.attempts, answer.format_warnings) == ("ok", 2, ())
    assert first.schema is None
    assert second.body["structured_outputs"]["json"]["properties"]["category"]
    assert [each.constrained for each in answer.attempt_log] == [False, True]


def test_each_option_is_explicit(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """A request has every option of the Modelfile, so that no default of a server counts."""
    triage_at(vllm, quick, lambda request: CorrectAnswer())
    [request] = vllm.about_records
    expected = {
        "model": "finops-triage",
        "max_tokens": 512,
        "temperature": 0.1,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0,
        "repeat_penalty": 1.0,
        "repetition_penalty": 1.0,
        "seed": 7,
        "stop": ["<|im_end|>"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert {name: request.body.get(name) for name in expected} == expected
    assert request.prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_chat_sends_the_same_messages(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """With `chat` the turns of the prompt are messages, and the template is set not to think."""
    asked: list[ReceivedRequest] = []
    for api in ("completions", "chat"):
        assert triage_at(vllm, quick, lambda request: CorrectAnswer(), api=api).status == "ok"
        asked.append(vllm.about_records[-1])
    plain, chat = asked
    assert (plain.route, chat.route) == ("completions", "chat")
    assert chat.prompt == plain.prompt
    assert [message["role"] for message in chat.body["messages"]] == ["system", "user"]
    assert chat.body["chat_template_kwargs"] == {"enable_thinking": False}


def test_cookies_of_a_server_are_not_kept() -> None:
    """A server that sets a cookie with its answer does not get it back: requests do not grow."""
    head = HEAD.replace(b"\r\n", b"\r\nSet-Cookie: name=value\r\n", 1)
    event = b'data: {"choices":[{"text":"x","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    with (
        serve_bytes([head, event]) as url,
        open_client(url, transport=TimedTransport()) as client,
    ):
        send(client, "/v1/completions", {"model": "m"}, Patience(1, 20, 20), ApiKey())
        assert not client.cookies
