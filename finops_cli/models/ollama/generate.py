"""Send one request to `/api/generate`: raw, streaming, with every option explicit.

Success is HTTP 200, `done` true and `done_reason` stop. Every other result is a class of
`models.failures`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import (
    AnswerText,
    Generated,
    Patience,
    read_count,
    read_error,
    refusal,
    refuse_text,
)
from finops_cli.models.servers.exchange import Stream, exchange

if TYPE_CHECKING:
    import httpx

_STREAM_BYTES = 64 * limits.REPLY_CHARS
"""Maximum size of a stream. A token of four characters comes in a line of about 130 bytes."""
_LONGEST_NS = 86_400 * 10**9
"""One day in seconds, which is longer than any answer."""


_NOT_REPORTED = msgspec.Raw(b"null")


class _Piece(Struct):
    """A line of the stream."""

    response: str | None = None
    thinking: Any = None
    done: bool | None = None
    done_reason: Any = None
    prompt_eval_count: msgspec.Raw = _NOT_REPORTED
    """Statistics are not decoded here: a count of an odd type must not cost a complete answer."""
    eval_count: msgspec.Raw = _NOT_REPORTED
    eval_duration: msgspec.Raw = _NOT_REPORTED
    logprobs: msgspec.Raw = _NOT_REPORTED
    """Since November 2025: the likeliest tokens at each place, if the request asks for them."""
    error: Any = None
    """May be of any type."""


class _Token(Struct):
    token: str
    logprob: float


class _Place(Struct):
    token: str
    logprob: float
    top_logprobs: tuple[_Token, ...] = ()


_PLACES: msgspec.json.Decoder[tuple[_Place, ...]] = msgspec.json.Decoder(tuple[_Place, ...])


_CONTENT = ("response", "thinking", "done", "done_reason", "error")
"""The fields of a line that do not hold statistics."""
_DECODER: msgspec.json.Decoder[_Piece] = msgspec.json.Decoder(_Piece)


def generate(client: httpx.Client, body: dict[str, Any], patience: Patience) -> Generated:
    """Send `body` and read the complete answer.

    Raises a `failures.ModelError` and closes the connection.
    """
    return exchange(client, body, patience, _STREAM)


class OllamaReader:
    """Reads the lines of an answer while they come. What belongs to the answer is kept."""

    line_ends: ClassVar = b"\n"
    """Within an object, a carriage return is a blank."""

    def __init__(self) -> None:
        self._text = AnswerText()
        self._last: _Piece | None = None
        """The line with `done`."""
        self._error: Any = None
        self._logprobs: tuple[tuple[str, float], ...] | None = None

    @property
    def is_over(self) -> bool:
        """True after the line with `done`."""
        return self._last is not None

    @property
    def is_too_long(self) -> bool:
        """True if what is kept of the answer is longer than any answer can be."""
        return self._text.is_too_long

    def add(self, lines: bytes) -> None:
        """Read the next lines. Raises ConnectionLost for one that is not Ollama's.

        Text after the end does not belong to the answer.
        """
        if self.is_over:
            return
        for piece in _decode_lines(lines):
            self._text.add(piece.response, piece.thinking)
            if self._error is None:
                self._error = piece.error
            if self._logprobs is None:
                self._logprobs = _read_logprobs(piece.logprobs)
            if piece.done:
                self._last = piece
                return

    def finish(
        self, instead: failures.ModelError | None = None, because: Exception | None = None
    ) -> Generated:
        """Return the answer; `instead` is what ended the connection, if anything did.

        An answer that is complete with `done` is valid, whatever happened to the connection
        afterwards.
        """
        text = self._text.join(is_complete=self.is_over)
        refuse_text(text, self._error)
        if self._last is not None:
            thinking = self._text.reasoning_alone
            if thinking and self._last.done_reason == "stop":
                raise failures.ReasoningOnly(
                    f"the server returned {len(thinking):,} characters in `thinking` and no"
                    " `response`",
                    text,
                )
            return _build_generated(text, self._last, self._logprobs or ())
        if instead is not None:
            instead.received = text
            raise instead from because
        raise failures.Incomplete("the stream ended without `done`", text)


def _decode_lines(lines: bytes) -> list[_Piece]:
    """Decode lines, up to the one with `done` if a later one is not JSON.

    Raises ConnectionLost for a line before it that is not Ollama's.
    """
    try:
        return _DECODER.decode_lines(lines)
    except (ValueError, RecursionError):
        pass  # one of them cannot be read, or not at once
    pieces: list[_Piece] = []
    for line in filter(None, map(bytes.strip, lines.split(b"\n"))):
        try:
            pieces.append(_decode_line(line))
        except (ValueError, RecursionError) as error:
            excerpt = line[: limits.SHOWN_CHARS].decode("utf-8", "replace")
            raise failures.ConnectionLost(
                f"the stream holds a line that is not Ollama's ({error}): {excerpt}"
            ) from error
        if pieces[-1].done:
            break
    return pieces


def _decode_line(line: bytes) -> _Piece:
    """Decode one line; statistics that are not JSON, such as NaN, are left out."""
    try:
        return _DECODER.decode(line)
    except ValueError:
        given = json.loads(line)
        if not isinstance(given, dict):
            raise
        content = {key: given[key] for key in _CONTENT if key in given}
        return _DECODER.decode(msgspec.json.encode(content))


def _read_logprobs(value: msgspec.Raw) -> tuple[tuple[str, float], ...] | None:
    """Return the likeliest tokens at the first place of a line that is not blank or a mark; None
    if the line has none.
    """
    if value == _NOT_REPORTED:
        return None
    try:
        places = _PLACES.decode(value)
    except (ValueError, RecursionError):
        return None  # of another shape: the confidence is then unknown
    for place in places:
        if place.token.strip().strip('"'):
            return tuple((each.token, each.logprob) for each in place.top_logprobs)
    return None


def _build_generated(
    text: str, last: _Piece, first_logprobs: tuple[tuple[str, float], ...]
) -> Generated:
    if last.done_reason == "length":
        cut = failures.Truncated("the answer was cut at its length", text)
        cut.prompt_tokens = read_count(last.prompt_eval_count, _STREAM_BYTES)
        raise cut
    if last.done_reason != "stop":
        raise failures.EmptyGeneration(
            f"the server stopped because of {last.done_reason!r}, before the answer was complete",
            text,
        )
    took_ns = read_count(last.eval_duration, _LONGEST_NS)
    return Generated(
        text,
        read_count(last.prompt_eval_count, _STREAM_BYTES),
        read_count(last.eval_count, _STREAM_BYTES),
        round(took_ns / 1e6, 3) if took_ns else None,
        first_logprobs,
    )


_STREAM = Stream(
    path="/api/generate",
    most_bytes=_STREAM_BYTES,
    refusal_of=lambda response: refusal(response.status_code, read_error(response)),
    open_reader=OllamaReader,
)
