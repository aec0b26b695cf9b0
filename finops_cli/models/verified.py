"""The verified loop: ask, read, judge, and settle by policy. No answer leaves it that the rules do
not bear out, or that is not marked.

What the loop knows of a model is that it says text (`Speaker`); what it knows of a record is its
`Question`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.domain.vocabulary import OnViolation
from finops_cli.kb.book import Book
from finops_cli.models import replies
from finops_cli.models.failures import NoReply
from finops_cli.models.prompts import EMPTY_THINK, neutralised
from finops_cli.models.protocol import Answer, Ask, Attempt, ModelStage, Speaker, Trouble
from finops_cli.models.questions import Question, answer_schema, resolver_question, triage_question
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.verify.schemas import faults
from finops_cli.verify.shapes import RESOLUTION, TRIAGE

A = TypeVar("A", bound=msgspec.Struct)


class Verified:
    """A language model as a backend."""

    def __init__(self, speaker: Speaker, book: Book, on_violation: OnViolation) -> None:
        self.origin = speaker.origin
        self._speaker = speaker
        self._book = book
        self._policy = on_violation

    @property
    def lanes(self) -> int:
        return self._speaker.lanes

    @property
    def in_turns(self) -> bool:
        return self._speaker.in_turns

    def prepare(self, stage: ModelStage) -> None:
        self._speaker.prepare(stage)

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        return Loop(
            triage_question(fail, self._book, self._speaker.modelfile("triage")),
            self._speaker,
            self._book,
            self._policy,
        ).run()

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        return Loop(
            resolver_question(case, self._book, self._speaker.modelfile("resolver")),
            self._speaker,
            self._book,
            self._policy,
        ).run()

    def changes(self) -> tuple[str, ...]:
        return self._speaker.changes()

    def close(self) -> None:
        self._speaker.close()


class Heard(NamedTuple, Generic[A]):
    """One attempt, read and judged.

    `answer` is None when it cannot be read; then `findings` say why.
    """

    answer: A | None
    findings: list[Finding]
    tolerated: tuple[str, ...] = ()
    trace: str | None = None
    server: tuple[str, ...] = ()
    once_more: bool = True


def heard(question: Question[A], text: str, thinks: bool) -> Heard[A]:
    """What a model said to `question`, read and judged; `thinks`: whether reasoning is expected
    before the answer.
    """
    read = replies.read(text, thinks)
    if isinstance(read, Finding):
        return Heard(None, [read], trace=replies.split_trace(text)[0])
    answer = question.shape.read(read.given)
    if answer is None:
        problems = faults(read.given, question.shape.json_schema)
        found = [
            Finding(problem.rule, problem.path, problem.accepted, problem.value, problem.message)
            for problem in problems
        ]
        return Heard(None, found, read.tolerated, trace=read.trace)
    return Heard(answer, question.check(answer), read.tolerated)


@dataclass(slots=True)
class Loop(Generic[A]):
    """The attempts at one question."""

    question: Question[A]
    speaker: Speaker
    book: Book
    policy: OnViolation
    received: list[Attempt] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def run(self) -> Answer[A]:
        """Ask until an answer stands or the policy is at its end; then settle."""
        best: Heard[A] | None = None
        for number in range(1, max(self.book.answering.attempts.values()) + 1):
            heard = self._ask(number, best)
            if heard.answer is not None and not heard.findings:
                if heard.server:
                    self.troubles.append(_trouble(self.question.stage, number, heard))
                return self._answer(heard.answer, heard)
            self.troubles.append(_trouble(self.question.stage, number, heard))
            best = _better(best, heard)
            if not self._asks_again(heard, number):
                break
        assert best is not None  # noqa: S101 - the first attempt sets it; a number of attempts below 1 is refused by kb
        return self._settle(best)

    def _asks_again(self, heard: Heard[A], number: int) -> bool:
        if not heard.once_more:
            return False
        allowed = self.book.answering.attempts
        if self.policy == "retry":
            return number < allowed["retry"]
        return heard.answer is None and number < allowed["structural"]

    def _settle(self, best: Heard[A]) -> Answer[A]:
        """No attempt stood: repair, replace or fail."""
        if self.policy == "reject":
            return self._answer(None, best, "failed")
        if self.policy in ("repair", "retry") and best.answer is not None:
            repaired = self.question.repair(best.answer, best.findings)
            if repaired is not None and not self.question.check(repaired):
                return self._answer(repaired, best, "repaired")
        return self._answer(self.question.reference, best, "fallback")

    def _answer(self, value: A | None, heard: Heard[A], status: Any = "ok") -> Answer[A]:
        troubles, received = tuple(self.troubles), tuple(self.received)
        return Answer(
            value, status, heard.findings, len(received), troubles, heard.tolerated, received
        )

    def _ask(self, number: int, before: Heard[A] | None) -> Heard[A]:
        """One attempt.

        A further one after an answer that could not be read is held to the schema, behind the
        reasoning it had.
        """
        prompt = self.question.prompt.text
        too_long = self._too_long(prompt)
        if too_long is not None:
            return Heard(None, [too_long], once_more=False)
        constrained = before is not None and before.answer is None
        if constrained and self.question.prompt.thinks:
            prompt = self._with_reasoning(prompt, before.trace if before is not None else None)
        seed = self.book.answering.seed + number - 1
        schema = _schema(self.question.stage) if constrained else None
        ask = Ask(
            self.question.stage,
            prompt,
            seed,
            schema,
            self._room(prompt) if constrained else None,
            again=number > 1,
        )
        try:
            spoken = self.speaker.speak(ask)
        except NoReply as failure:
            return self._nothing_heard(number, ask, failure)
        tokens = UNSET if spoken.tokens is None else spoken.tokens
        generating_ms = UNSET if spoken.generating_ms is None else spoken.generating_ms
        self.received.append(
            Attempt(number, seed, constrained, spoken.text, UNSET, tokens, generating_ms)
        )
        thinks = self.question.prompt.thinks and not constrained
        return heard(self.question, spoken.text, thinks)._replace(server=spoken.overcome)

    def _nothing_heard(self, number: int, ask: Ask, failure: NoReply) -> Heard[A]:
        text = failure.received or None
        self.received.append(Attempt(number, ask.seed, ask.schema is not None, text, failure.rule))
        finding = Finding(failure.rule, "", "an answer", None, failure.detail)
        trace = replies.split_trace(failure.received)[0] if failure.received else None
        return Heard(
            None,
            [finding],
            trace=trace,
            server=failure.overcome,
            once_more=failure.policy == "once more",
        )

    def _too_long(self, prompt: str) -> Finding | None:
        """Estimated before sending: a prompt is never cut to fit."""
        room, tokens = self._room_for_prompt(), estimated_tokens(prompt)
        if tokens <= room:
            return None
        message = (
            f"the prompt is about {tokens:,} tokens, the context has room for {room:,} and an"
            " answer; it was not sent"
        )
        return Finding("reply.context", "", room, tokens, message)

    def _room_for_prompt(self) -> int:
        return (
            self.speaker.room(self.question.stage)
            - self.book.answering.tokens[f"{self.question.stage}_reserve"]
        )

    def _room(self, prompt: str) -> int:
        """What the context has left behind `prompt`: a further attempt may use all of it."""
        return max(1, self.speaker.room(self.question.stage) - estimated_tokens(prompt))

    def _with_reasoning(self, prompt: str, trace: str | None) -> str:
        """The reasoning of an earlier attempt as the beginning of the next one, where it fits, so
        that only the JSON is said anew.
        """
        behind = (
            f"{prompt}{replies.OPENED}\n{neutralised((trace or '').strip())}\n{replies.CLOSED}\n\n"
        )
        if trace and estimated_tokens(behind) <= self._room_for_prompt():
            return behind
        return f"{prompt}{EMPTY_THINK}"


def _better(best: Heard[A] | None, heard: Heard[A]) -> Heard[A]:
    """An answer that can be read is better than none; of two, the later one with no more faults."""
    if best is None or best.answer is None:
        return heard
    return heard if heard.answer is not None and len(heard.findings) <= len(best.findings) else best


def _trouble(stage: ModelStage, number: int, heard: Heard[Any]) -> Trouble:
    return Trouble(
        stage, number, tuple(sorted({finding.rule for finding in heard.findings})), heard.server
    )


@cache
def _schema(stage: ModelStage) -> dict[str, Any]:
    return answer_schema(TRIAGE if stage == "triage" else RESOLUTION)
