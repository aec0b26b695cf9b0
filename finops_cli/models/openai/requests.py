"""The body of a request: completions with the rendered prompt, or chat with its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, Literal, NamedTuple

from finops_cli.models.ollama_options import Value
from finops_cli.models.openai.constraints import Constraint
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.response_parser import CLOSED

Route = Literal["completions", "chat"]

PATHS: dict[Route, str] = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}
_FOR_LOADING = frozenset(
    (
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "num_thread",
        "draft_num_predict",
        "use_mmap",
        "num_keep",
        "num_predict",
    )
)
"""Options of a Modelfile that no request of this protocol has."""
_REQUIRED = ("temperature", "top_p", "stop")
"""Options that every server of this protocol takes."""
_PENALTIES = ("repeat_penalty", "repetition_penalty")
"""The name of one setting at llama.cpp, and at vLLM and SGLang."""
_TURN = re.compile(r"<\|im_start\|>(system|user)\n(.*?)<\|im_end\|>\n", re.DOTALL)
_ANSWER = "<|im_start|>assistant\n"


class Abilities(NamedTuple):
    """The fields that a server accepts for a model, as far as they were tried."""

    dropped: frozenset[str] = frozenset()
    """Fields that it refuses."""
    top_logprobs: int = 0
    """The most likely tokens that it lists; 0: none."""
    constraint: Constraint | None = None
    """The way that holds an answer to a schema; None: no way does."""


def build_body(
    request: CompletionRequest,
    model: str,
    options: Mapping[str, Value],
    route: Route,
    max_tokens: int,
    abilities: Abilities,
) -> dict[str, Any]:
    """Build the body of `request` with every option explicit, but for those that the server
    refuses.
    """
    body: dict[str, Any] = {
        "model": model,
        **(_as_messages(request.prompt) if route == "chat" else {"prompt": request.prompt}),
        "max_tokens": max_tokens,
        "stream": True,
        **{name: options[name] for name in _REQUIRED},
        **optional_fields(request, options, route, abilities.dropped),
    }
    if request.schema is not None and abilities.constraint is not None:
        body |= abilities.constraint.fields(request.schema)
    listed = min(request.top_logprobs, abilities.top_logprobs)
    if listed:
        body |= (
            {"logprobs": True, "top_logprobs": listed} if route == "chat" else {"logprobs": listed}
        )
    return body


def optional_fields(
    request: CompletionRequest,
    options: Mapping[str, Value],
    route: Route,
    dropped: Set[str] = frozenset(),
) -> dict[str, Any]:
    """Return the fields of a request that some servers do not know, without the `dropped` ones."""
    penalty = options["repeat_penalty"]
    fields: dict[str, Any] = {
        "seed": request.seed,
        "stream_options": {"include_usage": True},
        "min_p": 0,
        **{
            name: value
            for name, value in options.items()
            if name not in _FOR_LOADING and name not in _REQUIRED
        },
        **dict.fromkeys(_PENALTIES, penalty),
    }
    if route == "chat":
        fields["chat_template_kwargs"] = {"enable_thinking": _thinks(request.prompt)}
    return {name: value for name, value in fields.items() if name not in dropped}


def _as_messages(prompt: str) -> dict[str, Any]:
    """Return the turns of a rendered prompt as messages.

    The texts within it hold no token of a template (`prompts.neutralise`), so the split is exact.
    The beginning of the answer is left out: the template of the server writes it.
    """
    turns = [{"role": role, "content": text} for role, text in _TURN.findall(prompt)]
    return {"messages": turns}


def _thinks(prompt: str) -> bool:
    """Return true if the answer to `prompt` begins with reasoning."""
    return not prompt.rpartition(_ANSWER)[2].rstrip().endswith(CLOSED)
