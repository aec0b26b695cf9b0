"""Failures of an Ollama server: each kind of failure over HTTP, with a limited number of
retries.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    BadRequest,
    Behaviour,
    Busy,
    CorrectAnswer,
    Crash,
    Drip,
    ErrorLine,
    FakeOllama,
    FixedText,
    Garbled,
    HalfPromptCount,
    Hang,
    Length,
    Loaded,
    NoDone,
    OddStatistics,
    Refused,
    ThinkingOnly,
    TooLong,
    Torn,
    WrongStatus,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.triage import triage
from tests.support.ollama_models import (
    a_model_at,
    a_record,
    count_requests,
    fail_first,
    is_warm_up,
    triage_at,
)

ONCE_MORE, CRASHES = 2, 3
"""Requests in all for a record: an answer is asked for once more; a crash is overcome twice."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "rule", "requests"),
    [
        (Torn(), "reply.connection_lost", CRASHES),
        (Torn(after=0), "reply.connection_lost", CRASHES),
        (Refused(), "reply.connection_lost", CRASHES),
        (Garbled(), "reply.connection_lost", CRASHES),
        (Crash(), "reply.crashed", CRASHES),
        (ErrorLine(), "reply.crashed", CRASHES),
        (ErrorLine(after=0), "reply.crashed", CRASHES),
        (WrongStatus(502, "<html>bad gateway</html>"), "reply.crashed", CRASHES),
        (NoDone(), "reply.incomplete", ONCE_MORE),
        (NoDone(after=4), "reply.incomplete", ONCE_MORE),
        (Length(), "reply.truncated", ONCE_MORE),
        (Loaded(), "reply.empty", ONCE_MORE),
        (ThinkingOnly(), "reply.reasoning_only", ONCE_MORE),
        (WrongStatus(200, '{"response":"%s"}\n' % ("x" * 600_000)), "reply.too_large", ONCE_MORE),
        (FixedText("I am not sure."), "reply.json", ONCE_MORE),
        (FixedText('{"category": "CNS_FAIL"}'), "schema.required", ONCE_MORE),
        (TooLong(), "reply.context", 1),
        (HalfPromptCount(), "reply.prompt_truncated", 1),
        (BadRequest("raw mode does not support template"), "reply.rejected", 1),
        (WrongStatus(401, "who are you"), "reply.rejected", 1),
        (WrongStatus(302, ""), "reply.rejected", 1),
    ],
)
def test_server_failure_has_its_rule_and_limited_retries(
    behaviour: Behaviour, rule: str, requests: int, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """A server that always fails in one way gives the engine's answer, a finding with that
    failure's rule, and a limited number of requests.
    """
    answer = triage_at(server, quick, fail_first(behaviour))
    assert (answer.status, answer.value) == ("fallback", triage(a_record(), quick))
    assert rule in [finding.rule for finding in answer.findings]
    assert count_requests(server) == requests


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour", [Torn(), Crash(), ErrorLine(), Refused(), Busy(), WrongStatus(429, "")]
)
def test_request_is_repeated_after_a_server_failure(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """After a server failure the request is repeated. The answer is ok, and `attempt_errors` lists
    what was overcome.
    """
    answer = triage_at(server, quick, fail_first(behaviour, times=2))
    assert (answer.status, answer.attempts) == ("ok", 1)
    [attempt_error] = answer.attempt_errors
    assert (attempt_error.rules, len(attempt_error.server)) == ((), 2)


@pytest.mark.parametrize(
    "odd",
    [
        "12",
        -1,
        [],
        *(pytest.param(each, marks=pytest.mark.slow) for each in (None, 1.5, 10**30, True, {})),
    ],
)
def test_odd_statistics_cost_no_complete_answer(
    odd: object, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """An answer with counts and times of any type is accepted at once."""
    answer = triage_at(server, quick, fail_first(OddStatistics(odd)))
    assert (answer.status, answer.attempts, answer.attempt_errors) == ("ok", 1, ())
    assert count_requests(server) == 1


def test_reasoning_alone_is_kept_and_asked_again(server: FakeOllama, quick: KnowledgeBase) -> None:
    """Text in `thinking` alone is kept as the text of the attempt, and the model is asked again."""
    answer = triage_at(server, quick, fail_first(ThinkingOnly(), times=1))
    assert (answer.status, answer.attempts) == ("ok", 2)
    first = answer.attempt_log[0]
    assert first.failure == "reply.reasoning_only"
    assert first.text is not None
    assert first.text.startswith("<think>")


@pytest.mark.parametrize(
    "behaviour",
    [NoDone(after=4), Length(), Loaded(), FixedText("Well."), FixedText("<think>on and on")],
)
def test_unreadable_answer_is_asked_again_with_the_schema(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """After an unreadable answer the second request has another seed, the schema and more room."""
    answer = triage_at(server, quick, fail_first(behaviour, times=1))
    assert (answer.status, answer.attempts) == ("ok", 2)
    first, second = [request.body for request in server.received if not is_warm_up(request)]
    assert first["options"]["seed"] != second["options"]["seed"]
    assert "format" not in first
    assert next(iter(second["format"]["properties"])) == "category"
    assert second["options"]["num_predict"] > first["options"]["num_predict"]


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [Hang(), Hang(after=2), Drip(0.05, endless=True)])
def test_answer_after_the_timeout_is_cancelled(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """An answer that exceeds the timeout is cancelled on the server and not requested again."""
    answer = triage_at(server, quick, fail_first(behaviour), timeout=0.3)
    assert (answer.status, [finding.rule for finding in answer.findings]) == (
        "fallback",
        ["reply.timeout"],
    )
    assert count_requests(server) == 1
    for _ in range(200):
        if server.cancelled:
            break
        threading.Event().wait(0.02)
    assert server.cancelled == 1


def test_request_sets_every_option_explicitly(server: FakeOllama, quick: KnowledgeBase) -> None:
    """A request sets raw mode, reasoning, truncation, sampling, seed and keep-alive, so that no
    default of the server applies.
    """
    triage_at(server, quick, lambda _: CorrectAnswer())
    body = server.received[-1].body
    settings = {
        key: body[key] for key in ("raw", "think", "stream", "truncate", "shift", "keep_alive")
    }
    assert settings == {
        "raw": True,
        "think": False,
        "stream": True,
        "truncate": False,
        "shift": False,
        "keep_alive": "30m",
    }
    assert body["options"] == {
        "temperature": 0.1,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.0,
        "num_ctx": 2048,
        "num_predict": 512,
        "stop": ["<|im_end|>"],
        "seed": 7,
    }
    assert not {"template", "system", "context"} & set(body)


class ConstantPromptCount(Behaviour):
    """A server that reports the same number of prompt tokens for every prompt."""

    def respond(self, response: Any) -> None:
        response.prompt_tokens = 300
        CorrectAnswer().respond(response)


@pytest.mark.parametrize(
    ("stages", "status"), [(("triage", "resolver"), "ok"), (("triage",), "fallback")]
)
def test_constant_prompt_count_is_detected_by_two_prompts(
    stages: Any, status: str, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """With two prompts finops detects a server that always reports the same prompt count. With one,
    a long prompt counts as truncated.
    """
    server.script = lambda _: ConstantPromptCount()
    model = a_model_at(quick, server.url, stages=stages)
    for stage in stages:
        model.prepare(stage)
    assert model.triage(a_record(notes="call the broker again " * 40)).status == status
