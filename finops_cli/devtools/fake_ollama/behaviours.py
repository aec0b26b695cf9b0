"""The answers that the fake Ollama can give to a request to generate: right, wrong, or failing as
real servers fail.

A script chooses one for each request. Each docstring says when real Ollama behaves so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from finops_cli.devtools.fake_ollama.response import ResponseStream

BUSY = "server busy, please try again.  maximum pending requests exceeded"
CRASHED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal"
    " error, check ollama server logs for details"
)
BROKE_OFF = "an error was encountered while running the model: unexpected EOF"


class ReceivedRequest(NamedTuple):
    """One POST /api/generate or /api/chat that asks for text, as it arrived."""

    number: int
    """Counted from 1 over the requests that have a prompt and do not only ask to have it
    rendered.
    """
    model: str
    """The model's name without `:latest`."""
    stage: str | None
    """triage, resolver or None, by the system turn, else by the heading of the user
    turn.
    """
    prompt: str
    """The prompt that is tokenised: unchanged if it is raw, else rendered."""
    body: dict[str, Any]
    attempt: int
    """How often the same user turn was asked before, plus 1."""


class Behaviour:
    """One way to answer. `at_once` answers without waiting for a slot."""

    at_once: ClassVar[bool] = False

    def respond(self, response: ResponseStream) -> None:
        """Send the answer."""
        raise NotImplementedError


Script = Callable[[ReceivedRequest], Behaviour]


@dataclass(frozen=True)
class CorrectAnswer(Behaviour):
    """The engine's answer for the record in the prompt; from a model served from a GGUF file, that
    model's own answer.
    """

    def respond(self, response: ResponseStream) -> None:
        response.send_correct_answer()


@dataclass(frozen=True)
class FixedText(Behaviour):
    """A fixed text.

    The `format` of the request is ignored, as in Ollama's issues 14645 and 17871.
    """

    text: str

    def respond(self, response: ResponseStream) -> None:
        response.send_text(self.text)


@dataclass(frozen=True)
class Changed(Behaviour):
    """The engine's answer after `change`, which gets it as a dict with exact numbers. The reasoning
    stays right.
    """

    change: Callable[[dict[str, Any]], Any]

    def respond(self, response: ResponseStream) -> None:
        response.send_text(response.correct_text(self.change))


@dataclass(frozen=True)
class Torn(Behaviour):
    """The connection closes after `after` chunks within the chunked encoding, as when a server is
    killed or a proxy has a limit.
    """

    after: int = 3

    def respond(self, response: ResponseStream) -> None:
        response.begin(self.after)
        response.tear()


@dataclass(frozen=True)
class NoDone(Behaviour):
    """The stream ends properly without a line with `done`. Ollama up to 0.33 does this after 30
    equal chunks (its repeat guard).
    """

    after: int | None = None
    """Chunks before the end; None for all of them."""

    def respond(self, response: ResponseStream) -> None:
        response.begin(self.after)
        response.finish()


@dataclass(frozen=True)
class Busy(Behaviour):
    """503: more requests wait than OLLAMA_MAX_QUEUE allows."""

    at_once = True

    def respond(self, response: ResponseStream) -> None:
        response.refuse(503, BUSY)


@dataclass(frozen=True)
class Crash(Behaviour):
    """500: the runner died before its first token, mostly for lack of memory.

    The next request loads the model again.
    """

    def respond(self, response: ResponseStream) -> None:
        response.drop_runner()
        response.refuse(500, CRASHED)


@dataclass(frozen=True)
class ErrorLine(Behaviour):
    """The runner dies after `after` chunks. The status 200 has been sent, so a line `{"error":
    ...}` ends the stream, without `done`.
    """

    after: int = 3

    def respond(self, response: ResponseStream) -> None:
        if self.after:
            response.begin(self.after)
        response.drop_runner()
        response.fail(BROKE_OFF)


