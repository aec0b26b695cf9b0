"""Send one request, and read its answer completely and in time."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.openai.api_key import CURE, ApiKey
from finops_cli.models.openai.stream import END, STREAM_BYTES, read_answer
from finops_cli.models.servers.answers import (
    Generated,
    Patience,
    read_error,
    refusal,
    timed_out,
)
from finops_cli.models.servers.hosts import PublicAddress
from finops_cli.models.servers.timeouts import shorten_timeout, total_timeout

if TYPE_CHECKING:
    import httpx

_GOODBYE_SECONDS = 1.0
_END_LINE = re.compile(rb"\ndata: ?" + re.escape(END))
"""The end of a stream is a line of its own: the text of an answer may hold the same characters."""
_LONGEST_END = 16
_NO_ENTRY = (401, 403)
_MODEL_CURE = "start the model on that server again, or name another: --STAGE-model NAME"
_SERVER_CURE = "start the server, or name another with --host URL"


class _TooMuch(Exception):
    pass


def send(
    client: httpx.Client, path: str, body: dict[str, Any], patience: Patience, key: ApiKey
) -> Generated:
    """Send `body` and read the complete answer. The key is in neither an answer nor a failure.

    Raises a `failures.ModelError` and closes the connection.
    """
    try:
        generated = _exchange(client, path, body, patience)
    except failures.ModelError as failure:
        failure.detail, failure.received = key.scrub(failure.detail), key.scrub(failure.received)
        failure.args = (failure.detail,)
        if isinstance(failure, failures.Unreachable):
            failure.cure = _SERVER_CURE
        elif isinstance(failure, failures.ModelMissing):
            failure.cure = _MODEL_CURE
        # what lies behind it, such as an excerpt of what came, is not shown to anybody
        raise failure from None
    return generated._replace(text=key.scrub(generated.text))


def _exchange(
    client: httpx.Client, path: str, body: dict[str, Any], patience: Patience
) -> Generated:
    import httpx

    received = bytearray()
    began = monotonic()
    try:
        _receive(client, path, body, patience, received)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise failures.Unreachable(f"{client.base_url} cannot be reached: {error}") from error
    except PublicAddress as error:  # the name of the server got another address during the run
        raise failures.Unreachable(str(error)) from error
    except httpx.TimeoutException as error:
        overdue = timed_out(patience, monotonic() - began)
        return read_answer(bytes(received), instead=overdue, because=error)
    except httpx.TransportError as error:
        lost = failures.ConnectionLost(f"the connection broke: {error}")
        return read_answer(bytes(received), instead=lost, because=error)
    except _TooMuch as error:
        flood = failures.TooLong(f"more than {limits.REPLY_CHARS:,} characters were received")
        return read_answer(bytes(received), instead=flood, because=error)
    return read_answer(bytes(received))


def _receive(
    client: httpx.Client,
    path: str,
    body: dict[str, Any],
    patience: Patience,
    received: bytearray,
) -> None:
    """Read the stream into `received`, which also keeps the part before an error."""
    import httpx

    request = client.build_request(
        "POST",
        path,
        content=msgspec.json.encode(body),
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        timeout=httpx.Timeout(patience.answer, connect=patience.connect),
    )
    with total_timeout(monotonic() + patience.answer):
        response = client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                raise _refuse(response)
            request.extensions["timeout"]["read"] = min(
                patience.answer, patience.silence
            )  # limits each of the following reads
            for chunk in response.iter_raw():
                before = len(received)
                received += chunk
                if _END_LINE.search(received, max(0, before - _LONGEST_END)):
                    # reading to the end allows the connection to be reused, but is not worth
                    # a long wait
                    shorten_timeout(_GOODBYE_SECONDS)
                if len(received) > STREAM_BYTES:
                    raise _TooMuch
        finally:
            response.close()


def _refuse(response: httpx.Response) -> failures.ModelError:
    """Return the failure for an HTTP status other than 200."""
    detail = read_error(response)
    if response.status_code in _NO_ENTRY:
        failure = failures.Unauthorized(f"HTTP {response.status_code}: {detail}")
        failure.cure = CURE
        return failure
    found = refusal(response.status_code, detail)
    if isinstance(found, failures.Busy):
        found.retry_after = _read_seconds(response.headers.get("retry-after", ""))
    return found


def _read_seconds(text: str) -> float | None:
    """Return the seconds of Retry-After; None for a date, which needs the server's clock."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
