"""Parses a request to generate or to chat; refuses what Ollama refuses, in its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import msgspec

from finops_cli.devtools.fake_ollama.models import Model, Models
from finops_cli.devtools.fake_ollama.slots import FOREVER, Settings
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.models.prompts import EMPTY_THINK

Endpoint = Literal["generate", "chat"]
_DEFAULTS: dict[str, Any] = {"num_ctx": 4096, "num_predict": -1, "num_keep": 4, "stop": []}
_LEAST_CTX = 4
_INTEGERS = (
    "num_ctx",
    "num_predict",
    "num_keep",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "top_k",
    "seed",
    "repeat_last_n",
)
_FLOATS = (
    "temperature",
    "top_p",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_RELOADING = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)
_KEEP_ALIVE = timedelta(minutes=5)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9.]+)(ms|[smh])")
_LEVELS = ("low", "medium", "high", "max")
_TOP_LOGPROBS = 20


class Refusal(Exception):
    """A response with this status and {"error": message}."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class OllamaRequest:
    """A valid request."""

    endpoint: Endpoint
    model: Model
    name: str
    """The model's name as the client wrote it; answers repeat it."""
    prompt: str
    raw: bool
    stream: bool
    render_only: bool
    format: Any
    options: Mapping[str, Any]
    keep_alive: timedelta
    truncate: bool
    shift: bool

    @property
    def num_ctx(self) -> int:
        """Return the context size: at least 4, at most the training context of the model."""
        return min(max(int(self.options["num_ctx"]), _LEAST_CTX), self.model.context_length)

    @property
    def settings(self) -> Settings:
        """Return the settings of the runner."""
        given = {name: self.options[name] for name in _RELOADING if name in self.options}
        return tuple(sorted({**given, "num_ctx": self.num_ctx, "shift": self.shift}.items()))


def body_of(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a request. Raises Refusal."""
    if not content.strip():
        raise Refusal(400, "missing request body")
    try:
        body = msgspec.json.decode(content)
    except UNREADABLE as error:
        raise Refusal(400, f"invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "json: cannot unmarshal into Go value of type api.GenerateRequest")
    return body


def prompt_of(endpoint: Endpoint, body: dict[str, Any], model: Model | None) -> str:
    """Return the prompt that is tokenised; empty if the request only loads or unloads the model."""
    if endpoint == "generate" and (body.get("raw") or not body.get("prompt")):
        return str(body.get("prompt") or "")
    written = {"role": "user", "content": body.get("prompt")}
    messages = [written] if endpoint == "generate" else list(body.get("messages") or ())
    if not messages:
        return ""
    system = body.get("system") or (model.system if model else "")
    if system and messages[0].get("role") != "system":
        messages.insert(0, {"role": "system", "content": system})
    turns = "".join(
        f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages
    )
    return f"{turns}<|im_start|>assistant\n{_opening(body, model)}"


def _opening(body: dict[str, Any], model: Model | None) -> str:
    """Return what the chat template of the model writes before the answer."""
    if model is None or not model.thinks:
        return ""
    if body.get("think", True) is False:
        return EMPTY_THINK
    return "<think>\n" if model.architecture.startswith("qwen35") else ""


def find(models: Models, body: dict[str, Any]) -> Model:
    """Find the model of the request. Raises Refusal."""
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise Refusal(400, "model is required")
    model = models.get(str(name))
    if model is None:
        raise Refusal(404, f"model '{name}' not found")
    return model


def parse_request(endpoint: Endpoint, body: dict[str, Any], models: Models) -> OllamaRequest:
    """Parse the request in `body`. Raises Refusal."""
    model = find(models, body)
    if not 0 <= body.get("top_logprobs", 0) <= _TOP_LOGPROBS:
        raise Refusal(400, "top_logprobs must be between 0 and 20")
    raw = endpoint == "generate" and bool(body.get("raw"))
    if raw and (body.get("template") or body.get("system") or body.get("context")):
        raise Refusal(400, "raw mode does not support template, system, or context")
    _refuse_think(body.get("think"), model, str(body["model"]))
    return OllamaRequest(
        endpoint=endpoint,
        model=model,
        name=str(body["model"]),
        prompt=prompt_of(endpoint, body, model),
        raw=raw,
        stream=body.get("stream") is not False,
        render_only=bool(body.get("_debug_render_only")),
        format=_format(body.get("format")),
        options=_options(model, body.get("options") or {}),
        keep_alive=_keep_alive(body.get("keep_alive")),
        truncate=body.get("truncate") is not False,
        shift=body.get("shift") is not False,
    )


def _refuse_think(think: Any, model: Model, name: str) -> None:
    if not (think is None or isinstance(think, bool) or think in _LEVELS):
        raise Refusal(
            400,
            f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or'
            " false)",
        )
    if think and not model.thinks:
        raise Refusal(400, f'"{name}" does not support thinking')


def _format(given: Any) -> Any:
    if given in (None, ""):
        return None
    if given == "json" or isinstance(given, dict):
        return given
    schema_text = msgspec.json.encode(given).decode()
    raise Refusal(
        500, f'invalid format: {schema_text!r}; expected "json" or a valid JSON Schema object'
    )


def _options(model: Model, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options in force.

    Unknown options are ignored. A wrong type is an error, in the model's own parameters too.
    """
    options = {**_DEFAULTS, **model.parameters, **given}
    for names, kinds, kind in (
        (_INTEGERS, (int, float), "integer"),
        (_FLOATS, (int, float), "float32"),
    ):
        for name in names:
            value = options.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise Refusal(500, f'option "{name}" must be of type {kind}')
    if not isinstance(options["stop"], list):
        raise Refusal(500, 'option "stop" must be of type array')
    return options


def _keep_alive(given: Any) -> timedelta:
    """Parse a keep-alive: a number is seconds, text needs a unit, a negative one is for ever."""
    if given is None:
        return _KEEP_ALIVE
    if isinstance(given, str):
        sign, text = (-1, given[1:]) if given.startswith("-") else (1, given)
        parts = _DURATION.findall(text)
        if "".join(map("".join, parts)) != text or not parts:
            if text != "0":
                raise Refusal(400, f'time: missing unit in duration "{given}"')
            parts = []
        given = sign * sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    return FOREVER if given < 0 else min(timedelta(seconds=given), FOREVER)
