"""Read a list or a card of a server completely, up to a size and within a time."""

from __future__ import annotations

from contextlib import closing
from time import monotonic

import httpx

from finops_cli.errors import Unfinished
from finops_cli.models.servers import hosts
from finops_cli.models.servers.timeouts import TimedTransport, total_timeout

SECONDS = 20.0
"""The total time to wait for a list, a card or a version, in seconds."""
ANSWER_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer. A list takes some 500 bytes a model; a card with its licence and its
tensors takes a few 100,000.
"""


class BoundedTransport(TimedTransport):
    """Transport that reads each answer completely: up to `ANSWER_BYTES`, within `seconds`.

    `program` is what the answer should come from, for messages.
    """

    def __init__(self, url: str, seconds: float, program: str) -> None:
        super().__init__(hosts.allows_public(url), hosts.is_secure(url))
        self._url = url
        self._seconds = seconds
        self._program = program

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Accept-Encoding"] = (
            "identity"  # a small compressed answer could expand to any size
        )
        body = bytearray()
        with (
            total_timeout(monotonic() + self._seconds),
            closing(super().handle_request(request)) as answer,
        ):
            for piece in answer.iter_raw():
                body += piece
                if len(body) > ANSWER_BYTES:
                    raise Unfinished(
                        f"{self._url}: more than {ANSWER_BYTES:,} bytes were received from"
                        f" {request.url.path}, unlike {self._program}",
                        "give the address of a server of language models",
                    )
        return httpx.Response(answer.status_code, content=bytes(body))
