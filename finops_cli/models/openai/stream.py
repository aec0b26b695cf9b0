"""Read the answer of a server: server-sent events, or one JSON object.

Success is HTTP 200 and a `finish_reason` that says that the model has ended. Every other result is
a class of `models.failures`.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import (
    AnswerText,
    Clean,
    Generated,
    printable_error,
    read_count,
    refuse_text,
)
from finops_cli.models.servers.exchange import KEPT_BYTES

_END = b"[DONE]"
_DATA = re.compile(rb"(?:\A|[\r\n])data:([^\r\n]*)")
_NO_COMMENT = re.compile(rb"(?:\A|[\r\n])([^:\r\n][^\r\n]*)")
"""A line of a JSON object. One that begins with a colon is a comment of a stream."""
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


class OpenAIReader:
    """Reads the events of an answer while they come. What belongs to the answer is kept.

    A server that does not stream sends one JSON object, which may have several lines.
    """

    line_ends: ClassVar = b"\r\n"

    def __init__(self, clean: Clean = str) -> None:
        """`clean` takes the key out of each text before it is cut."""
        self.is_over = False
        """True after [DONE], and after an event that cannot be read behind a complete answer."""
        self._clean = clean
        self._has_begun = False
        self._is_stream = False
        self._object = bytearray()
        """The lines before the first event. Without any event, they are the one JSON object."""
        self._text = AnswerText()
        self._finish: Any = None
        self._is_closed = False
        """True if the stream said [DONE]."""
        self._usage = _NOT_REPORTED
        self._error: Any = None
        self._logprobs: tuple[tuple[str, float], ...] = ()

    @property
    def is_too_long(self) -> bool:
        """True if what is kept of the answer is longer than any answer can be."""
        return self._text.is_too_long or len(self._object) > KEPT_BYTES

    def add(self, lines: bytes) -> None:
        """Read the next lines. Raises ConnectionLost for an event that is not of this protocol."""
        if not self._has_begun:
            self._has_begun = True
            lines = lines.removeprefix(codecs.BOM_UTF8)
        for line in _DATA.finditer(lines):
            if not self._is_stream:
                self._is_stream = True
                self._object.clear()  # lines before an event do not belong to the answer
            if self.is_over:
                return
            self._decode_event(line[1].strip())
        if not self._is_stream:
            for line in _NO_COMMENT.finditer(lines):
                self._object += line[1] + b"\n"

    def finish(
        self, instead: failures.ModelError | None = None, because: Exception | None = None
    ) -> Generated:
        """Return the answer; `instead` is what ended the connection, if anything did.

        An answer whose end was reported is valid, whatever happened to the connection afterwards.
        """
        if not self._is_stream:
            self._decode_object(is_cut=instead is not None)
        text = self._text.join(is_complete=self._finish is not None)
        refuse_text(text, self._error, self._clean)
        if self._finish is not None:
            thinking = self._text.reasoning_alone
            if thinking and self._has_ended:
                message = (
                    f"the server returned {len(thinking):,} characters of reasoning and no answer"
                )
                raise failures.ReasoningOnly(message, text)
            return self._build_generated(text)
        if self._is_closed:
            raise failures.Interrupted(
                "the server ended the stream without `finish_reason`, as one does that another"
                " request interrupts",
                text,
            )
        if instead is not None:
            instead.received = text
            raise instead from because
        raise failures.Incomplete("the stream ended without `finish_reason`", text)

    @property
    def _has_ended(self) -> bool:
        """True if the model has ended its answer; a server may send a reason of any type."""
        return isinstance(self._finish, str) and self._finish in _ENDED

    def _decode_object(self, is_cut: bool) -> None:
        """Read the answer of a server that does not stream. One that is cut does not count."""
        try:
            self._decode_event(bytes(self._object).strip())
        except failures.ConnectionLost:
            if not is_cut:
                raise

    def _decode_event(self, data: bytes) -> None:
        """Read the data of an event; one that cannot be read ends a complete answer."""
        if data == _END:
            self.is_over = self._is_closed = True
        if not data or self.is_over:
            return
        try:
            self._keep_event(_EVENT.decode(data))
        except (ValueError, RecursionError) as error:
            if self._finish is not None:
                self.is_over = True
                return
            excerpt = self._clean(data.decode("utf-8", "replace"))[: limits.SHOWN_CHARS]
            raise failures.ConnectionLost(
                f"the stream holds an event that is not of OpenAI's API ({error}): {excerpt}",
                self._text.response,
            ) from error

    def _keep_event(self, event: _Event) -> None:
        """Keep what belongs to the answer. Text behind its end does not."""
        if event.usage != _NOT_REPORTED:
            self._usage = event.usage
        if event.error is not None:
            self._error = event.error
        elif event.object == "error":
            self._error = event.message or "error"
        for choice in event.choices or ():
            if choice.index == 0 and self._finish is None:
                self._keep_choice(choice)

    def _keep_choice(self, choice: _Choice) -> None:
        said = choice.delta if isinstance(choice.delta, dict) else choice.message
        message = said if isinstance(said, dict) else {}
        for text in (choice.text, message.get("content")):
            self._text.add(text)
        # one of the two names is used; vLLM has sent both with one text
        self._text.add(reasoning=message.get("reasoning_content") or message.get("reasoning"))
        self._logprobs = self._logprobs or _read_logprobs(choice.logprobs)
        self._finish = choice.finish_reason or None  # some servers send an empty text

    def _build_generated(self, text: str) -> Generated:
        prompt_tokens, tokens = _read_usage(self._usage)
        if self._finish == "length":
            cut = failures.Truncated("the answer was cut at its length", text)
            cut.prompt_tokens = prompt_tokens
            raise cut
        if not self._has_ended:
            reason = printable_error(self._finish, self._clean)
            raise failures.EmptyGeneration(
                f"the server stopped because of {reason}, before the answer was complete", text
            )
        return Generated(text, prompt_tokens, tokens, first_logprobs=self._logprobs)


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
