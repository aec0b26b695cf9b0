"""The schema of a second attempt: how finops finds the way that a server really knows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from finops_cli.devtools.fake_openai import (
    Behaviour,
    CorrectAnswer,
    FakeOpenAI,
    FixedText,
    ReceivedRequest,
    Status,
)
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.openai.constraints import CONSTRAINTS, make_probe
from finops_cli.models.openai.gbnf import UnsupportedSchema, grammar_of
from finops_cli.models.tasks import answer_schema
from finops_cli.verify.codecs import RESOLUTION, TRIAGE
from tests.support.ollama_models import select_backend_at
from tests.support.openai_models import fail_first, triage_at

WAYS = [
    ("vllm", "completions", "structured_outputs"),
    ("vllm", "chat", "structured_outputs"),
    ("vllm-0.8", "completions", "guided_json"),
    ("sglang", "completions", "json_schema"),
    ("sglang", "chat", "response_format"),
    ("llama-server", "completions", "json_schema"),
    ("llama-server", "chat", "response_format"),
    ("llama-cpp-python", "completions", "grammar"),
    ("llama-cpp-python", "chat", "grammar"),
    ("openai", "chat", "response_format"),
]


@pytest.mark.parametrize(("kind", "api", "field"), WAYS)
def test_way_that_works_is_found(kind: str, api: str, field: str, quick: KnowledgeBase) -> None:
    """Each kind of server holds a second attempt to the schema by its own field, alone."""
    with FakeOpenAI(kind=kind) as server:
        answer = triage_at(server, quick, fail_first(FixedText("no"), times=1), api=api)
    second = server.about_records[-1]
    ways = {"structured_outputs", "response_format", "json_schema", "guided_json", "grammar"}
    assert (answer.status, answer.attempts, answer.format_warnings) == ("ok", 2, ())
    assert ways & second.body.keys() == {field}
    assert second.schema is not None
    assert answer.attempt_log[1].constrained


@pytest.mark.parametrize(("kind", "api"), [("plain", "completions"), ("openai", "completions")])
def test_server_without_a_way_is_asked_unconstrained(
    kind: str, api: str, quick: KnowledgeBase
) -> None:
    """Where no way works the second attempt has no schema, and the line and stderr say so."""
    with FakeOpenAI(kind=kind) as server:
        server.script = fail_first(FixedText("no"), times=1)
        selected = select_backend_at(quick, "openai", server.url, stages=("triage",), api=api)
        answer = triage_at(server, quick, fail_first(FixedText("no"), times=1), api=api)
        selected.backend.prepare("triage")
        said = selected.describe_sharing()
    assert (answer.status, answer.attempts) == ("ok", 2)
    assert answer.format_warnings == ("reply.unconstrained",)
    assert not answer.attempt_log[1].constrained
    assert server.url in said
    assert "reply.unconstrained" in said


def test_status_200_proves_no_constraint(quick: KnowledgeBase) -> None:
    """A server that takes every field and ignores it is not believed."""
    with FakeOpenAI(kind="plain") as server:
        triage_at(server, quick, fail_first(FixedText("no"), times=1))
    probed = [each.body for each in server.received if "Say that you are ready" in each.prompt]
    assert len(probed) == len(CONSTRAINTS)
    assert server.about_records[-1].body.keys() & {"grammar", "json_schema"} == set()


def test_schema_that_a_server_refuses_is_left_out(vllm: FakeOpenAI, quick: KnowledgeBase) -> None:
    """A server that holds the probe, but refuses the schema of an answer, is asked without it."""

    def script(request: ReceivedRequest) -> Behaviour:
        if request.schema is not None and not request.is_trial:
            return Status(400, "The provided JSON schema contains features not supported")
        is_first = not request.is_trial and len(vllm.about_records) == 1
        return FixedText("no") if is_first else CorrectAnswer()

    answer = triage_at(vllm, quick, script)
    assert (answer.status, answer.attempts) == ("ok", 2)
    assert answer.format_warnings == ("reply.unconstrained",)


def test_refused_fields_are_left_out_and_named(quick: KnowledgeBase) -> None:
    """A server that refuses a field gets the request without it; stderr names what changes."""
    with FakeOpenAI(kind="openai") as server:
        selected = select_backend_at(quick, "openai", server.url, stages=("triage",), api="chat")
        answer = triage_at(server, quick, fail_first(FixedText("no"), times=0), api="chat")
        selected.backend.prepare("triage")
        said = selected.describe_sharing()
    body = server.about_records[-1].body
    assert answer.status == "ok"
    assert body["seed"] == 7
    assert body.keys() & {"top_k", "min_p", "repeat_penalty", "chat_template_kwargs"} == set()
    assert "does not take min_p, repeat_penalty, top_k" in said


def test_refusal_that_names_no_field_drops_them_all(quick: KnowledgeBase) -> None:
    """A refusal without a name costs every field that is not of the API's first version."""

    def script(request: Any) -> Any:
        known = "top_k" not in request.body and "seed" not in request.body
        return fail_first(FixedText(""), times=0)(request) if known else Status(422, "bad input")

    with FakeOpenAI(kind="plain") as server:
        assert triage_at(server, quick, script).status == "ok"
    assert "stream_options" not in server.about_records[-1].body


def test_probe_is_satisfied_by_its_word_alone() -> None:
    """The word of a probe is in its schema, never in its prompt, and differs between servers."""
    probe = make_probe("http://a:1", "m", is_text=False)
    word = probe.schema["properties"]["answer"]["enum"][0]
    assert word not in probe.prompt
    assert probe.is_satisfied(json.dumps({"answer": word}))
    assert probe.is_satisfied(f'<think>\n</think>\n{{"answer": "{word}"}}')
    others = ("", "ready", "{}", f'{{"answer": "{word}x"}}', f"the word is {word}", "[" * 10**5)
    for other in others:
        assert not probe.is_satisfied(other)
    assert make_probe("http://b:1", "m", is_text=False).schema != probe.schema
    assert make_probe("http://a:1", "m", is_text=True).is_satisfied(f'"{word}"')


@pytest.mark.parametrize("codec", [TRIAGE, RESOLUTION])
def test_grammar_has_each_rule_that_it_uses(codec: Any) -> None:
    """The grammar of an answer defines every rule that it names, and each field in its order."""
    schema = answer_schema(codec)
    grammar = grammar_of(schema)
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    used = {
        name
        for rule in rules.values()
        for name in re.findall(r"[a-z][a-z0-9-]*", re.sub(r'"(?:[^"\\]|\\.)*"|\[[^]]*\]', "", rule))
    }
    assert used == set(rules) - {"root"}
    places = [grammar.index(f'"\\"{field}\\""') for field in schema["properties"]]
    assert places == sorted(places)


def test_grammar_refuses_what_it_cannot_express() -> None:
    """A schema with an unknown part has no grammar, so that none is too wide."""
    with pytest.raises(UnsupportedSchema):
        grammar_of({"type": "object", "patternProperties": {}})
