"""Puts files and models on an Ollama server: blobs by their digest, sent in pieces, and a model
made of them.

By httpx, because the `ollama` package sends every file anew, and knows neither renderer, parser nor
requires. What httpx raises is for `admin.translated`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from finops_cli.errors import Unfinished
from finops_cli.models.ollama import api, hosts

if TYPE_CHECKING:
    import httpx

_PIECE = 4 * 1024 * 1024
"""Bytes of a file that are in memory at once."""
_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 600.0
"""A server that checks or quantizes a model says nothing for minutes."""
_NOT_FOUND = 404
_LINE_BYTES = 1024 * 1024
"""What is kept of one line, or of an answer that is an error: Ollama's own have a few hundred
bytes.
"""
_SHOWN_BYTES = 80
_PLAIN = {"Accept-Encoding": "identity"}  # a small packet can hold a line of any length


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
    """The digest of the file at `path` as the server names it: `sha256:` and 64 hexadecimal
    digits.
    """
    digest = hashlib.sha256()
    for piece in _pieces(path, f"reading {path.name}", watch):
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def has_blob(client: httpx.Client, digest: str) -> bool:
    """Whether the server has this file already."""
    with client.stream("HEAD", f"/api/blobs/{digest}", headers=_PLAIN) as answer:
        if answer.status_code == _NOT_FOUND:
            return False
        _refuse_error(client, answer)
    return True


def send_blob(client: httpx.Client, digest: str, path: Path, watch: Watch) -> None:
    """Send the file at `path`.

    The server reckons its digest itself and refuses a file that changed meanwhile.
    """
    pieces = _pieces(path, f"sending {path.name}", watch)
    # httpx sends an iterator without a length unless it is told one
    headers = {**_PLAIN, "Content-Length": str(path.stat().st_size)}
    with client.stream("POST", f"/api/blobs/{digest}", content=pieces, headers=headers) as answer:
        _refuse_error(client, answer)


def make_model(client: httpx.Client, request: bytes, watch: Watch) -> None:
    """Have the server make the model of `request`.

    Raises Unfinished unless it ends with the word that it is made.
    """
    made = False
    headers = {**_PLAIN, "Content-Type": "application/json"}
    with client.stream("POST", "/api/create", content=request, headers=headers) as answer:
        _refuse_error(client, answer)
        for line in _lines(answer.iter_raw()):
            step = _step(line)
            watch(step)
            made = step.what == "success"
    if not made:
        raise Unfinished(
            "the server ended without the word that the model is made; see its log, then try again"
        )


def _refuse_error(client: httpx.Client, answer: httpx.Response) -> None:
    """Raises admin.Refused, with what the server says, for an answer that is an error."""
    if answer.is_success:
        return
    said, until = b"", monotonic() + api.SECONDS
    for piece in answer.iter_raw():
        said += piece
        if len(said) > _LINE_BYTES or monotonic() > until:
            break
    raise api.OllamaRefused(str(client.base_url).rstrip("/"), answer.status_code, said)


def _pieces(path: Path, what: str, watch: Watch) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    watch(Step(what, 0, total))
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
            done += len(piece)
            watch(Step(what, done, total))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that end with a newline or with the stream, empty ones left out.

    Raises Unfinished for one without an end.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, whole)
        if len(rest) > _LINE_BYTES:
            raise Unfinished(
                f"the server's answer is torn: a line of more than {_LINE_BYTES:,} bytes; see its"
                " log, then try again"
            )
    if rest.strip():
        yield rest


def _step(line: bytes) -> Step:
    """A status line of the server. Raises Unfinished for an error line and for one that is torn."""
    try:
        status = api.decoded(line)
    except ValueError as error:
        raise Unfinished(
            f"the server's answer is torn ({line[:_SHOWN_BYTES]!r}); see its log, then try again"
        ) from error
    what = (
        api.text(status.get("status"))
        if isinstance(status, dict) and "error" not in status
        else None
    )
    if what is None:
        said = status.get("error") if isinstance(status, dict) else None
        shown = api.text(said) or line[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise Unfinished(f"the server could not make the model: {shown}")
    return Step(what, api.whole(status.get("completed")) or 0, api.whole(status.get("total")))
