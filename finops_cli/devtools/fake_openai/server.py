"""The fake server itself, on 127.0.0.1."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from finops_cli.devtools.fake_ollama.http_writer import HttpWriter
from finops_cli.devtools.fake_openai.behaviours import CorrectAnswer, Script
from finops_cli.devtools.fake_openai.kinds import (
    KINDS,
    ReceivedRequest,
    find_fault,
    prompt_of,
    schema_of,
)
from finops_cli.devtools.fake_openai.response import Response
from finops_cli.devtools.http_server import HOST, HttpServer

_ROUTES = {"/v1/completions": "completions", "/v1/chat/completions": "chat"}
MODELS = ("finops-triage", "finops-resolver", "finops-sentiment")


class FakeOpenAI:
    """A fake server for a `with` statement; `stop` and `start` simulate a crash and a restart.

    `kind` is one of KINDS. `key` is asked for, if it is not None. `listing` replaces the answer of
    /v1/models. `context` is the context that vLLM and SGLang say.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        kind: str = "vllm",
        models: Sequence[str] = MODELS,
        key: str | None = None,
        port: int = 0,
        context: int = 32_768,
        token_seconds: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script: Script = script or (lambda request: CorrectAnswer())
        self.kind = KINDS[kind]
        self.models = list(models)
        self.key = key
        self.listing: tuple[int, bytes] | None = None
        self.received: list[ReceivedRequest] = []
        self.unknown_models: list[str] = []
        """Names that requests for text gave, and that the server does not list."""
        self.most_at_once = 0
        self.failures: list[BaseException] = []
        self.port = port
        self._context, self._token_seconds = context, token_seconds
        self._tls = tls
        self.at_once = 0
        """Requests for text that are being answered."""
        self._lock = threading.Lock()
        self._http: HttpServer | None = None

    @property
    def url(self) -> str:
        """The address; known after the first start."""
        return f"{'http' if self._tls is None else 'https'}://{HOST}:{self.port}"

    @property
    def about_records(self) -> list[ReceivedRequest]:
        """The requests about records and texts."""
        return [request for request in self.received if not request.is_trial]

    def start(self) -> None:
        """Listen, on the previous port if there was one."""
        if self._http is None:
            self._http = HttpServer(self._answer, self.failures, self.port, self._tls)
            self.port = self._http.server_address[1]
            self._http.begin()

    def stop(self) -> None:
        """Close the listening socket and all connections."""
        http, self._http = self._http, None
        if http is not None:
            http.end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None and self.failures:
            raise self.failures[0]

    def _answer(self, method: str, path: str, writer: HttpWriter) -> None:
        content = b"".join(writer.body())
        given = writer.header("Authorization")
        if self.key is not None and given != f"Bearer {self.key}":
            message = f"Incorrect API key provided: {(given or '').removeprefix('Bearer ')}"
            _refuse(writer, 401, message)
        elif path == "/v1/models" and method == "GET":
            self._list(writer)
        elif path in _ROUTES and method == "POST":
            self._generate(_ROUTES[path], content, given, writer)
        else:
            _refuse(writer, 404, "Not Found")

    def _list(self, writer: HttpWriter) -> None:
        if self.listing is not None:
            writer.send(self.listing[0], self.listing[1], "application/json")
            return
        context = {"max_model_len": self._context} if self.kind.says_context else {}
        entries = [
            {"id": name, "object": "model", "owned_by": self.kind.owner, **context}
            for name in self.models
        ]
        writer.json(200, {"object": "list", "data": entries})

    def _generate(
        self, route: str, content: bytes, authorization: str | None, writer: HttpWriter
    ) -> None:
        body = msgspec.json.decode(content)
        fault = find_fault(self.kind, body)
        if body.get("model") not in self.models:
            self.unknown_models.append(str(body.get("model")))
            _refuse(writer, 404, f"The model `{body.get('model')}` does not exist.")
            return
        if fault is not None:
            _refuse(writer, 400, fault)
            return
        request = self._record(route, body, authorization)
        try:
            self.script(request).respond(Response(request, writer, self._token_seconds))
        finally:
            with self._lock:
                self.at_once -= 1

    def _record(
        self, route: str, body: dict[str, Any], authorization: str | None
    ) -> ReceivedRequest:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            request = ReceivedRequest(
                number=len(self.received) + 1,
                route=route,
                model=str(body["model"]),
                prompt=prompt_of(body),
                body=body,
                authorization=authorization,
                schema=schema_of(self.kind, route, body),
            )
            self.received.append(request)
            return request


def _refuse(writer: HttpWriter, status: int, message: str) -> None:
    writer.json(status, {"error": {"message": message, "type": "invalid_request_error"}})
