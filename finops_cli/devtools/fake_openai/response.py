"""The response to one request for text, which the behaviours write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from finops_cli.devtools.fake_ollama import tokens
from finops_cli.devtools.fake_ollama.http_writer import HttpWriter, encode
from finops_cli.devtools.fake_ollama.reference_answers import Change, correct_text
from finops_cli.devtools.fake_openai.kinds import ReceivedRequest
from finops_cli.kb.load import bundled_kb_dir, load_kb

EVENT_STREAM = "text/event-stream; charset=utf-8"
_CHUNK_TOKENS = 4


class Response:
    """A response as server-sent events."""

    def __init__(self, request: ReceivedRequest, writer: HttpWriter, token_seconds: float) -> None:
        self.request, self._writer = request, writer
        self._token_seconds = token_seconds
        self.prompt_tokens = tokens.count(request.prompt)
        self.usage: Any = None
        """The object that replaces the true `usage`."""
        self._sent_tokens = 0

    def correct_text(self, change: Change | None = None) -> str:
        """Return the engine's answer, or a text that fits the schema of a trial."""
        request = self.request
        if request.stage is None and request.schema is not None:
            return encode(_instance(request.schema)).decode()
        is_constrained = request.schema is not None
        return correct_text(request.prompt, is_constrained, load_kb(bundled_kb_dir()), change)

    def send_text(self, text: str, finish: Any = "stop") -> None:
        """Send `text` up to stop sequences and limit, then the end."""
        text, finish = self._within_bounds(text, finish)
        pieces = tokens.split(text)
        for start in range(0, len(pieces), _CHUNK_TOKENS):
            self.send_piece("".join(pieces[start : start + _CHUNK_TOKENS]))
        self.send_finish(finish)

    def begin(self, events: int) -> None:
        """Send the first events of the right answer."""
        pieces = tokens.split(self.correct_text())
        self._open()
        for start in range(0, min(events * _CHUNK_TOKENS, len(pieces)), _CHUNK_TOKENS):
            self.send_piece("".join(pieces[start : start + _CHUNK_TOKENS]))

    def send_piece(self, text: str, logprobs: Any = None) -> None:
        """Send a part of the answer."""
        self._sent_tokens += tokens.count(text) if len(text) < 100 else 1
        if self._token_seconds:
            self._writer.wait(self._token_seconds * _CHUNK_TOKENS)
        said = {"content": text} if self.request.route == "chat" else text
        self.send_event(self.chunk(said, None, logprobs))

    def send_finish(self, reason: Any) -> None:
        """Send the end of the answer, its usage, and [DONE]."""
        said: Any = {} if self.request.route == "chat" else ""
        self.send_event(self.chunk(said, reason))
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self._sent_tokens,
            "total_tokens": self.prompt_tokens + self._sent_tokens,
        }
        if self.request.body.get("stream_options", {}).get("include_usage"):
            shown = usage if self.usage is None else self.usage
            self.send_event({"object": self._kind, "choices": [], "usage": shown})
        self.end(says_done=True)

    def chunk(self, said: Any, reason: Any, logprobs: Any = None) -> dict[str, Any]:
        """Return an event with a part of the answer."""
        field = "delta" if self.request.route == "chat" else "text"
        choice = {"index": 0, field: said, "finish_reason": reason, "logprobs": logprobs}
        return {
            "id": f"cmpl-{self.request.number}",
            "object": self._kind,
            "created": 0,
            "model": self.request.model,
            "choices": [choice],
        }

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self.request.route == "chat" else "text_completion"

    def logprobs(self, token: str, likely: Mapping[str, float], by_place: bool) -> dict[str, Any]:
        """Return the logprobs of one token in the form of completions, or that of chat."""
        if not by_place:
            return {
                "tokens": [token],
                "token_logprobs": [likely.get(token, -1.0)],
                "top_logprobs": [dict(likely)],
                "text_offset": [0],
            }
        listed = [{"token": each, "logprob": value} for each, value in likely.items()]
        place = {"token": token, "logprob": likely.get(token, -1.0), "top_logprobs": listed}
        return {"content": [place]}

    def send_event(self, value: Any) -> None:
        """Send one event."""
        self.send_raw(b"data: " + encode(value) + b"\n\n")

    def send_raw(self, content: bytes) -> None:
        """Send any bytes within the stream."""
        self._open()
        self._writer.raw_line(content)

    def end(self, *, says_done: bool = False) -> None:
        """End the stream properly."""
        if says_done:
            self.send_raw(b"data: [DONE]\n\n")
        self._writer.end_stream()

    def send_object(self, text: str, kind: str) -> None:
        """Send the whole answer as one object."""
        is_chat = self.request.route == "chat"
        said = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": tokens.count(text)}
        body = {"object": self._kind.removesuffix(".chunk"), "choices": [choice], "usage": usage}
        self._writer.send(200, encode(body), kind)

    def answer_verbatim(self, status: int, content: str, headers: Mapping[str, str]) -> None:
        self._writer.send(status, content.encode(), "text/html; charset=utf-8", headers=headers)

    def tear(self) -> None:
        self._writer.tear()

    def hang(self) -> NoReturn:
        self._writer.hang()

    def _open(self) -> None:
        if not self._writer.started:
            self._writer.open_stream(EVENT_STREAM)

    def _within_bounds(self, text: str, finish: Any) -> tuple[str, Any]:
        """Cut `text` at the first stop sequence, and at max_tokens."""
        stops = self.request.body.get("stop") or []
        ends = [text.index(stop) for stop in stops if stop in text]
        if ends:
            text = text[: min(ends)]
        pieces, most = tokens.split(text), int(self.request.body.get("max_tokens", 16))
        return ("".join(pieces[:most]), "length") if len(pieces) > most else (text, finish)


def _instance(schema: dict[str, Any]) -> Any:
    """Return the one value that the schema of a trial allows."""
    if "enum" in schema:
        return schema["enum"][0]
    return {name: _instance(inner) for name, inner in schema.get("properties", {}).items()}
