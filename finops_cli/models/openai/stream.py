"""Read the answer of a server: server-sent events, or one JSON object.

Success is HTTP 200 and a `finish_reason` that says that the model has ended. Every other result is
a class of `models.failures`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import (
    Clean,
    Generated,
    join_reasoning,
    printable_error,
    read_count,
)

END = b"[DONE]"
_DATA = re.compile(rb"(?:\A|[\r\n])data:([^\r\n]*)")
STREAM_BYTES = 128 * limits.REPLY_CHARS
"""Maximum size of a stream. A token of four characters comes in an event of some 300 bytes."""
_ENDED = frozenset(("stop", "eos", "eos_token", "stop_sequence", "end_turn"))
"""Values of `finish_reason` of a finished answer, in OpenAI's API and at servers like it."""
_NOT_REPORTED = msgspec.Raw(b"null")


class _Choice(Struct):
    index: Any = 0
    text: Any = None
    delta: Any = None
    message: Any = None
    finish_reason: Any = None
    logprobs: msgspec.Raw = _NOT_REPORTED


class _Event(Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NOT_REPORTED
    """Statistics are not decoded here: a count of an odd type must not cost a complete answer."""
    error: Any = None
    object: Any = None
    message: Any = None
    """The text of an error of vLLM before 0.10, which has `object` error."""


class _Usage(Struct):
    prompt_tokens: msgspec.Raw = _NOT_REPORTED
    completion_tokens: msgspec.Raw = _NOT_REPORTED


class _Listed(Struct):
    token: str
    logprob: float


class _Place(Struct):
    token: str
    top_logprobs: tuple[_Listed, ...] = ()


class _ByPlace(Struct):
    """The logprobs of chat completions, and of llama-server's completions."""

    content: tuple[_Place, ...]


class _ByToken(Struct):
    """The logprobs of completions."""

    tokens: tuple[str, ...]
    top_logprobs: tuple[dict[str, float] | None, ...]


_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)


