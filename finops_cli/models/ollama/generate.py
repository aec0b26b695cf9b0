"""Send one request to `/api/generate`: raw, streaming, with every option explicit.

Success is HTTP 200, `done` true and `done_reason` stop. Every other result is a class of
`models.failures`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import (
    Generated,
    Patience,
    join_reasoning,
    printable_error,
    read_count,
    read_error,
    refusal,
)
from finops_cli.models.servers.exchange import Stream, exchange

if TYPE_CHECKING:
    import httpx

_STREAM_BYTES = 64 * limits.REPLY_CHARS
"""Maximum size of a stream. A token of four characters comes in a line of about 130 bytes."""


_DONE = b'"done":true'
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


def _finish_stream(
    received: bytes,
    instead: failures.ModelError | None = None,
    because: Exception | None = None,
) -> Generated:
    """Convert the stream to an answer.

    An answer that is complete with `done` is valid, whatever happened to the connection afterwards.
    """
    whole, _, rest = received.rpartition(b"\n")
    try:
        pieces = _decode_lines(whole if instead is not None else received)
    except (ValueError, RecursionError) as error:
        excerpt = bytes(rest or whole[-limits.SHOWN_CHARS :]).decode("utf-8", "replace")[
            : limits.SHOWN_CHARS
        ]
        raise failures.ConnectionLost(
            f"the stream holds a line that is not Ollama's ({error}): {excerpt}"
        ) from error
    end = next((i for i, piece in enumerate(pieces) if piece.done), None)
    if end is not None:
        del pieces[end + 1 :]  # text after the end does not belong to the answer
    response = "".join([piece.response or "" for piece in pieces])
    thinking = "".join([piece.thinking for piece in pieces if isinstance(piece.thinking, str)])
    text = join_reasoning(thinking, response, is_complete=end is not None)
    broken = next((piece.error for piece in pieces if piece.error is not None), None)
    if broken is not None:
        raise failures.Crashed(f"the server broke off: {printable_error(broken)}", text)
    if len(text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(text):,} characters were received", text[: limits.REPLY_CHARS]
        )
    if end is not None:
        if thinking.strip() and not response.strip() and pieces[end].done_reason == "stop":
            message = (
                f"the server returned {len(thinking):,} characters in `thinking` and no `response`"
            )
            raise failures.ReasoningOnly(message, text)
        return _build_generated(text, pieces[end], _read_logprobs(pieces))
    if instead is not None:
        instead.received = text
        raise instead from because
    raise failures.Incomplete("the stream ended without `done`", text)


def _decode_lines(lines: bytes | bytearray) -> list[_Piece]:
    """Decode the lines of a stream, up to the one with `done` if a later one is not JSON.

    Raises ValueError or RecursionError for a line before it that is not Ollama's.
    """
    try:
        return _DECODER.decode_lines(lines)
    except (ValueError, RecursionError):
        pieces: list[_Piece] = []
        for line in filter(None, map(bytes.strip, bytes(lines).split(b"\n"))):
            pieces.append(_decode_line(line))
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


def _read_logprobs(pieces: list[_Piece]) -> tuple[tuple[str, float], ...]:
    """Return the likeliest tokens at the first place of the answer that is not blank or a mark."""
    for piece in pieces:
        try:
            places = _PLACES.decode(piece.logprobs)
        except (ValueError, RecursionError):
            continue  # not reported, or of another shape: the confidence is then unknown
        for place in places:
            if place.token.strip().strip('"'):
                return tuple((each.token, each.logprob) for each in place.top_logprobs)
    return ()


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
    is_over=lambda received, start: received.find(_DONE, start) >= 0,
    refusal_of=lambda response: refusal(response.status_code, read_error(response)),
    read=_finish_stream,
)
