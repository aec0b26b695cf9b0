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

from finops_cli.domain.enums import OnViolation
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.models.failures import ModelError
from finops_cli.models.prompts import EMPTY_THINK, neutralised
from finops_cli.models.protocol import (
    Answer,
    Attempt,
    AttemptError,
    CompletionRequest,
    ModelStage,
    TextModel,
)
from finops_cli.models.tasks import Task, answer_schema, resolver_task, triage_task
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.verify.codecs import RESOLUTION, TRIAGE
from finops_cli.verify.schemas import schema_errors

A = TypeVar("A", bound=msgspec.Struct)


class VerifiedBackend:
    """A language model as a backend."""

    def __init__(self, speaker: TextModel, kb: KnowledgeBase, on_violation: OnViolation) -> None:
        self.origin = speaker.origin
        self._speaker = speaker
        self._kb = kb
        self._policy = on_violation

    @property
    def concurrency(self) -> int:
        return self._speaker.concurrency

    @property
    def must_alternate(self) -> bool:
        return self._speaker.must_alternate

    def prepare(self, stage: ModelStage) -> None:
        self._speaker.prepare(stage)

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        return VerificationLoop(
            triage_task(fail, self._kb, self._speaker.modelfile("triage")),
            self._speaker,
            self._kb,
            self._policy,
        ).run()

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        return VerificationLoop(
            resolver_task(case, self._kb, self._speaker.modelfile("resolver")),
            self._speaker,
            self._kb,
            self._policy,
        ).run()

    def model_changes(self) -> tuple[str, ...]:
        return self._speaker.model_changes()

    def close(self) -> None:
        self._speaker.close()


class ParsedReply(NamedTuple, Generic[A]):
    """One attempt, read and judged.

    `answer` is None when it cannot be read; then `findings` say why.
    """

    answer: A | None
    findings: list[Finding]
    tolerated: tuple[str, ...] = ()
    trace: str | None = None
    server: tuple[str, ...] = ()
    once_more: bool = True


def parse_and_check(question: Task[A], text: str, thinks: bool) -> ParsedReply[A]:
    """What a model said to `question`, read and judged; `thinks`: whether reasoning is expected
    before the answer.
    """
    read = response_parser.parse_response(text, thinks)
    if isinstance(read, Finding):
        return ParsedReply(None, [read], trace=response_parser.split_reasoning(text)[0])
    answer = question.shape.read(read.given)
    if answer is None:
        problems = schema_errors(read.given, question.shape.json_schema)
        found = [
            Finding(problem.rule, problem.path, problem.accepted, problem.value, problem.message)
            for problem in problems
        ]
        return ParsedReply(None, found, read.tolerated, trace=read.trace)
    return ParsedReply(answer, question.check(answer), read.tolerated)


