"""One answer while it is being decoded: the tokens of its prompt, what was said so far, and when it
is over.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

from finops_cli.models.llama_cpp.messages import End, Generate, GenerationResult
from finops_cli.models.llama_cpp.worker.prompt_lookup import PromptLookup


class GrammarLost(Exception):
    """What held an answer to its schema gave up in the middle of it: the text so far is no
    answer.
    """


class Sampler(Protocol):
    """Chooses the tokens of one answer."""

    def choose(self, at: int) -> int: ...

    def close(self) -> None: ...


class GrammarConstraint(Protocol):
    """Holds one answer to a schema."""

    def allow(self, logits: object) -> None: ...

    def accept(self, token: int) -> bool: ...


@dataclass(slots=True, eq=False)
class Sequence:
    """`fed`: how many tokens of the prompt are evaluated.

    `left`: how many tokens may still be said. `last`: the token said last.
    """

    asked: Generate
    prompt: list[int]
    left: int
    fed: int = 0
    last: int = -1
    spoken: int = 0
    choice: Sampler | None = None
    hold: GrammarConstraint | None = None
    guesser: PromptLookup | None = None
    end: End | None = None
    trouble: str = ""
    """Why it was refused."""
    _bytes: bytearray = field(default_factory=bytearray)
    _stops: tuple[bytes, ...] = ()
    _reach: int = 0
    _began_ns: int = 0

    def __post_init__(self) -> None:
        self._stops = tuple(stop.encode() for stop in self.asked.stops if stop)
        self._reach = max(map(len, self._stops), default=1) - 1

    @property
    def saying(self) -> bool:
        """Whether the prompt is evaluated and the answer has begun."""
        return self.fed == len(self.prompt)

    @property
    def position(self) -> int:
        """Where the token said last stands in the sequence."""
        return len(self.prompt) + self.spoken - 1

    def hear(self, token: int, piece: bytes) -> None:
        """Take `token` down, which says `piece`. Sets `end` when the answer is over with it."""
        if not self.spoken:
            self._began_ns = perf_counter_ns()
        self.last = token
        if self.guesser is not None:
            self.guesser.learn(token)
        self.spoken += 1
        self.left -= 1
        said = self._bytes
        since = max(0, len(said) - self._reach)
        said += piece
        if self._stops:
            found = [at for stop in self._stops if (at := said.find(stop, since)) >= 0]
            if found:
                del said[min(found) :]
                self.end = "stop"
                return
        if self.left <= 0:
            self.end = "length"

    def refuse(self, trouble: str) -> None:
        """End it without an answer."""
        self.end, self.trouble = "refused", trouble

    def said(self) -> GenerationResult:
        """The answer as it goes back: whole characters.

        What is no UTF-8 shows as U+FFFD, a character cut at the end is left out.
        """
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(
            bytes(self._bytes), final=self.end == "stop"
        )
        took_ms = round((perf_counter_ns() - self._began_ns) / 1e6, 3) if self.spoken else 0.0
        return GenerationResult(
            self.asked.number,
            self.trouble or text,
            self.end or "cancelled",
            len(self.prompt),
            self.spoken,
            took_ms,
        )
