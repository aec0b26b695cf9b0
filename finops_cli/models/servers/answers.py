"""The common parts of the answers of all protocols: time limits, text, counts, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.prompts import neutralise
from finops_cli.models.response_parser import CLOSED, OPENED

if TYPE_CHECKING:
    import httpx

CONTEXT_WORDS = (
    "exceeds the available context",
    "longer than the context",
    "exceed_context",
    "maximum context length",
    "exceed context window",
    "context_length_exceeded",
    "is longer than the model's context",
)
"""Parts of the messages of Ollama, llama-server, vLLM, SGLang, llama-cpp-python and OpenAI about a
prompt that is too long.
"""

Clean = Callable[[str], str]
"""Takes out of a server's text what nobody may see."""


class Patience(NamedTuple):
    """Timeouts in seconds: for a connection, for the whole answer, and between two pieces of it."""

    connect: float
    answer: float
    silence: float
    answer_setting: str = "kb entry model.timeouts"
    """The option or kb entry that sets `answer`, for messages."""


class Generated(NamedTuple):
    """A finished answer, with the server's counts (None: not reported)."""

    text: str
    prompt_tokens: int | None
    """Tokens read."""
    tokens: int | None = None
    """Tokens generated."""
    generating_ms: float | None = None
    """Time for generating, in milliseconds."""
    first_logprobs: tuple[tuple[str, float], ...] = ()
    """The likeliest first tokens with their logprobs; empty where the server lists none."""
    is_unconstrained: bool = False
    """True if a schema was asked for that the server cannot hold the answer to."""


def timed_out(patience: Patience, passed: float) -> failures.TimedOut:
    """Return the failure after `passed` seconds, with the setting that ended the wait."""
    if passed >= patience.answer or patience.silence >= patience.answer:
        return failures.TimedOut(
            f"no complete answer within {patience.answer:g} s ({patience.answer_setting}); the"
            " connection was closed"
        )
    return failures.Silent(
        f"the server sent nothing for {patience.silence:g} s (kb entry model.timeouts, `silence`)"
        f" in the middle of an answer; the connection was closed after {passed:.0f} s of"
        f" {patience.answer:g} s"
    )


class AnswerText:
    """The text of an answer that comes in pieces, and its reasoning."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._characters = 0
        """The length of texts and reasoning together."""

    @property
    def is_too_long(self) -> bool:
        """True if what has come is longer than any answer can be."""
        return self._characters > limits.REPLY_CHARS

    @property
    def response(self) -> str:
        """The text without the reasoning."""
        return "".join(self._texts)

    @property
    def reasoning_alone(self) -> str:
        """The reasoning, if no text has come beside it; else nothing."""
        thinking = "".join(self._reasoning)
        return thinking if thinking.strip() and not self.response.strip() else ""

    def add(self, text: Any = None, reasoning: Any = None) -> None:
        """Add a piece of each. A server may send any type; only texts count."""
        for piece, pieces in ((text, self._texts), (reasoning, self._reasoning)):
            if piece and isinstance(piece, str):
                pieces.append(piece)
                self._characters += len(piece)

    def join(self, is_complete: bool) -> str:
        """Return all pieces as one text."""
        return join_reasoning("".join(self._reasoning), self.response, is_complete)


def refuse_text(text: str, error: Any, clean: Clean = str) -> None:
    """Raise Crashed for an `error` that the server reported, and TooLong for a text over the limit.

    `clean` is used on each text before it is cut.
    """
    if error is not None:
        raise failures.Crashed(f"the server broke off: {printable_error(error, clean)}", text)
    if len(text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(text):,} characters were received", clean(text)[: limits.REPLY_CHARS]
        )


def join_reasoning(thinking: str, response: str, is_complete: bool) -> str:
    """Return reasoning and answer as one text, as a model writes them.

    Tokens of a chat template within the reasoning are neutralised: the server has separated the
    two, so they cannot end the answer.
    """
    if not thinking.strip():
        return response
    closing = CLOSED if response.strip() or is_complete else ""
    return f"{OPENED}{neutralise(thinking)}{closing}{response}"


def read_count(value: msgspec.Raw, highest: int) -> int | None:
    """Return a whole number from 0 to `highest`; None for anything else."""
    try:
        count = msgspec.json.decode(value, type=int)
    except (ValueError, RecursionError):
        return None
    return count if 0 <= count <= highest else None


def refusal(status: int, detail: str) -> failures.ModelError:
    """Return the failure for an HTTP status other than 200."""
    message = f"HTTP {status}: {detail}"
    if status >= 400 and any(words in detail for words in CONTEXT_WORDS):
        return failures.ContextExceeded(message)
    if status == 404:
        return failures.ModelMissing(message)
    if status in (429, 503):
        return failures.Busy(message)
    return failures.Crashed(message) if status >= 500 else failures.Rejected(message)


def read_error(response: httpx.Response, clean: Clean = str) -> str:
    """Return the server's message, cleaned and shortened.

    The last word of a body that is too long is left out: `clean` does not know a half of it.
    """
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limits.TEXT_CHARS:
            body = b" ".join(body.split()[:-1])
            break
    try:
        given = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        given = body.decode("utf-8", "replace")
    return printable_error(given.get("error", given) if isinstance(given, dict) else given, clean)


def printable_error(error: Any, clean: Clean = str) -> str:
    """Format the error of a server: a text, or an object.

    It is cleaned before it is cut, because `clean` does not know a half of what it takes out.
    """
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    text = clean(text.encode("utf-8", "replace").decode())
    return " ".join(text.split())[: 4 * limits.SHOWN_CHARS] or "no reason given"