@dataclass(frozen=True)
class HalfPromptCount(Behaviour):
    """`prompt_eval_count` is halved. Unless `truncate` or `shift` is false, Ollama cuts a long
    prompt to half without a message.
    """

    then: Behaviour = CorrectAnswer()

    def respond(self, response: ResponseStream) -> None:
        response.prompt_tokens //= 2
        self.then.respond(response)


@dataclass(frozen=True)
class Hang(Behaviour):
    """`after` chunks (0: not even headers) and then nothing until the client or the server stops,
    as with a stuck GPU.
    """

    after: int = 0

    def respond(self, response: ResponseStream) -> None:
        if self.after:
            response.begin(self.after)
        response.hang()


@dataclass(frozen=True)
class Drip(Behaviour):
    """One chunk every `seconds`, as from a model partly on the CPU.

    `endless` adds blanks without end after the text, as grammars allow.
    """

    seconds: float
    endless: bool = False

    def respond(self, response: ResponseStream) -> None:
        if self.endless:
            response.drip(self.seconds)
        response.send_text(response.correct_text(), seconds=self.seconds)


@dataclass(frozen=True)
class Garbled(Behaviour):
    """A line that is not JSON after `after` chunks.

    Ollama does not write one; a proxy that cuts lines or chunks does.
    """

    after: int = 2

    def respond(self, response: ResponseStream) -> None:
        response.begin(self.after)
        response.garble()
        response.done("stop")


@dataclass(frozen=True)
class Length(Behaviour):
    """Half an answer with done_reason `length`: num_predict is used up, or num_ctx where `shift` is
    false.
    """

    def respond(self, response: ResponseStream) -> None:
        text = response.correct_text()
        response.send_text(text[: len(text) // 2], reason="length")


@dataclass(frozen=True)
class ThinkingOnly(Behaviour):
    """All text in `thinking` and none in `response`: the parser of Ollama found no end of the
    reasoning.
    """

    def respond(self, response: ResponseStream) -> None:
        response.send_thinking(response.correct_text())


@dataclass(frozen=True)
class OddStatistics(Behaviour):
    """The engine's answer with counts and times of another type, as proxies and other servers with
    Ollama's protocol send them.
    """

    value: Any

    def respond(self, response: ResponseStream) -> None:
        fields = ("prompt_eval_count", "eval_count", "eval_duration", "total_duration")
        response.odd_statistics = dict.fromkeys(fields, self.value)
        response.send_correct_answer()


@dataclass(frozen=True)
class Loaded(Behaviour):
    """done_reason `load` without text: the answer of Ollama when it finds nothing to generate from
    (its issue 7465).
    """

    def respond(self, response: ResponseStream) -> None:
        response.done("load")


@dataclass(frozen=True)
class TooLong(Behaviour):
    """400 from llama-server, with its JSON as the error text: `truncate` is false and the prompt
    fills num_ctx.
    """

    def respond(self, response: ResponseStream) -> None:
        response.refuse_too_long()


@dataclass(frozen=True)
class NotFound(Behaviour):
    """404: the model was deleted or never created here."""

    at_once = True

    def respond(self, response: ResponseStream) -> None:
        response.refuse(404, f"model '{response.request.name}' not found")


@dataclass(frozen=True)
class BadRequest(Behaviour):
    """400 with this message."""

    message: str
    at_once = True

    def respond(self, response: ResponseStream) -> None:
        response.refuse(400, self.message)


@dataclass(frozen=True)
class Refused(Behaviour):
    """The connection closes without an answer.

    To have no server at all, stop the fake Ollama.
    """

    at_once = True

    def respond(self, response: ResponseStream) -> None:
        response.tear()


@dataclass(frozen=True)
class WrongStatus(Behaviour):
    """Any status and body, such as a proxy's 502 page."""

    status: int
    body: str = ""
    at_once = True

    def respond(self, response: ResponseStream) -> None:
        response.answer_verbatim(self.status, self.body)
