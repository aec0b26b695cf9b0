"""Puts files and models on an Ollama server: blobs by their digest, sent in pieces, and a model made of them.

By httpx, because the `ollama` package sends every file anew, and knows neither renderer, parser nor requires. What httpx raises is for
`admin.translated`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from finops_cli.errors import Unfinished
from finops_cli.models.ollama import hosts

if TYPE_CHECKING:
    import httpx

_PIECE = 4 * 1024 * 1024
"""Bytes of a file that are in memory at once."""
_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 600.0
"""A server that checks or quantizes a model says nothing for minutes."""
_NOT_FOUND = 404


class Step(NamedTuple):
    """How far something is: `done` of `total`, in bytes; `total` is None where nobody counts."""

    what: str
    done: int = 0
    total: int | None = None


Watch = Callable[[Step], None]


def connect(url: str) -> httpx.Client:
    """A client that waits as long as the making of a model takes."""
    import httpx

    return hosts.client(url, timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS))


def sha256_of(path: Path, watch: Watch) -> str:
    """The digest of the file at `path` as the server names it: `sha256:` and 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for piece in _pieces(path, f"reading {path.name}", watch):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def has_blob(client: httpx.Client, digest: str) -> bool:
    """Whether the server has this file already."""
    answer = client.head(f"/api/blobs/{digest}")
    if answer.status_code == _NOT_FOUND:
        return False
    answer.raise_for_status()
    return True


def send_blob(client: httpx.Client, digest: str, path: Path, watch: Watch) -> None:
    """Send the file at `path`. The server reckons its digest itself and refuses a file that changed meanwhile."""
    pieces = _pieces(path, f"sending {path.name}", watch)
    # httpx sends an iterator without a length unless it is told one
    client.post(f"/api/blobs/{digest}", content=pieces, headers={"Content-Length": str(path.stat().st_size)}).raise_for_status()


def make_model(client: httpx.Client, request: bytes, watch: Watch) -> None:
    """Have the server make the model of `request`. Raises Unfinished unless it ends with the word that it is made."""
    made = False
    with client.stream("POST", "/api/create", content=request, headers={"Content-Type": "application/json"}) as answer:
        if not answer.is_success:
            answer.read()  # what it says is told with the error
        answer.raise_for_status()
        for line in _lines(answer.iter_bytes()):
            step = _step(line)
            watch(step)
            made = step.what == "success"
    if not made:
        raise Unfinished("the server ended without the word that the model is made; see its log, then try again")


def _pieces(path: Path, what: str, watch: Watch) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    watch(Step(what, 0, total))
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            done += len(piece)
            watch(Step(what, done, total))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that end with a newline or with the stream, empty ones left out."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, whole)
    if rest.strip():
        yield rest


def _step(line: bytes) -> Step:
    """A status line of the server. Raises Unfinished for an error line and for one that is torn."""
    try:
        status = json.loads(line)
    except ValueError as error:
        raise Unfinished(f"the server's answer is torn ({line[:80]!r}); see its log, then try again") from error
    if not isinstance(status, dict) or "error" in status or not isinstance(status.get("status"), str):
        said = status.get("error", status) if isinstance(status, dict) else status
        raise Unfinished(f"the server could not make the model: {said}")
    return Step(status["status"], status.get("completed") or 0, status.get("total"))
