"""The servers that the fake one can be: what each calls itself, and which fields it knows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from finops_cli.devtools.fake_ollama.reference_answers import turns

_WORD = re.compile(r'"\\"(q[0-9a-f]{8})\\""')
_STANDARD = frozenset(
    (
        *("model", "prompt", "messages", "max_tokens", "temperature", "top_p", "stream", "stop"),
        *("seed", "stream_options", "logprobs", "top_logprobs", "response_format", "n"),
    )
)
"""The fields of OpenAI's own API that finops sends."""


@dataclass(frozen=True)
class Kind:
    """A kind of server."""

    owner: str
    """Its `owned_by`."""
    ways: frozenset[str]
    """The fields by which it holds an answer to a schema."""
    chat_ways: frozenset[str]
    refuses_unknown: bool = False
    """It answers 400 to a field that it does not know, as OpenAI's own API does."""
    says_context: bool = False
    """It lists `max_model_len`."""
    schema_is_text: bool = False
    """Its `json_schema` is a text; an object is refused."""


_NONE: frozenset[str] = frozenset()
KINDS: dict[str, Kind] = {
    "vllm": Kind(
        "vllm",
        frozenset(("structured_outputs", "response_format")),
        frozenset(("structured_outputs", "response_format")),
        says_context=True,
    ),
    "vllm-0.8": Kind(
        "vllm", frozenset(("guided_json",)), frozenset(("guided_json",)), says_context=True
    ),
    "sglang": Kind(
        "sglang",
        frozenset(("json_schema",)),
        frozenset(("response_format",)),
        says_context=True,
        schema_is_text=True,
    ),
    "llama-server": Kind(
        "llamacpp",
        frozenset(("json_schema", "grammar")),
        frozenset(("response_format", "json_schema", "grammar")),
    ),
    "llama-cpp-python": Kind("me", frozenset(("grammar",)), frozenset(("grammar", "json_object"))),
    "openai": Kind("system", _NONE, frozenset(("response_format",)), refuses_unknown=True),
    "plain": Kind("someone", _NONE, _NONE),
}


class ReceivedRequest(NamedTuple):
    """One request for text, as it arrived."""

    number: int
    """Counted from 1 over the requests about records and texts."""
    route: str
    """completions or chat."""
    model: str
    prompt: str
    """The prompt, or the messages rendered as finops renders them."""
    body: dict[str, Any]
    authorization: str | None
    schema: Any
    """The schema that the server holds the answer to; None for no schema that it knows."""

    @property
    def stage(self) -> str | None:
        """Return triage or resolver, by the prompt; None for another."""
        return turns(self.prompt).stage

    @property
    def is_trial(self) -> bool:
        """Return true if the request asks about no record: a warm-up, or what the server takes."""
        return self.body.get("max_tokens") == 1 or "Say that you are ready" in self.prompt


def prompt_of(body: dict[str, Any]) -> str:
    """Return the prompt of completions, or the messages of chat as one text."""
    if "prompt" in body:
        return str(body["prompt"])
    rendered = "".join(
        f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
        for message in body.get("messages", ())
    )
    thinks = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
    closed = "" if thinks else "<think>\n\n</think>\n\n"
    return f"{rendered}<|im_start|>assistant\n{closed}"


def find_fault(kind: Kind, body: dict[str, Any]) -> str | None:
    """Return why the server refuses a body; None if it takes it."""
    unknown = sorted(body.keys() - _STANDARD)
    if kind.refuses_unknown and unknown:
        return f"Unrecognized request argument supplied: {unknown[0]}"
    schema = body.get("json_schema")
    if kind.schema_is_text and schema is not None and not isinstance(schema, str):
        return "1 validation error for CompletionRequest: json_schema should be a valid string"
    return None


def schema_of(kind: Kind, route: str, body: dict[str, Any]) -> Any:
    """Return the schema of a body, if the server knows its field; other fields are ignored."""
    ways = kind.chat_ways if route == "chat" else kind.ways
    given = _all_schemas(body)
    return next((schema for way, schema in given.items() if way in ways), None)


def _all_schemas(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("guided_json", "json_schema"):
        if name in body:
            found[name] = json.loads(body[name]) if isinstance(body[name], str) else body[name]
    if "structured_outputs" in body:
        found["structured_outputs"] = body["structured_outputs"]["json"]
    if "grammar" in body:
        word = _WORD.search(body["grammar"])
        only = {"enum": [word[1]]} if word else {}
        is_object = '"answer' in body["grammar"] or '\\"answer\\"' in body["grammar"]
        found["grammar"] = {"properties": {"answer": only}} if is_object else only
    form = body.get("response_format", {})
    if form.get("type") == "json_schema":
        found["response_format"] = form["json_schema"]["schema"]
    elif form.get("type") == "json_object" and "schema" in form:
        found["json_object"] = form["schema"]
    return found
