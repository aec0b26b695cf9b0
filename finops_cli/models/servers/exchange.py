"""Send one request to a server of any protocol, and read its answer as a stream, within limits."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import Generated, Patience, timed_out
from finops_cli.models.servers.hosts import PublicAddress
from finops_cli.models.servers.timeouts import shorten_timeout, total_timeout

if TYPE_CHECKING:
    import httpx

_GOODBYE_SECONDS = 1.0


class ReadAnswer(Protocol):
    """Converts a stream to an answer, or raises ModelError.

    `instead` is the failure that ended the connection, `because` its cause; None for a whole
    stream. An answer whose end was reported is valid, whatever happened afterwards.
    """

    def __call__(
        self,
        received: bytes,
        instead: failures.ModelError | None = None,
        because: Exception | None = None,
    ) -> Generated: ...


class Stream(NamedTuple):
    """The streams of a protocol."""

    path: str
    most_bytes: int
    is_over: Callable[[bytearray, int], bool]
    """Return true if the bytes from that place on report the end of the answer."""
    refusal_of: Callable[[httpx.Response], failures.ModelError]
    """Return the failure for an HTTP status other than 200."""
    read: ReadAnswer


class _TooMuch(Exception):
    pass


def exchange(
    client: httpx.Client, body: dict[str, Any], patience: Patience, stream: Stream
) -> Generated:
    """Send `body` and read the complete answer.

    Raises a `failures.ModelError` and closes the connection.
    """
    import httpx

    received = bytearray()
    began = monotonic()
    try:
        _receive(client, body, patience, stream, received)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise failures.Unreachable(f"{client.base_url} cannot be reached: {error}") from error
    except PublicAddress as error:  # the name of the server got another address during the run
        raise failures.Unreachable(str(error)) from error
    except httpx.TimeoutException as error:
        overdue = timed_out(patience, monotonic() - began)
        return stream.read(bytes(received), instead=overdue, because=error)
    except httpx.TransportError as error:
        lost = failures.ConnectionLost(f"the connection broke: {error}")
        return stream.read(bytes(received), instead=lost, because=error)
    except _TooMuch as error:
        flood = failures.TooLong(f"more than {limits.REPLY_CHARS:,} characters were received")
        return stream.read(bytes(received), instead=flood, because=error)
    return stream.read(bytes(received))


def _receive(
    client: httpx.Client,
    body: dict[str, Any],
    patience: Patience,
    stream: Stream,
    received: bytearray,
) -> None:
    """Read the stream into `received`, which also keeps the part before an error."""
    import httpx

    request = client.build_request(
        "POST",
        stream.path,
        content=msgspec.json.encode(body),
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        timeout=httpx.Timeout(patience.answer, connect=patience.connect),
    )
    with total_timeout(monotonic() + patience.answer):
        response = client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                raise stream.refusal_of(response)
            request.extensions["timeout"]["read"] = min(
                patience.answer, patience.silence
            )  # limits each of the following reads
            for chunk in response.iter_raw():
                before = len(received)
                received += chunk
                if stream.is_over(received, before):
                    # reading to the end allows the connection to be reused, but is not worth
                    # a long wait
                    shorten_timeout(_GOODBYE_SECONDS)
                if len(received) > stream.most_bytes:
                    raise _TooMuch
        finally:
            response.close()
