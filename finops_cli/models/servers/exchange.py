"""Send one request to a server of any protocol, and read its answer as a stream, within limits."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import msgspec

from finops_cli.domain import limits
from finops_cli.models import failures
from finops_cli.models.servers.answers import Generated, Patience, timed_out
from finops_cli.models.servers.hosts import PublicAddress
from finops_cli.models.servers.timeouts import shorten_timeout, total_timeout

if TYPE_CHECKING:
    import httpx

KEPT_BYTES = 16 * limits.REPLY_CHARS
"""Maximum size of a line, or of a JSON object. JSON may need twelve bytes for a character."""
_GOODBYE_SECONDS = 1.0


class AnswerReader(Protocol):
    """Reads the lines of one answer, while they come."""

    line_ends: ClassVar[bytes]
    """The bytes that end a line, each of them alone."""

    @property
    def is_over(self) -> bool:
        """True if the end of the stream was reported."""

    @property
    def is_too_long(self) -> bool:
        """True if what is kept of the answer is longer than any answer can be."""

    def add(self, lines: bytes) -> None:
        """Read the next lines, each of them whole. The last one of a stream may have no end.

        Raises ModelError for a line that ends the request at once.
        """

    def finish(
        self,
        instead: failures.ModelError | None = None,
        because: Exception | None = None,
    ) -> Generated:
        """Return the answer, or raise ModelError.

        `instead` is the failure that ended the connection, `because` its cause; None for a whole
        stream. An answer whose end was reported is valid, whatever happened afterwards.
        """


class Stream(NamedTuple):
    """The streams of a protocol."""

    path: str
    most_bytes: int
    refusal_of: Callable[[httpx.Response], failures.ModelError]
    """Return the failure for an HTTP status other than 200."""
    open_reader: Callable[[], AnswerReader]
    """Return a reader for one answer."""


class WholeLines:
    """Passes on the whole lines of a stream, and keeps the beginning of the next one in `rest`."""

    def __init__(self, ends: bytes) -> None:
        self.rest = bytearray()
        self._ends = ends

    def take(self, chunk: bytes) -> bytes:
        """Return the lines that end in `chunk`."""
        end = max(map(chunk.rfind, self._ends)) + 1
        if not end:
            self.rest += chunk
            return b""
        lines = bytes(self.rest + chunk[:end])
        self.rest = bytearray(chunk[end:])
        return lines


class _TooMuch(Exception):
    pass


def exchange(
    client: httpx.Client, body: dict[str, Any], patience: Patience, stream: Stream
) -> Generated:
    """Send `body` and read the complete answer.

    Raises a `failures.ModelError` and closes the connection.
    """
    import httpx

    reader = stream.open_reader()
    began = monotonic()
    try:
        _receive(client, body, patience, stream, reader)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise failures.Unreachable(f"{client.base_url} cannot be reached: {error}") from error
    except PublicAddress as error:  # the name of the server got another address during the run
        raise failures.Unreachable(str(error)) from error
    except httpx.TimeoutException as error:
        overdue = timed_out(patience, monotonic() - began)
        return reader.finish(instead=overdue, because=error)
    except httpx.TransportError as error:
        lost = failures.ConnectionLost(f"the connection broke: {error}")
        return reader.finish(instead=lost, because=error)
    except _TooMuch as error:
        flood = failures.TooLong(f"more than {limits.REPLY_CHARS:,} characters were received")
        return reader.finish(instead=flood, because=error)
    return reader.finish()


def _receive(
    client: httpx.Client,
    body: dict[str, Any],
    patience: Patience,
    stream: Stream,
    reader: AnswerReader,
) -> None:
    """Give the lines of the stream to `reader` when they have come.

    The beginning of a line that an error cuts is not read.
    """
    import httpx

    request = client.build_request(
        "POST",
        stream.path,
        content=msgspec.json.encode(body),
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        timeout=httpx.Timeout(patience.answer, connect=patience.connect),
    )
    lines, received = WholeLines(reader.line_ends), 0
    with total_timeout(monotonic() + patience.answer):
        response = _send(client, request)
        try:
            if response.status_code != httpx.codes.OK:
                raise stream.refusal_of(response)
            request.extensions["timeout"]["read"] = min(
                patience.answer, patience.silence
            )  # limits each of the following reads
            for chunk in response.iter_raw():
                received += len(chunk)
                if whole := lines.take(chunk):
                    reader.add(whole)
                if reader.is_over:
                    # reading to the end allows the connection to be reused, but is not worth
                    # a long wait
                    shorten_timeout(_GOODBYE_SECONDS)
                if (
                    reader.is_too_long
                    or len(lines.rest) > KEPT_BYTES
                    or received > stream.most_bytes
                ):
                    raise _TooMuch
        finally:
            response.close()
    reader.add(bytes(lines.rest))


def _send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Send a request, and return the response without its body.

    Raises Rejected for a redirect to an address that cannot be read: httpx reads the address,
    though it does not follow the redirect. The message leaves it out: it may hold the key.
    """
    import httpx

    try:
        return client.send(request, stream=True)
    except (httpx.InvalidURL, UnicodeError) as error:
        message = "the server redirects to an address that cannot be read"
        raise failures.Rejected(message) from error
