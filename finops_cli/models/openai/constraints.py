"""The ways in which servers hold an answer to a schema, and how to find the one that works.

Each server has its own parameter, and most ignore those of the others without a word: HTTP 200
proves nothing. A probe therefore asks for a word that is only in its schema, never in its
prompt, so that only a constrained answer can hold it.

Sources: vLLM (docs, Structured Outputs: `structured_outputs` since 0.11, `guided_json` before),
SGLang (`json_schema` as a text), llama-server (tools/server/README.md: `json_schema`),
llama-cpp-python (llama_cpp/server/types.py: `grammar`, and `schema` within `response_format`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finops_cli.models.openai.gbnf import grammar_of
from finops_cli.models.prompts import EMPTY_THINK
from finops_cli.models.response_parser import CLOSED

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One way to hold an answer to a schema."""

    name: str
    fields: Callable[[Schema], dict[str, Any]]
    """The fields of a request for a schema. Raises UnsupportedSchema."""


def _named(schema: Schema) -> dict[str, Any]:
    return {"name": "answer", "schema": schema, "strict": True}


CONSTRAINTS: tuple[Constraint, ...] = (
    Constraint("structured_outputs", lambda schema: {"structured_outputs": {"json": schema}}),
    Constraint(
        "response_format",
        lambda schema: {
            "response_format": {"type": "json_schema", "json_schema": _named(schema)},
        },
    ),
    Constraint("json_schema", lambda schema: {"json_schema": schema}),
    Constraint("json_schema as text", lambda schema: {"json_schema": json.dumps(schema)}),
    Constraint("grammar", lambda schema: {"grammar": grammar_of(schema)}),
    Constraint(
        "json_object",
        lambda schema: {"response_format": {"type": "json_object", "schema": schema}},
    ),
    Constraint("guided_json", lambda schema: {"guided_json": schema}),
)
"""In the order in which they are tried."""

_WORD_CHARS = 8
PROBE_TOKENS = 96
"""Room for the answer to a probe, also where each character is a token."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that only a constrained answer can satisfy."""

    prompt: str
    schema: Schema
    expected: Any

    def is_satisfied(self, text: str) -> bool:
        """Return true if `text` is the constrained answer."""
        try:
            return bool(json.loads(text.rpartition(CLOSED.strip())[2]) == self.expected)
        except (ValueError, RecursionError):
            return False


def make_probe(url: str, model: str, is_text: bool) -> Probe:
    """Make the probe of a model at `url`.

    `is_text`: the schemas of its stage are texts, not objects. The word differs between servers, so
    that none can have it from elsewhere.
    """
    word = f"q{hashlib.sha256(f'{url} {model}'.encode()).hexdigest()[:_WORD_CHARS]}"
    turn = "<|im_start|>user\nSay that you are ready, in one word.<|im_end|>\n"
    prompt = f"{turn}<|im_start|>assistant\n{EMPTY_THINK}"
    only: Schema = {"type": "string", "enum": [word]}
    if is_text:
        return Probe(prompt, only, word)
    schema = {
        "type": "object",
        "properties": {"answer": only},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return Probe(prompt, schema, {"answer": word})
