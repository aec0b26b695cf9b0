"""The answers that the fake server can give: right, wrong, or failing as real servers fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finops_cli.devtools.fake_openai.kinds import ReceivedRequest

if TYPE_CHECKING:
    from finops_cli.devtools.fake_openai.response import Response


class Behaviour:
    """One way to answer."""

    def respond(self, response: Response) -> None:
        """Send the answer."""
        raise NotImplementedError


Script = Callable[[ReceivedRequest], Behaviour]


@dataclass(frozen=True)
class CorrectAnswer(Behaviour):
    """The engine's answer for the record in the prompt."""

    def respond(self, response: Response) -> None:
        response.send_text(response.correct_text())


@dataclass(frozen=True)
class FixedText(Behaviour):
    """A fixed text, with any `finish_reason`; the schema of the request is ignored."""

    text: str
    finish: Any = "stop"

    def respond(self, response: Response) -> None:
        response.send_text(self.text, self.finish)


@dataclass(frozen=True)
class Changed(Behaviour):
    """The engine's answer after `change`, which gets it as a dict."""

    change: Callable[[dict[str, Any]], Any]

    def respond(self, response: Response) -> None:
        response.send_text(response.correct_text(self.change))


@dataclass(frozen=True)
class Finish(Behaviour):
    """The engine's answer, whole or its first half, with this `finish_reason`."""

    reason: Any
    whole: bool = True

    def respond(self, response: Response) -> None:
        text = response.correct_text()
        response.send_text(text if self.whole else text[: len(text) // 2], self.reason)


@dataclass(frozen=True)
class Torn(Behaviour):
    """The connection closes after `after` events, as when a server is killed."""

    after: int = 3

    def respond(self, response: Response) -> None:
        response.begin(self.after)
        response.tear()


@dataclass(frozen=True)
class NoFinish(Behaviour):
    """The stream ends properly without a `finish_reason`; `says_done`: with [DONE]."""

    after: int = 3
    says_done: bool = False

    def respond(self, response: Response) -> None:
        response.begin(self.after)
        response.end(says_done=self.says_done)


@dataclass(frozen=True)
class Interrupted(Behaviour):
    """Another request came: llama-cpp-python says [DONE] in the middle, and breaks the connection
    off.
    """

    after: int = 3

    def respond(self, response: Response) -> None:
        response.begin(self.after)
        response.send_raw(b"data: [DONE]\n\n")
        response.tear()


@dataclass(frozen=True)
class Garbled(Behaviour):
    """Half an event in the middle of the stream, as from a proxy that cuts lines."""

    after: int = 2

    def respond(self, response: Response) -> None:
        response.begin(self.after)
        response.send_raw(b'data: {"choices":[{"index":0,"te\n\n')
        response.send_finish("stop")


@dataclass(frozen=True)
class ErrorEvent(Behaviour):
    """The engine of the server dies after `after` events; the status 200 has been sent."""

    error: Any = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    after: int = 3

    def respond(self, response: Response) -> None:
        response.begin(self.after)
        response.send_event({"error": self.error})
        response.end()


@dataclass(frozen=True)
class Hang(Behaviour):
    """`after` events (0: not even headers), and then nothing."""

    after: int = 0

    def respond(self, response: Response) -> None:
        if self.after:
            response.begin(self.after)
        response.hang()


@dataclass(frozen=True)
class Huge(Behaviour):
    """So many characters of text, in large events."""

    characters: int = 2_000_000

    def respond(self, response: Response) -> None:
        for _ in range(self.characters // _HUGE_EVENT):
            response.send_piece("x" * _HUGE_EVENT)
        response.send_finish("stop")


_HUGE_EVENT = 10_000


@dataclass(frozen=True)
class OddUsage(Behaviour):
    """The engine's answer with a `usage` of another type."""

    value: Any

    def respond(self, response: Response) -> None:
        response.usage = self.value
        response.send_text(response.correct_text())


@dataclass(frozen=True)
class HalfPromptCount(Behaviour):
    """The engine's answer, for half the prompt: the server has cut it without a word."""

    def respond(self, response: Response) -> None:
        response.prompt_tokens //= 2
        response.send_text(response.correct_text())


@dataclass(frozen=True)
class ReasoningOnly(Behaviour):
    """All text in `reasoning_content` of chat, and no answer."""

    def respond(self, response: Response) -> None:
        response.send_event(response.chunk({"reasoning_content": response.correct_text()}, None))
        response.send_finish("stop")


@dataclass(frozen=True)
class WithLogprobs(Behaviour):
    """A text whose first token has these likely tokens, in the form of completions, or that of
    chat.
    """

    text: str
    likely: Mapping[str, float]
    by_place: bool = False

    def respond(self, response: Response) -> None:
        response.send_piece(self.text, response.logprobs(self.text, self.likely, self.by_place))
        response.send_finish("stop")


@dataclass(frozen=True)
class Whole(Behaviour):
    """The engine's answer as one object, although a stream was asked for, of any Content-Type."""

    kind: str = "application/json"

    def respond(self, response: Response) -> None:
        response.send_object(response.correct_text(), self.kind)


@dataclass(frozen=True)
class Status(Behaviour):
    """Any status, body and headers, such as a proxy's page of 502."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def respond(self, response: Response) -> None:
        response.answer_verbatim(self.status, self.body, self.headers)
