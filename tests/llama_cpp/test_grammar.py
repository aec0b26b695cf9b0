"""Answers held to a schema in the embedded decoder: they always parse, and nobody beside them
notices.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import failures
from finops_cli.models.llama_cpp.messages import Generate, Sampling
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.tasks import answer_schema
from finops_cli.rules.triage import triage
from finops_cli.verify.codecs import TRIAGE
from tests.support.llama_models import CONTEXT, Round, agrees, asks, model_of, plain_loop, prompts
from tests.support.ollama_models import a_record
from tests.support.tiny_gguf import Shape, write_tiny_gguf

np = pytest.importorskip("numpy", reason="llama-cpp-python brings it")
pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[llama]'")
pytest.importorskip("llguidance", reason="needs llguidance: pip install -e '.[llama]'")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "category": {"enum": ["CNS_FAIL", "BUY_IN", "größer"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "reason": {"type": "string", "maxLength": 12},
        "steps": {"type": "array", "items": {"enum": ["recall", "borrow"]}, "maxItems": 3},
        "rest": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    },
    "required": ["category", "score", "reason", "steps", "rest"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(
        tmp_path_factory.mktemp("endless") / "endless.gguf", shape=Shape(ends=False)
    )


def held(
    texts: list[str], schema: dict[str, Any], sampling: Sampling | None = None, first: int = 1
) -> list[Generate]:
    wire = json.dumps(schema).encode()
    return [
        Generate(n, text, n, sampling or Sampling(), schema=wire)
        for n, text in enumerate(texts, start=first)
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.5])
@pytest.mark.parametrize("model", ["tiny", "endless"])
def test_what_is_held_to_a_schema_parses_against_it(
    temperature: float, model: str, request: pytest.FixtureRequest
) -> None:
    """A model of random weights says nothing but nonsense, and yet each answer has the fields, in
    their order.
    """
    said = Round(request.getfixturevalue(model), 5).answers(
        held(prompts(25), SCHEMA, Sampling(temperature))
    )
    for answer in said.values():
        assert answer.end == "stop"
        given = json.loads(answer.text)
        jsonschema.validate(given, SCHEMA)
        assert list(given) == SCHEMA["required"]


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {}, {"indent": 2}])
def test_a_right_answer_passes_in_any_layout(
    layout: dict[str, Any], tiny: Path, kb: KnowledgeBase
) -> None:
    """The schema of triage lets the rules' own answer through, token for token, to its end;
    compact, spaced or indented.
    """
    answer = json.loads(exact_json.encode(triage(a_record(), kb)))
    assert passes(tiny, json.dumps(answer, **layout)) == "complete"


def test_a_wrong_shape_does_not_pass(tiny: Path, kb: KnowledgeBase) -> None:
    """Another order of the fields, a word that is not on its list, a fence around it; half an
    answer is not complete.
    """
    answer = json.loads(exact_json.encode(triage(a_record(), kb)))
    turned = dict(reversed(answer.items()))
    for text in (
        json.dumps(turned),
        json.dumps({**answer, "category": "OTHER"}),
        f"```json\n{json.dumps(answer)}",
    ):
        assert passes(tiny, text) == "ruled out"
    assert passes(tiny, json.dumps(answer)[:-1]) == "open"


def passes(gguf: Path, text: str) -> str:
    """What becomes of `text`, held to the schema of triage."""
    from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory

    model = Round(gguf, 1, context=4096).model
    hold = GrammarFactory(model)(json.dumps(answer_schema(TRIAGE)).encode())
    tokens = model.tokenize(text)
    assert isinstance(tokens, list)
    for token in tokens:
        logits = np.zeros(model.vocabulary, np.float32)
        hold.mask(logits)
        if not np.isfinite(logits[token]):
            return "ruled out"
        if hold.accept(token):
            return "complete"
    return "open"


def test_nobody_beside_a_held_answer_notices(tiny: Path) -> None:
    """Free answers are those of the plain loop, and a held one is the same alone."""
    texts, plain = prompts(16, seed=21), plain_loop(tiny)
    free = asks(texts[:8])
    bound = held(texts[8:], SCHEMA, first=9)
    said = Round(tiny, 4).answers([say for pair in zip(free, bound, strict=True) for say in pair])
    assert [say.number for say in free if not agrees(said[say.number], plain(say.prompt))] == []
    for say in bound:
        assert Round(tiny, 1).answers([say]) == {say.number: said[say.number]}


def test_blanks_cannot_go_on_for_ever(tiny: Path) -> None:
    """Between two marks there is room to indent, and no more."""
    said = Round(tiny, 8).answers(
        held(prompts(40, seed=2), {"type": "array", "items": {"type": "null"}, "maxItems": 1})
    )
    assert max(len(answer.text) for answer in said.values()) <= len("[null]") + 3 * 24
    assert {answer.end for answer in said.values()} == {"stop"}


def test_a_schema_that_cannot_be_held_to_is_refused(tiny: Path) -> None:
    """By name, for its own record alone; the next one sits down in its place."""
    bad = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}
    said = Round(tiny, 1).answers([*held(["a"], bad), *held(["b"], SCHEMA, first=2)])
    assert (said[1].end, said[2].end) == ("refused", "stop")
    assert "schema" in said[1].text


def test_what_llguidance_gives_up_on_is_no_answer(tiny: Path) -> None:
    """It says that it has stopped then, as at a proper end; the reason goes back instead of the
    text so far, and the next is answered.
    """

    class Unmasked:
        """A real grammar, and a model that ignores the mask."""

        def __init__(self, grammar: Any) -> None:
            self.accept = grammar.accept

        def mask(self, logits: Any) -> None:
            """Allow every token."""

    round = Round(tiny, 1)
    make_grammar = round.scheduler._make_grammar
    round.scheduler._make_grammar = lambda schema: (
        Unmasked(make_grammar(schema)) if b"null" in schema else make_grammar(schema)
    )
    said = round.answers(
        [*held(["a"], {"type": "null"}), *held(["b"], {"type": "boolean"}, first=2)]
    )
    assert (said[1].end, said[2].end) == ("refused", "stop")
    assert said[1].text.startswith("the schema could not be held to: ")
    assert said[2].text in ("true", "false")


def test_a_schema_constrains_one_answer_and_not_the_next(tiny: Path, quick: KnowledgeBase) -> None:
    """The schema is that of the request."""
    model = model_of(tiny, quick, max_tokens=None)
    text = prompts(1)[0]
    jsonschema.validate(
        json.loads(model.complete(CompletionRequest("triage", text, 1, SCHEMA, CONTEXT)).text),
        SCHEMA,
    )
    try:
        free = model.complete(CompletionRequest("triage", text, 1)).text
    except failures.Truncated as cut:
        free = cut.received
    assert free.startswith(plain_loop(tiny)(text).text.rstrip("\ufffd"))
    model.close()
