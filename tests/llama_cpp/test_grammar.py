"""The grammar of the decoder: constrained answers always match the schema, and other answers do not
change.
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
from tests.support.llama_models import (
    CONTEXT,
    LocalDecoder,
    agrees,
    make_requests,
    model_of,
    plain_loop,
    prompts,
)
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


def constrained_requests(
    texts: list[str], schema: dict[str, Any], sampling: Sampling | None = None, first: int = 1
) -> list[Generate]:
    wire = json.dumps(schema).encode()
    return [
        Generate(number=n, prompt=text, seed=n, sampling=sampling or Sampling(), schema=wire)
        for n, text in enumerate(texts, start=first)
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.5])
@pytest.mark.parametrize("model", ["tiny", "endless"])
def test_grammar_answers_always_match_the_schema(
    temperature: float, model: str, request: pytest.FixtureRequest
) -> None:
    """Every answer of a model with random weights matches the schema and has the fields in their
    order.
    """
    results = LocalDecoder(request.getfixturevalue(model), 5).answers(
        constrained_requests(prompts(25), SCHEMA, Sampling(temperature=temperature))
    )
    for answer in results.values():
        assert answer.end == "stop"
        value = json.loads(answer.text)
        jsonschema.validate(value, SCHEMA)
        assert list(value) == SCHEMA["required"]


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {}, {"indent": 2}])
def test_grammar_accepts_a_correct_answer_in_any_layout(
    layout: dict[str, Any], tiny: Path, kb: KnowledgeBase
) -> None:
    """The triage grammar accepts the engine's answer, compact, with blanks or indented."""
    answer = json.loads(exact_json.encode(triage(a_record(), kb)))
    assert grammar_state(tiny, json.dumps(answer, **layout)) == "complete"


def test_grammar_rejects_a_wrong_order_word_or_fence(tiny: Path, kb: KnowledgeBase) -> None:
    """The grammar rejects another field order, a word that is not on its list and a code fence.
    Half an answer is not complete.
    """
    answer = json.loads(exact_json.encode(triage(a_record(), kb)))
    turned = dict(reversed(answer.items()))
    for text in (
        json.dumps(turned),
        json.dumps({**answer, "category": "OTHER"}),
        f"```json\n{json.dumps(answer)}",
    ):
        assert grammar_state(tiny, text) == "ruled out"
    assert grammar_state(tiny, json.dumps(answer)[:-1]) == "open"


def grammar_state(gguf: Path, text: str) -> str:
    """Return the state of the triage grammar after `text`: complete, open or ruled out."""
    from finops_cli.models.llama_cpp.worker.grammar import GrammarFactory

    model = LocalDecoder(gguf, 1, context=4096).model
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


def test_grammar_does_not_change_unconstrained_answers(tiny: Path) -> None:
    """Answers without a schema are those of the plain loop, and a constrained answer is the same as
    alone.
    """
    texts, plain = prompts(16, seed=21), plain_loop(tiny)
    free = make_requests(texts[:8])
    bound = constrained_requests(texts[8:], SCHEMA, first=9)
    results = LocalDecoder(tiny, 4).answers(
        [request for pair in zip(free, bound, strict=True) for request in pair]
    )
    assert [
        request.number
        for request in free
        if not agrees(results[request.number], plain(request.prompt))
    ] == []
    for request in bound:
        assert LocalDecoder(tiny, 1).answers([request]) == {request.number: results[request.number]}


def test_grammar_limits_blanks_between_tokens(tiny: Path) -> None:
    """The grammar allows blanks for indentation, and a limited number of them."""
    results = LocalDecoder(tiny, 8).answers(
        constrained_requests(
            prompts(40, seed=2), {"type": "array", "items": {"type": "null"}, "maxItems": 1}
        )
    )
    assert max(len(answer.text) for answer in results.values()) <= len("[null]") + 3 * 24
    assert {answer.end for answer in results.values()} == {"stop"}


def test_grammar_refuses_an_invalid_schema_for_its_request(tiny: Path) -> None:
    """An invalid schema refuses its own request, and the next one takes its slot."""
    bad = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}
    results = LocalDecoder(tiny, 1).answers(
        [*constrained_requests(["a"], bad), *constrained_requests(["b"], SCHEMA, first=2)]
    )
    assert (results[1].end, results[2].end) == ("refused", "stop")
    assert "schema" in results[1].text


def test_grammar_that_stops_early_refuses_the_request(tiny: Path) -> None:
    """If llguidance gives up, the request is refused with the reason instead of an answer. The next
    one is answered.
    """

    class Unmasked:
        """A real grammar whose mask the model ignores."""

        def __init__(self, grammar: Any) -> None:
            self.accept = grammar.accept

        def mask(self, logits: Any) -> None:
            """Allow every token."""

    decoder = LocalDecoder(tiny, 1)
    make_grammar = decoder.scheduler._make_grammar
    decoder.scheduler._make_grammar = lambda schema: (
        Unmasked(make_grammar(schema)) if b"null" in schema else make_grammar(schema)
    )
    results = decoder.answers(
        [
            *constrained_requests(["a"], {"type": "null"}),
            *constrained_requests(["b"], {"type": "boolean"}, first=2),
        ]
    )
    assert (results[1].end, results[2].end) == ("refused", "stop")
    assert results[1].text.startswith("llguidance lost track of the schema: ")
    assert results[2].text in ("true", "false")


def test_schema_applies_to_its_own_request_only(tiny: Path, quick: KnowledgeBase) -> None:
    """A schema constrains its own request, and the next one without a schema is free."""
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
