"""Which request is answered by what."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from finops_cli.devtools.fake_ollama.create import create
from finops_cli.devtools.fake_ollama.generate import answer_generation
from finops_cli.devtools.fake_ollama.http_writer import Wire
from finops_cli.devtools.fake_ollama.requests import Refusal, body_of, find
from finops_cli.devtools.fake_ollama.state import ServerState

Answer = Callable[[ServerState, Wire, dict[str, Any]], None]
_BLOB = re.compile(r"/api/blobs/([^/]+)")
_PLAIN = "text/plain"


def route(server: ServerState, method: str, path: str, wire: Wire) -> None:
    """Answer one request. Raises ClientGone."""
    try:
        blob = _BLOB.fullmatch(path)
        if blob is not None and method in ("HEAD", "POST"):
            server.requests.append((method, path, None))
            _blob(server, wire, method, blob[1])
        else:
            _answer(server, wire, method, path)
    except Refusal as refusal:
        wire.error(refusal.status, refusal.message)


def _answer(server: ServerState, wire: Wire, method: str, path: str) -> None:
    content = b"".join(wire.body())
    if path not in _ROUTES:
        server.requests.append((method, path, None))
        wire.send(404, b"404 page not found", _PLAIN)
        return
    methods, takes_body, answer = _ROUTES[path]
    try:
        body = body_of(content) if takes_body and method in methods else None
    except Refusal:
        server.requests.append((method, path, None))
        raise
    server.requests.append((method, path, body))
    if method in methods:
        answer(server, wire, body or {})
    else:
        wire.send(405, b"405 method not allowed", _PLAIN)


def _blob(server: ServerState, wire: Wire, method: str, digest: str) -> None:
    if method == "POST":
        wire.send(201 if server.blobs.receive(digest, wire.body()) else 200, b"", _PLAIN)
    elif server.blobs.path(digest).exists():
        wire.send(200, b"", _PLAIN)
    else:
        wire.error(404, f'blob "{digest}" not found')


def _root(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    wire.send(200, b"Ollama is running", f"{_PLAIN}; charset=utf-8")


def _version(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    wire.json(200, {"version": server.version})


def _tags(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    wire.json(200, {"models": [model.listed() for model in server.models]})


def _ps(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    wire.json(200, {"models": server.slots.ps()})


def _show(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    wire.json(200, find(server.models, body).shown())


def _delete(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    model = find(server.models, body)
    server.models.remove(model.name)
    server.slots.unload(model)
    wire.send(200, b"", _PLAIN)


def _generate(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    answer_generation(server, "generate", wire, body)


def _chat(server: ServerState, wire: Wire, body: dict[str, Any]) -> None:
    answer_generation(server, "chat", wire, body)


_ROUTES: dict[str, tuple[tuple[str, ...], bool, Answer]] = {
    "/": (("GET", "HEAD"), False, _root),
    "/api/version": (("GET", "HEAD"), False, _version),
    "/api/tags": (("GET", "HEAD"), False, _tags),
    "/api/ps": (("GET",), False, _ps),
    "/api/show": (("POST",), True, _show),
    "/api/generate": (("POST",), True, _generate),
    "/api/chat": (("POST",), True, _chat),
    "/api/create": (("POST",), True, create),
    "/api/delete": (("DELETE",), True, _delete),
}
"""Path to the methods that it knows, whether they take a JSON body, and what answers."""
