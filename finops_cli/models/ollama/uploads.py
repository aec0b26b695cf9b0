"""Upload files to an Ollama server by their digests, and create models.

This uses httpx because the `ollama` package sends every file again and lacks renderer, parser and
requires. `api.translate_errors` translates the errors of httpx.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from finops_cli.errors import Unfinished
from finops_cli.models.ollama import api
from finops_cli.models.servers import hosts
from finops_cli.models.servers.bounded import SECONDS
from finops_cli.models.servers.values import parse_json, text, whole

if TYPE_CHECKING:
    import httpx

_PIECE = 4 * 1024 * 1024
"""Bytes of a file in memory at once."""
_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 600.0
"""Read timeout in seconds. A server that checks or quantizes a model sends nothing for minutes."""
_NOT_FOUND = 404
_LINE_BYTES = 1024 * 1024
"""Maximum size of one line, and of an error response. Ollama's own have a few hundred bytes."""
_SHOWN_BYTES = 80
_PLAIN = {"Accept-Encoding": "identity"}  # a small compressed answer could expand to any size


class Step(NamedTuple):
    """Progress in bytes."""

    what: str
    done: int = 0
    total: int | None = None
    """None if it is unknown."""


OnStep = Callable[[Step], None]


def connect(url: str) -> httpx.Client:
    """Open a client that waits as long as creating a model takes."""
    import httpx

    from finops_cli.models.servers.timeouts import TimedTransport

    timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    transport = TimedTransport(hosts.allows_public(url), hosts.is_secure(url))
    return hosts.open_client(url, timeout=timeout, transport=transport)


def sha256_of(path: Path, on_step: OnStep) -> str:
    """Compute the digest of a file in the server's format: `sha256:` and 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in _pieces(path, f"reading {path.name}", on_step):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def has_blob(client: httpx.Client, digest: str) -> bool:
    """Ask the server if it has this file."""
    with client.stream("HEAD", f"/api/blobs/{digest}", headers=_PLAIN) as response:
        if response.status_code == _NOT_FOUND:
            return False
        _refuse_error(client, response)
    return True


def send_blob(client: httpx.Client, digest: str, path: Path, on_step: OnStep) -> None:
    """Send the file at `path`.

    The server computes the digest again and refuses a file that was changed during the upload.
    """
    pieces = _pieces(path, f"sending {path.name}", on_step)
    # httpx sends an iterator without a length unless a header gives it
    headers = {**_PLAIN, "Content-Length": str(path.stat().st_size)}
    with client.stream("POST", f"/api/blobs/{digest}", content=pieces, headers=headers) as response:
        _refuse_error(client, response)


def create_model(client: httpx.Client, request: bytes, on_step: OnStep) -> None:
    """Request the server to create the model of `request`.

    Raises Unfinished unless its last status is `success`.
    """
    is_created = False
    headers = {**_PLAIN, "Content-Type": "application/json"}
    with client.stream("POST", "/api/create", content=request, headers=headers) as response:
        _refuse_error(client, response)
        for line in _lines(response.iter_raw()):
            step = _step(line)
            on_step(step)
            is_created = step.what == "success"
    if not is_created:
        raise Unfinished(
            "the server ended without the status `success`",
            "see its log, then try again",
        )


def _refuse_error(client: httpx.Client, response: httpx.Response) -> None:
    """Raise api.OllamaRefused, with the server's message, for an error response."""
    if response.is_success:
        return
    body, until = b"", monotonic() + SECONDS
    for piece in response.iter_raw():
        body += piece
        if len(body) > _LINE_BYTES or monotonic() > until:
            break
    raise api.OllamaRefused(str(client.base_url).rstrip("/"), response.status_code, body)


def _pieces(path: Path, what: str, on_step: OnStep) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    on_step(Step(what, 0, total))
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            done += len(piece)
            on_step(Step(what, done, total))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Split into lines that end with a newline or with the stream. Empty lines are dropped.

    Raises Unfinished for a line that is too long.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, whole)
        if len(rest) > _LINE_BYTES:
            raise Unfinished(
                f"the server's answer is invalid: a line of more than {_LINE_BYTES:,} bytes",
                "see its log, then try again",
            )
    if rest.strip():
        yield rest


def _step(line: bytes) -> Step:
    """Read a status line. Raises Unfinished for an error, and for a line that is not JSON."""
    try:
        status = parse_json(line)
    except ValueError as error:
        raise Unfinished(
            f"the server's answer is invalid ({line[:_SHOWN_BYTES]!r})",
            "see its log, then try again",
        ) from error
    what = (
        text(status.get("status")) if isinstance(status, dict) and "error" not in status else None
    )
    if what is None:
        body = status.get("error") if isinstance(status, dict) else None
        printable = text(body) or line[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise Unfinished(f"the server could not make the model: {printable}")
    return Step(what, whole(status.get("completed")) or 0, whole(status.get("total")))
