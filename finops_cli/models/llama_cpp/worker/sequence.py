"""One answer during decoding: its prompt, the tokens so far, and its end."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Protocol

from finops_cli.models.llama_cpp.messages import End, Generate, GenerationResult
from finops_cli.models.llama_cpp.worker.prompt_lookup import PromptLookup


class GrammarLost(Exception):
    """The grammar gave up in the middle of an answer, so the text so far is not an answer."""


class Sampler(Protocol):
    """A function that chooses the tokens of one answer."""

    def choose(self, at: int) -> int: ...

    def close(self) -> None: ...


class GrammarConstraint(Protocol):
    """A constraint of one answer to a schema."""

    def mask(self, logits: object) -> None: ...

    def accept(self, token: int) -> bool: ...


@dataclass(slots=True, eq=False)
class Sequence:
    """One request in a slot of the scheduler."""

    request: Generate
    prompt: list[int]
    tokens_left: int
    """Number of tokens that may still be generated."""
    evaluated: int = 0
    """Number of prompt tokens that are evaluated."""
    last_token: int = -1
    generated: int = 0
    """Number of tokens generated so far."""
    sampler: Sampler | None = None
    """None: the likeliest token is chosen."""
    grammar: GrammarConstraint | None = None
    prompt_lookup: PromptLookup | None = None
    choices: list[list[int]] | None = None
    """The tokens of each choice; None for a request without choices."""
    choice_logits: tuple[float, ...] = ()
    end: End | None = None
    error: str = ""
    """The reason why the request was refused."""
    _text: bytearray = field(default_factory=bytearray)
    _stops: tuple[bytes, ...] = ()
    _overlap: int = 0
    """Number of bytes at the end of the text in which a stop sequence may begin."""
    _began_ns: int = 0

    def __post_init__(self) -> None:
        self._stops = tuple(stop.encode() for stop in self.request.stops if stop)
        self._overlap = max(map(len, self._stops), default=1) - 1

    @property
    def is_generating(self) -> bool:
        """Return true if the whole prompt is evaluated."""
        return self.evaluated == len(self.prompt)

    @property
    def position(self) -> int:
        """Return the position of the last generated token in the sequence."""
        return len(self.prompt) + self.generated - 1

    def append(self, token: int, piece: bytes) -> None:
        """Append `token` with the text `piece`. Set `end` if the answer is complete."""
        if not self.generated:
            self._began_ns = perf_counter_ns()
        self.last_token = token
        if self.prompt_lookup is not None:
            self.prompt_lookup.append(token)
        self.generated += 1
        self.tokens_left -= 1
        text = self._text
        since = max(0, len(text) - self._overlap)
        text += piece
        if self._stops:
            found = [at for stop in self._stops if (at := text.find(stop, since)) >= 0]
            if found:
                del text[min(found) :]
                self.end = "stop"
                return
        if self.tokens_left <= 0:
            self.end = "length"

    def choose(self, logits: Any) -> None:
        """Take the logits of the choices, and end with the likeliest one.

        Shape: logits (vocabulary,) float32.
        """
        self.choice_logits = tuple(float(logits[tokens[0]]) for tokens in self.choices or ())
        best = max(range(len(self.choice_logits)), key=self.choice_logits.__getitem__)
        self._text += self.request.choices[best].encode()
        self.end = "stop"

    def refuse(self, error: str) -> None:
        """End the sequence without an answer."""
        self.end, self.error = "refused", error

    def result(self) -> GenerationResult:
        """Decode the text so far.

        Bytes that are not UTF-8 become U+FFFD; a character that is cut off at the end is left out.
        """
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(
            bytes(self._text), final=self.end == "stop"
        )
        generating_ms = (
            round((perf_counter_ns() - self._began_ns) / 1e6, 3) if self.generated else 0.0
        )
        return GenerationResult(
            number=self.request.number,
            text=self.error or text,
            end=self.end or "cancelled",
            prompt_tokens=len(self.prompt),
            tokens=self.generated,
            generating_ms=generating_ms,
            choice_logits=self.choice_logits,
            are_whole=all(len(tokens) == 1 for tokens in self.choices or ()),
        )