class ParsedStream:
    """All events of an answer together."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.finish: Any = None
        self.is_closed = False
        """True if the stream said [DONE]."""
        self.usage = _NOT_REPORTED
        self.error: Any = None
        self.logprobs: tuple[tuple[str, float], ...] = ()

    @property
    def has_ended(self) -> bool:
        """Return true if the model has ended its answer; a server may send a reason of any type."""
        return isinstance(self.finish, str) and self.finish in _ENDED

    def add(self, event: _Event) -> None:
        """Add an event. Text behind the end of the answer does not belong to it."""
        if event.usage != _NOT_REPORTED:
            self.usage = event.usage
        if event.error is not None:
            self.error = event.error
        elif event.object == "error":
            self.error = event.message or "error"
        for choice in event.choices or ():
            if choice.index == 0 and self.finish is None:
                self._add_choice(choice)

    def _add_choice(self, choice: _Choice) -> None:
        said = choice.delta if isinstance(choice.delta, dict) else choice.message
        message = said if isinstance(said, dict) else {}
        for text in (choice.text, message.get("content")):
            if isinstance(text, str):
                self.texts.append(text)
        # one of the two names is used; vLLM has sent both with one text
        thought = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str):
            self.reasoning.append(thought)
        self.logprobs = self.logprobs or _read_logprobs(choice.logprobs)
        self.finish = choice.finish_reason or None  # some servers send an empty text


def read_answer(
    received: bytes,
    instead: failures.ModelError | None = None,
    because: Exception | None = None,
    clean: Clean = str,
) -> Generated:
    """Convert what came to an answer; `instead` is what ended the connection, if anything did.

    `clean` is used on each text before it is cut.

    An answer whose end was reported is valid, whatever happened to the connection afterwards.
    """
    stream = _parse(received, clean, is_cut=instead is not None)
    response, thinking = "".join(stream.texts), "".join(stream.reasoning)
    text = join_reasoning(thinking, response, is_complete=stream.finish is not None)
    if stream.error is not None:
        raise failures.Crashed(
            f"the server broke off: {printable_error(stream.error, clean)}", text
        )
    if len(text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(text):,} characters were received", clean(text)[: limits.REPLY_CHARS]
        )
    if stream.finish is not None:
        if thinking.strip() and not response.strip() and stream.has_ended:
            message = f"the server returned {len(thinking):,} characters of reasoning and no answer"
            raise failures.ReasoningOnly(message, text)
        return _build_generated(text, stream, clean)
    if stream.is_closed:
        raise failures.Interrupted(
            "the server ended the stream without `finish_reason`, as one does that another request"
            " interrupts",
            text,
        )
    if instead is not None:
        instead.received = text
        raise instead from because
    raise failures.Incomplete("the stream ended without `finish_reason`", text)


def _parse(received: bytes, clean: Clean, is_cut: bool) -> ParsedStream:
    """Parse the events, up to the end of the answer if something else follows it.

    Raises ConnectionLost for an event that is not of this protocol. `is_cut`: the last line may be
    half an event.
    """
    whole = received.rpartition(b"\n")[0] if is_cut else received
    stream = ParsedStream()
    for event in _list_events(whole):
        if event == END:
            stream.is_closed = True
            break
        if not event:
            continue
        try:
            stream.add(_EVENT.decode(event))
        except (ValueError, RecursionError) as error:
            if stream.finish is not None:
                break
            excerpt = clean(event.decode("utf-8", "replace"))[: limits.SHOWN_CHARS]
            raise failures.ConnectionLost(
                f"the stream holds an event that is not of OpenAI's API ({error}): {excerpt}",
                "".join(stream.texts),
            ) from error
    return stream


def _list_events(received: bytes) -> Iterator[bytes]:
    """Yield the data of each event, one after the other: a list of all could take far more memory
    than the bytes. A server that does not stream sends one object.
    """
    is_stream = False
    for line in _DATA.finditer(received):
        is_stream = True
        yield line[1].strip()
    if not is_stream:
        yield received.strip()


def _build_generated(text: str, stream: ParsedStream, clean: Clean) -> Generated:
    prompt_tokens, tokens = _read_usage(stream.usage)
    if stream.finish == "length":
        cut = failures.Truncated("the answer was cut at its length", text)
        cut.prompt_tokens = prompt_tokens
        raise cut
    if not stream.has_ended:
        reason = printable_error(stream.finish, clean)
        raise failures.EmptyGeneration(
            f"the server stopped because of {reason}, before the answer was complete", text
        )
    return Generated(text, prompt_tokens, tokens, first_logprobs=stream.logprobs)


def _read_usage(value: msgspec.Raw) -> tuple[int | None, int | None]:
    """Return the counts of tokens, read and generated; None for those of another type."""
    try:
        usage = msgspec.json.decode(value, type=_Usage)
    except (ValueError, RecursionError):
        return None, None
    return (
        read_count(usage.prompt_tokens, STREAM_BYTES),
        read_count(usage.completion_tokens, STREAM_BYTES),
    )


def _read_logprobs(value: msgspec.Raw) -> tuple[tuple[str, float], ...]:
    """Return the likeliest tokens at the first place that is not blank or a mark; empty if they are
    not reported, or of another shape: the confidence is then unknown.
    """
    if value == _NOT_REPORTED:
        return ()
    try:
        for place in msgspec.json.decode(value, type=_ByPlace).content:
            if place.token.strip().strip('"'):
                return tuple((each.token, each.logprob) for each in place.top_logprobs)
    except (ValueError, RecursionError):
        pass
    try:
        listed = msgspec.json.decode(value, type=_ByToken)
    except (ValueError, RecursionError):
        return ()
    for token, likeliest in zip(listed.tokens, listed.top_logprobs, strict=False):
        if token.strip().strip('"') and likeliest:
            return tuple(likeliest.items())
    return ()
