"""Send one request to `/api/generate`: raw, streaming, with every option explicit.

Success is HTTP 200, `done` true and `done_reason` stop. Every other result is a class of
`models.failures`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.ollama.timeouts import shorten_timeout, total_timeout

if TYPE_CHECKING:
    import httpx

_CONTEXT_WORDS = ("exceeds the available context", "longer than the context", "exceed_context")
"""Parts of the messages of Ollama and of its llama-server about a prompt that is too long."""
_STREAM_BYTES = 64 * limits.REPLY_CHARS
"""Maximum size of a stream. A token of four characters comes in a line of about 130 bytes."""


_DONE = b'"done":true'
_GOODBYE_SECONDS = 1.0
_LONGEST_NS = 86_400 * 10**9
"""One day in seconds, which is longer than any answer."""


class Patience(NamedTuple):
    """Timeouts in seconds: for a connection, for the whole answer, and between two pieces of it."""

    connect: float
    answer: float
    silence: float


class Generated(NamedTuple):
    """A finished answer, with the server's counts (None: not reported)."""

    text: str
    prompt_tokens: int | None
    """Tokens read."""
    tokens: int | None = None
    """Tokens generated."""
    generating_ms: float | None = None
    """Time for generating, in milliseconds."""


class _Piece(Struct):
    """A line of the stream."""

    response: str = ""
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    error: Any = None
    """May be of any type."""


_DECODER: msgspec.json.Decoder[_Piece] = msgspec.json.Decoder(_Piece)


def generate(client: httpx.Client, body: dict[str, Any], patience: Patience) -> Generated:
    """Send `body` and read the complete answer.

    Raises a `failures.ModelError` and closes the connection.
    """
    import httpx

    received = bytearray()
    try:
        _receive(client, body, patience, received)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise failures.Unreachable(f"{client.base_url} cannot be reached: {error}") from error
    except httpx.TimeoutException as error:
        overdue = failures.TimedOut(
            f"no answer within {patience.answer:g} s; the connection was closed"
        )
        return _finish_stream(received, instead=overdue, because=error)
    except httpx.TransportError as error:
        return _finish_stream(
            received,
            instead=failures.ConnectionLost(f"the connection broke: {error}"),
            because=error,
        )
    except _TooMuch as error:
        flood = failures.TooLong(f"more than {limits.REPLY_CHARS:,} characters were received")
        return _finish_stream(received, instead=flood, because=error)
    return _finish_stream(received)


class _TooMuch(Exception):
    pass


def _receive(
    client: httpx.Client, body: dict[str, Any], patience: Patience, received: bytearray
) -> None:
    """Read the stream into `received`, which also keeps the part before an error."""
    import httpx

    request = client.build_request(
        "POST",
        "/api/generate",
        content=msgspec.json.encode(body),
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        timeout=httpx.Timeout(patience.answer, connect=patience.connect),
    )
    with total_timeout(monotonic() + patience.answer):
        response = client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                raise refusal(response.status_code, _error_text(response))
            request.extensions["timeout"]["read"] = min(
                patience.answer, patience.silence
            )  # limits each of the following reads
            for chunk in response.iter_raw():
                received += chunk
                if _DONE in chunk:
                    # reading to the end allows the connection to be reused, but is not worth
                    # a long wait
                    shorten_timeout(_GOODBYE_SECONDS)
                if len(received) > _STREAM_BYTES:
                    raise _TooMuch
        finally:
            response.close()


def _finish_stream(
    received: bytearray,
    instead: failures.ModelError | None = None,
    because: Exception | None = None,
) -> Generated:
    """Convert the stream to an answer.

    An answer that is complete with `done` is valid, whatever happened to the connection afterwards.
    """
    whole, _, rest = received.rpartition(b"\n")
    try:
        pieces = (
            _DECODER.decode_lines(whole) if instead is not None else _DECODER.decode_lines(received)
        )
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
    text = "".join([piece.response for piece in pieces])
    broken = next((piece.error for piece in pieces if piece.error is not None), None)
    if broken is not None:
        raise failures.Crashed(f"the server broke off: {_printable_error(broken)}", text)
    if len(text) > limits.REPLY_CHARS:
        raise failures.TooLong(
            f"{len(text):,} characters were received", text[: limits.REPLY_CHARS]
        )
    if end is not None:
        return _build_generated(text, pieces[end])
    if instead is not None:
        instead.received = text
        raise instead from because
    raise failures.Incomplete("the stream ended without `done`", text)


def _build_generated(text: str, last: _Piece) -> Generated:
    if last.done_reason == "length":
        cut = failures.Truncated("the answer was cut at its length", text)
        cut.prompt_tokens = _plausible_count(last.prompt_eval_count)
        raise cut
    if last.done_reason != "stop":
        raise failures.EmptyGeneration(
            f"the server stopped because of {last.done_reason!r}, before the answer was complete",
            text,
        )
    took_ns = last.eval_duration
    generating_ms = (
        round(took_ns / 1e6, 3) if took_ns is not None and 0 < took_ns <= _LONGEST_NS else None
    )
    return Generated(
        text,
        _plausible_count(last.prompt_eval_count),
        _plausible_count(last.eval_count),
        generating_ms,
    )


def _plausible_count(count: int | None) -> int | None:
    """Return a count of tokens; None if the number cannot be a count."""
    return count if count is not None and 0 <= count <= _STREAM_BYTES else None


def refusal(status: int, detail: str) -> failures.ModelError:
    """Return the failure for an HTTP status other than 200."""
    message = f"HTTP {status}: {detail}"
    if status >= 400 and any(words in detail for words in _CONTEXT_WORDS):
        return failures.ContextExceeded(message)
    if status == 404:
        return failures.ModelMissing(message)
    if status in (429, 503):
        return failures.Busy(message)
    return failures.Crashed(message) if status >= 500 else failures.Rejected(message)


def _error_text(response: httpx.Response) -> str:
    """Return the server's message, shortened."""
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limits.TEXT_CHARS:
            break
    try:
        given = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        given = body.decode("utf-8", "replace")
    return _printable_error(given.get("error", given) if isinstance(given, dict) else given)


def _printable_error(error: Any) -> str:
    """Format an error of Ollama: a text, or an object of its llama-server."""
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    text = text.encode("utf-8", "replace").decode()
    return " ".join(text.split())[: 4 * limits.SHOWN_CHARS] or "no reason given"
