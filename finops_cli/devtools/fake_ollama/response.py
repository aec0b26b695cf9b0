"""The response to one request to generate, which the behaviours write."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, NoReturn

from finops_cli.devtools.fake_ollama import tokens
from finops_cli.devtools.fake_ollama.http_writer import JSON_TYPE, HttpWriter, encode, timestamp
from finops_cli.devtools.fake_ollama.reference_answers import Change
from finops_cli.devtools.fake_ollama.requests import OllamaRequest, Refusal

_FACTOR = 10
"""Ollama bounds an open-ended generation to so many times num_ctx."""
Generate = Callable[["ResponseStream"], Generator[str, None, None]]
"""A model of its own: yields pieces of text, and leaves token counts and the reason of its end in
the response.
"""


class ResponseStream:
    """A response. `writer` gets lines if the client wants a stream, else one object at the end."""

    def __init__(
        self,
        request: OllamaRequest,
        writer: HttpWriter,
        make_correct_text: Callable[[Change | None], str],
        chunk_tokens: int,
        token_seconds: float,
    ) -> None:
        self.request, self._writer = request, writer
        self._make_correct_text = make_correct_text
        self._chunk_tokens, self._token_seconds = chunk_tokens, token_seconds
        self.generate: Generate | None = None
        self.prompt_tokens = tokens.count(request.prompt)
        self.eval_tokens = 0
        self.reason = "stop"
        self.finished = False
        """True when the response is complete: a client that leaves then does not cancel it."""
        self.drop_runner: Callable[[], None] = lambda: None
        """Lets the runner die of this, before the client hears of it."""
        self.leave_slot: Callable[[], None] = lambda: None
        """Frees the slot, before the client has the last byte and asks again."""
        self._began = self._loaded = time.monotonic_ns()
        self._first: int | None = None
        self._gathered: dict[str, list[str]] = {"text": [], "thinking": []}
        self._thinking: bool | None = request.prompt.rstrip().endswith("<think>") or None
        self._garbled = False
        self.odd_statistics: dict[str, Any] = {}
        """Counts and times that replace the true ones in the last line."""

    def loaded(self) -> None:
        """Start the generation: the model is loaded and a slot is free."""
        self._loaded = time.monotonic_ns()

    def correct_text(self, change: Change | None = None) -> str:
        """Return the engine's answer, edited by `change`."""
        return self._make_correct_text(change)

    def send_correct_answer(self) -> None:
        if self.generate is None:
            self.send_text(self.correct_text())
            return
        with closing(self.generate(self)) as pieces:
            for piece in pieces:
                self._send(piece)
        self.done(self.reason)

    def send_text(self, text: str, reason: str = "stop", seconds: float = 0.0) -> None:
        """Send `text` up to stop sequences and token limit, then the last line."""
        text, reason = self._within_bounds(text, reason)
        for chunk in self._chunks(text):
            self._send_chunk(chunk, seconds)
        self.done(reason)

    def send_thinking(self, text: str) -> None:
        """Send `text` in the field `thinking`, then the last line."""
        self._thinking = True
        self._gathered["thinking"].append(text)
        if self.request.stream:
            self._open()
            self._writer.line(self._line("thinking", text))
        self.done("stop")

    def begin(self, chunks: int | None) -> None:
        """Send the first chunks of the right answer, or all of them for None."""
        text, _ = self._within_bounds(self.correct_text(), "stop")
        self._open()
        for chunk in itertools.islice(self._chunks(text), chunks):
            self._send_chunk(chunk, 0.0)

    def drip(self, seconds: float) -> NoReturn:
        """Send the right answer and then blanks, one chunk every `seconds`, until the client
        leaves.
        """
        for chunk in itertools.chain(self._chunks(self.correct_text()), itertools.repeat([" "])):
            self._send_chunk(chunk, seconds)
        raise AssertionError

    def done(self, reason: str) -> None:
        """Send the last line, or the one object of an answer that is not streamed."""
        now = time.monotonic_ns()
        first = self._first or now
        self._last(
            {
                "done": True,
                "done_reason": reason,
                "total_duration": now - self._began,
                "load_duration": self._loaded - self._began,
                **({"prompt_eval_count": self.prompt_tokens} if self.prompt_tokens else {}),
                "prompt_eval_duration": max(first - self._loaded, 1),
                **({"eval_count": self.eval_tokens} if self.eval_tokens else {}),
                "eval_duration": max(now - first, 1),
                **self.odd_statistics,
            }
        )

    def finish(self) -> None:
        """End the response properly without a line with `done`."""
        if self.request.stream:
            self.finished = True
            self._writer.end_stream()
        else:
            self._last({"done": False})

    def fail(self, message: str) -> None:
        """Send an error: a line that ends the stream, or a status if nothing was sent."""
        if not self._writer.started:
            self.refuse(500, message)
            return
        self._writer.line({"error": message})
        self.finish()

    def refuse(self, status: int, message: str) -> None:
        self.leave_slot()
        self.finished = True
        self._writer.error(status, message)

    def refuse_too_long(self) -> None:
        """Send llama-server's refusal, which Ollama passes on as text."""
        refusal = too_long(self.prompt_tokens, self.request.num_ctx)
        self.refuse(refusal.status, refusal.message)

    def answer_verbatim(self, status: int, content: str) -> None:
        self.finished = True
        self._writer.send(status, content.encode(), "text/html; charset=utf-8")

    def tear(self) -> None:
        """Close the connection; an answer that is not streamed is half written."""
        self.finished = True
        if not self.request.stream and self._gathered["text"]:
            content = encode(self._object({"done": False}))
            self._writer.send(200, content[: len(content) // 2], JSON_TYPE, announced=len(content))
        self._writer.tear()

    def hang(self) -> NoReturn:
        self._writer.hang()

    def garble(self) -> None:
        """Send a line that is cut in the middle."""
        self._garbled = True
        if self.request.stream:
            self._writer.raw_line(encode(self._line("text", "…"))[:-9] + b"\n")

    def breathe(self) -> None:
        """Wait for the time of one token. Raises ClientGone when the client has left."""
        self._writer.wait(self._token_seconds)

    def _within_bounds(self, text: str, reason: str) -> tuple[str, str]:
        """Cut `text` at the first stop sequence and at the limit of num_predict and num_ctx."""
        ends = [text.index(stop) for stop in self.request.options["stop"] if stop and stop in text]
        if ends:
            text, reason = text[: min(ends)], "stop"
        pieces = tokens.split(text)
        budget = self.budget
        return ("".join(pieces[:budget]), "length") if len(pieces) > budget else (text, reason)

    @property
    def budget(self) -> int:
        """Return the number of tokens that may be generated."""
        bound = _FACTOR * self.request.num_ctx
        predict = int(self.request.options["num_predict"])
        budget = predict if 0 <= predict <= bound else bound
        return (
            budget
            if self.request.shift
            else min(budget, max(self.request.num_ctx - self.prompt_tokens, 0))
        )

    def _chunks(self, text: str) -> Iterator[list[str]]:
        pieces = iter(tokens.split(text))
        while chunk := list(itertools.islice(pieces, self._chunk_tokens)):
            yield chunk

    def _send_chunk(self, chunk: list[str], seconds: float) -> None:
        self._writer.wait(seconds or self._token_seconds * len(chunk))
        self.eval_tokens += len(chunk)
        self._send("".join(chunk))

    def _send(self, text: str) -> None:
        self._first = self._first or time.monotonic_ns()
        for kind, part in self._split_reasoning(text):
            self._gathered[kind].append(part)
            if self.request.stream:
                self._open()
                self._writer.line(self._line(kind, part))

    def _split_reasoning(self, text: str) -> Iterator[tuple[str, str]]:
        """Split reasoning and answer if the prompt is not raw; the tags are removed."""
        if self.request.raw:
            yield "text", text
            return
        if self._thinking is None and text.strip():
            self._thinking = text.startswith("<think>")
            text = text.removeprefix("<think>")
        before, tag, behind = text.partition("</think>")
        if not self._thinking:
            before, behind, tag = "", text, ""
        elif tag:
            self._thinking = False
        if not self._gathered["text"]:
            behind = behind.lstrip("\n")
        if before:
            yield "thinking", before
        if behind:
            yield "text", behind

    def _open(self) -> None:
        if self.request.stream and not self._writer.started:
            self._writer.open_stream()

    def _line(self, kind: str, text: str) -> dict[str, Any]:
        return {**self._head({kind: text}), "done": False}

    def _object(self, end: dict[str, Any]) -> dict[str, Any]:
        return {
            **self._head({kind: "".join(parts) for kind, parts in self._gathered.items()}),
            **end,
        }

    def _head(self, fields: dict[str, str]) -> dict[str, Any]:
        thinking = {"thinking": fields["thinking"]} if fields.get("thinking") else {}
        opening = {"model": self.request.name, "created_at": timestamp()}
        if self.request.endpoint == "chat":
            return {
                **opening,
                "message": {"role": "assistant", "content": fields.get("text", ""), **thinking},
            }
        return {**opening, "response": fields.get("text", ""), **thinking}

    def _last(self, end: dict[str, Any]) -> None:
        if self.request.stream:
            self._open()
            self.leave_slot()
            self._writer.line({**self._head({}), **end})
            self.finished = True
            self._writer.end_stream()
        else:
            content = encode(self._object(end))
            self.leave_slot()
            self.finished = True
            self._writer.send(200, content[:-9] if self._garbled else content, JSON_TYPE)


def too_long(prompt_tokens: int, num_ctx: int) -> Refusal:
    """Make the refusal of a prompt that fills the context while `truncate` is false."""
    error = {
        "code": 400,
        "message": (
            f"request ({prompt_tokens} tokens) exceeds the available context size ({num_ctx}"
            " tokens), try increasing it"
        ),
        "type": "exceed_context_size_error",
        "n_prompt_tokens": prompt_tokens,
        "n_ctx": num_ctx,
    }
    return Refusal(400, encode({"error": error}).decode())


def cut_prompt(prompt_tokens: int, request: OllamaRequest) -> int:
    """Return how many tokens of the prompt the model reads.

    Raises Refusal if the prompt must be cut and the request forbids it.
    """
    num_ctx = request.num_ctx
    if not request.truncate:
        if prompt_tokens >= num_ctx:
            raise too_long(prompt_tokens, num_ctx)
    elif prompt_tokens > num_ctx - 1:
        if not request.shift:
            raise Refusal(400, _LONGER)
        keep = min(int(request.options["num_keep"]), num_ctx - 1)
        return num_ctx - max((num_ctx - keep) // 2, 1)
    return prompt_tokens


_LONGER = (
    "the prompt is longer than the context length currently available to the model; shorten the"
    " prompt, adjust the context length in settings, or use a model with a longer context length"
)