@dataclass(slots=True)
class VerificationLoop(Generic[A]):
    """The attempts at one question."""

    question: Task[A]
    speaker: TextModel
    kb: KnowledgeBase
    policy: OnViolation
    received: list[Attempt] = field(default_factory=list)
    troubles: list[AttemptError] = field(default_factory=list)

    def run(self) -> Answer[A]:
        """Ask until an answer stands or the policy is at its end; then settle."""
        best: ParsedReply[A] | None = None
        for number in range(1, max(self.kb.models.attempts.values()) + 1):
            parse_and_check = self._ask(number, best)
            if parse_and_check.answer is not None and not parse_and_check.findings:
                if parse_and_check.server:
                    self.troubles.append(_trouble(self.question.stage, number, parse_and_check))
                return self._answer(parse_and_check.answer, parse_and_check)
            self.troubles.append(_trouble(self.question.stage, number, parse_and_check))
            best = _better(best, parse_and_check)
            if not self._asks_again(parse_and_check, number):
                break
        assert best is not None  # noqa: S101 - the first attempt sets it; a number of attempts below 1 is refused by kb
        return self._settle(best)

    def _asks_again(self, parse_and_check: ParsedReply[A], number: int) -> bool:
        if not parse_and_check.once_more:
            return False
        allowed = self.kb.models.attempts
        if self.policy == "retry":
            return number < allowed["retry"]
        return parse_and_check.answer is None and number < allowed["structural"]

    def _settle(self, best: ParsedReply[A]) -> Answer[A]:
        """No attempt stood: repair, replace or fail."""
        if self.policy == "reject":
            return self._answer(None, best, "failed")
        if self.policy in ("repair", "retry") and best.answer is not None:
            repaired = self.question.repair(best.answer, best.findings)
            if repaired is not None and not self.question.check(repaired):
                return self._answer(repaired, best, "repaired")
        return self._answer(self.question.reference, best, "fallback")

    def _answer(
        self, value: A | None, parse_and_check: ParsedReply[A], status: Any = "ok"
    ) -> Answer[A]:
        troubles, received = tuple(self.troubles), tuple(self.received)
        return Answer(
            value,
            status,
            parse_and_check.findings,
            len(received),
            troubles,
            parse_and_check.tolerated,
            received,
        )

    def _ask(self, number: int, before: ParsedReply[A] | None) -> ParsedReply[A]:
        """One attempt.

        A further one after an answer that could not be read is held to the schema, behind the
        reasoning it had.
        """
        prompt = self.question.prompt.text
        too_long = self._too_long(prompt)
        if too_long is not None:
            return ParsedReply(None, [too_long], once_more=False)
        constrained = before is not None and before.answer is None
        if constrained and self.question.prompt.thinks:
            prompt = self._with_reasoning(prompt, before.trace if before is not None else None)
        seed = self.kb.models.seed + number - 1
        schema = _schema(self.question.stage) if constrained else None
        ask = CompletionRequest(
            self.question.stage,
            prompt,
            seed,
            schema,
            self._room(prompt) if constrained else None,
            again=number > 1,
        )
        try:
            spoken = self.speaker.complete(ask)
        except ModelError as failure:
            return self._nothing_heard(number, ask, failure)
        tokens = UNSET if spoken.tokens is None else spoken.tokens
        generating_ms = UNSET if spoken.generating_ms is None else spoken.generating_ms
        self.received.append(
            Attempt(number, seed, constrained, spoken.text, UNSET, tokens, generating_ms)
        )
        thinks = self.question.prompt.thinks and not constrained
        return parse_and_check(self.question, spoken.text, thinks)._replace(server=spoken.overcome)

    def _nothing_heard(
        self, number: int, ask: CompletionRequest, failure: ModelError
    ) -> ParsedReply[A]:
        text = failure.received or None
        self.received.append(Attempt(number, ask.seed, ask.schema is not None, text, failure.rule))
        finding = Finding(failure.rule, "", "an answer", None, failure.detail)
        trace = response_parser.split_reasoning(failure.received)[0] if failure.received else None
        return ParsedReply(
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
            self.speaker.context_size(self.question.stage)
            - self.kb.models.tokens[f"{self.question.stage}_reserve"]
        )

    def _room(self, prompt: str) -> int:
        """What the context has left behind `prompt`: a further attempt may use all of it."""
        return max(1, self.speaker.context_size(self.question.stage) - estimated_tokens(prompt))

    def _with_reasoning(self, prompt: str, trace: str | None) -> str:
        """The reasoning of an earlier attempt as the beginning of the next one, where it fits, so
        that only the JSON is said anew.
        """
        thought = neutralised((trace or "").strip())
        behind = f"{prompt}{response_parser.OPENED}\n{thought}\n{response_parser.CLOSED}\n\n"
        if trace and estimated_tokens(behind) <= self._room_for_prompt():
            return behind
        return f"{prompt}{EMPTY_THINK}"


def _better(best: ParsedReply[A] | None, parse_and_check: ParsedReply[A]) -> ParsedReply[A]:
    """An answer that can be read is better than none; of two, the later one with no more faults."""
    if best is None or best.answer is None:
        return parse_and_check
    return (
        parse_and_check
        if parse_and_check.answer is not None
        and len(parse_and_check.findings) <= len(best.findings)
        else best
    )


def _trouble(stage: ModelStage, number: int, parse_and_check: ParsedReply[Any]) -> AttemptError:
    return AttemptError(
        stage,
        number,
        tuple(sorted({finding.rule for finding in parse_and_check.findings})),
        parse_and_check.server,
    )


@cache
def _schema(stage: ModelStage) -> dict[str, Any]:
    return answer_schema(TRIAGE if stage == "triage" else RESOLUTION)
