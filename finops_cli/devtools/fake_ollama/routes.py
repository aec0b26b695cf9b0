"""The routes of the HTTP API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from finops_cli.devtools.fake_ollama.create import create
from finops_cli.devtools.fake_ollama.generate import answer_generation
from finops_cli.devtools.fake_ollama.http_writer import HttpWriter
from finops_cli.devtools.fake_ollama.requests import Refusal, body_of, find
from finops_cli.devtools.fake_ollama.state import ServerState

Answer = Callable[[ServerState, HttpWriter, dict[str, Any]], None]
_BLOB = re.compile(r"/api/blobs/([^/]+)")
_PLAIN = "text/plain"


def route(server: ServerState, method: str, path: str, writer: HttpWriter) -> None:
    """Answer one request. Raises ClientGone."""
    try:
        blob = _BLOB.fullmatch(path)
        if blob is not None and method in ("HEAD", "POST"):
            server.requests.append((method, path, None))
            _blob(server, writer, method, blob[1])
        else:
            _answer(server, writer, method, path)
    except Refusal as refusal:
        writer.error(refusal.status, refusal.message)


def _answer(server: ServerState, writer: HttpWriter, method: str, path: str) -> None:
    content = b"".join(writer.body())
    if path not in _ROUTES:
        server.requests.append((method, path, None))
        writer.send(404, b"404 page not found", _PLAIN)
        return
    methods, takes_body, answer = _ROUTES[path]
    try:
        body = body_of(content) if takes_body and method in methods else None
    except Refusal:
        server.requests.append((method, path, None))
        raise
    server.requests.append((method, path, body))
    if method in methods:
        answer(server, writer, body or {})
    else:
        writer.send(405, b"405 method not allowed", _PLAIN)


def _blob(server: ServerState, writer: HttpWriter, method: str, digest: str) -> None:
    if method == "POST":
        writer.send(201 if server.blobs.receive(digest, writer.body()) else 200, b"", _PLAIN)
    elif server.blobs.path(digest).exists():
        writer.send(200, b"", _PLAIN)
    else:
        writer.error(404, f'blob "{digest}" not found')


def _root(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    writer.send(200, b"Ollama is running", f"{_PLAIN}; charset=utf-8")


def _version(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    writer.json(200, {"version": server.version})


def _tags(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    writer.json(200, {"models": [model.list_entry() for model in server.models]})


def _ps(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    writer.json(200, {"models": server.slots.ps()})


def _show(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    writer.json(200, find(server.models, body).describe())


def _delete(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    model = find(server.models, body)
    server.models.remove(model.name)
    server.slots.unload(model)
    writer.send(200, b"", _PLAIN)


def _generate(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    answer_generation(server, "generate", writer, body)


def _chat(server: ServerState, writer: HttpWriter, body: dict[str, Any]) -> None:
    answer_generation(server, "chat", writer, body)


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
