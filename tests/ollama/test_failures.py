"""Models behind Ollama servers: each failure shape of the protocol over real HTTP, retries that
end, several servers, slots, turns.
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
    Refused,
    TooLong,
    Torn,
    WrongStatus,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.triage import triage
from tests.support.ollama_models import (
    a_model_at,
    a_record,
    asked_of,
    first_ones,
    triaged_at,
    warms_up,
)

ONCE_MORE, CRASHES = 2, 3
"""Requests in all for a record: an answer is asked for once more; a crash is overcome twice."""


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
def test_each_failure_has_its_name_and_its_number_of_requests(
    behaviour: Behaviour, rule: str, requests: int, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """A server that always fails so: the engine answers, the finding names the shape, and retries
    end.
    """
    answer = triaged_at(server, quick, first_ones(behaviour))
    assert (answer.status, answer.value) == ("fallback", triage(a_record(), quick))
    assert rule in [finding.rule for finding in answer.findings]
    assert asked_of(server) == requests


@pytest.mark.parametrize(
    "behaviour", [Torn(), Crash(), ErrorLine(), Refused(), Busy(), WrongStatus(429, "")]
)
def test_what_the_server_failed_is_sent_again(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """The model is right in the end; provenance tells what was overcome, twice the same or not."""
    answer = triaged_at(server, quick, first_ones(behaviour, times=2))
    assert (answer.status, answer.attempts) == ("ok", 1)
    [trouble] = answer.attempt_errors
    assert (trouble.rules, len(trouble.server)) == ((), 2)


@pytest.mark.parametrize(
    "behaviour",
    [NoDone(after=4), Length(), Loaded(), FixedText("Well."), FixedText("<think>on and on")],
)
def test_what_the_model_failed_is_asked_for_once_more_held_to_the_schema(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """Another seed, a schema, and more room; never the same request again."""
    answer = triaged_at(server, quick, first_ones(behaviour, times=1))
    assert (answer.status, answer.attempts) == ("ok", 2)
    first, second = [request.body for request in server.received if not warms_up(request)]
    assert first["options"]["seed"] != second["options"]["seed"]
    assert "format" not in first
    assert next(iter(second["format"]["properties"])) == "category"
    assert second["options"]["num_predict"] > first["options"]["num_predict"]


@pytest.mark.parametrize("behaviour", [Hang(), Hang(after=2), Drip(0.05, endless=True)])
def test_an_answer_that_does_not_come_is_given_up_at_its_deadline(
    behaviour: Behaviour, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """The connection is closed, which ends the generation on the server; the record is settled and
    not asked again.
    """
    answer = triaged_at(server, quick, first_ones(behaviour), timeout=0.3)
    assert (answer.status, [finding.rule for finding in answer.findings]) == (
        "fallback",
        ["reply.timeout"],
    )
    assert asked_of(server) == 1
    for _ in range(200):
        if server.cancelled:
            break
        threading.Event().wait(0.02)
    assert server.cancelled == 1


def test_every_option_is_said_and_nothing_is_left_to_the_server(
    server: FakeOllama, quick: KnowledgeBase
) -> None:
    """Raw, thinking off, never truncated or shifted, sampling of the Modelfile, a seed, and a model
    that stays loaded.
    """
    triaged_at(server, quick, lambda _: CorrectAnswer())
    body = server.received[-1].body
    said = {key: body[key] for key in ("raw", "think", "stream", "truncate", "shift", "keep_alive")}
    assert said == {
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


class _CountsAlike(Behaviour):
    """A server that says the same number of prompt tokens whatever it is sent."""

    def respond(self, response: Any) -> None:
        response.prompt_tokens = 300
        CorrectAnswer().respond(response)


@pytest.mark.parametrize(
    ("stages", "status"), [(("triage", "resolver"), "ok"), (("triage",), "fallback")]
)
def test_a_server_that_cannot_count_is_not_believed(
    stages: Any, status: str, server: FakeOllama, quick: KnowledgeBase
) -> None:
    """One count for a short prompt and a long one is no count; with one prompt to go by, a longer
    prompt looks cut.
    """
    server.script = lambda _: _CountsAlike()
    model = a_model_at(quick, server.url, stages=stages)
    for stage in stages:
        model.prepare(stage)
    assert model.triage(a_record(notes="call the broker again " * 40)).status == status
