"""Make a language model a backend: ask, parse, check, and apply the violation policy.

The loop uses a model only to complete text (`TextModel`), and a record only by its `Task`. It
returns an answer only if the rules support the answer or its status tells what happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from finops_cli.domain.enums import OnViolation, ProsePolicy, Status
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.errors import UsageError
from finops_cli.kb.chapters.models import ModelSettings
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models import response_parser
from finops_cli.models.failures import ModelError
from finops_cli.models.prompts import EMPTY_THINK, neutralise
from finops_cli.models.protocol import (
    Answer,
    Attempt,
    AttemptError,
    CanReload,
    CompletionRequest,
    HasEndpoints,
    TextModel,
)
from finops_cli.models.tasks import Task, answer_schema, resolver_task, triage_task
from finops_cli.models.token_estimate import estimated_tokens
from finops_cli.verify.codecs import Codec
from finops_cli.verify.sentences.check import UNVERIFIABLE, is_about_sentence

A = TypeVar("A", bound=msgspec.Struct)


class VerifiedBackend:
    """A language model as a backend."""

    def __init__(
        self,
        model: TextModel,
        kb: KnowledgeBase,
        on_violation: OnViolation,
        prose: ProsePolicy = "strict",
    ) -> None:
        self.origin = model.origin._replace(is_model=True)
        self._model = model
        self._kb = kb
        self._policy = on_violation
        self._prose = prose

    @property
    def concurrency(self) -> int:
        return self._model.concurrency

    @property
    def must_alternate(self) -> bool:
        return self._model.must_alternate

    def prepare(self, stage: StageName) -> None:
        self._model.prepare(stage)

    def triage(self, fail: FailRecord) -> Answer[Triage]:
        task = triage_task(fail, self._kb, self._model.modelfile("triage"))
        return VerificationLoop(task, self._model, self._kb, self._policy, self._prose).run()

    def resolve(self, case: ResolverInput) -> Answer[Resolution]:
        task = resolver_task(case, self._kb, self._model.modelfile("resolver"))
        return VerificationLoop(task, self._model, self._kb, self._policy, self._prose).run()

    def model_changes(self) -> tuple[str, ...]:
        return self._model.model_changes()

    def endpoint_states(self) -> dict[str, str]:
        """Return the state of each server of the model; empty for a model without servers."""
        return self._model.endpoint_states() if isinstance(self._model, HasEndpoints) else {}

    def reload(self, stage: StageName) -> None:
        """Load the model of a stage again. Raises UsageError where its runtime cannot."""
        if not isinstance(self._model, CanReload):
            raise UsageError(f"{self.origin.name} cannot load a model again", "start it again")
        self._model.reload(stage)

    def close(self) -> None:
        self._model.close()


class ParsedReply(NamedTuple, Generic[A]):
    """One attempt, parsed and checked."""

    answer: A | None
    """None if the text could not be parsed; then `findings` give the reason."""
    findings: list[Finding]
    format_warnings: tuple[str, ...] = ()
    reasoning: str | None = None
    server_errors: tuple[str, ...] = ()
    """Rules of the server's failures before this text."""
    can_retry: bool = True


def parse_and_check(
    task: Task[A], text: str, expects_reasoning: bool, settings: ModelSettings
) -> ParsedReply[A]:
    """Parse the text that a model generated for `task`, and check the answer in it."""
    response = response_parser.parse_response(text, settings, expects_reasoning)
    if isinstance(response, Finding):
        reasoning = response_parser.find_reasoning(text, settings)
        return ParsedReply(None, [response], reasoning=reasoning)
    answer = task.codec.read(response.value)
    if answer is None:
        findings = [
            Finding(
                rule=problem.rule,
                path=problem.path,
                expected=problem.accepted,
                actual=problem.value,
                message=problem.message,
            )
            for problem in task.codec.explain(response.value)
        ]
        return ParsedReply(None, findings, response.format_warnings, response.reasoning)
    return ParsedReply(answer, task.check(answer), response.format_warnings)


@dataclass(slots=True)
class VerificationLoop(Generic[A]):
    """The attempts at one task."""

    task: Task[A]
    model: TextModel
    kb: KnowledgeBase
    policy: OnViolation
    prose: ProsePolicy = "strict"
    attempt_log: list[Attempt] = field(default_factory=list)
    attempt_errors: list[AttemptError] = field(default_factory=list)

    def run(self) -> Answer[A]:
        """Ask until an answer passes or the policy allows no further attempt. Then settle."""
        best: ParsedReply[A] | None = None
        for number in range(1, max(self.kb.models.attempts.values()) + 1):
            reply = self._ask(number, best)
            passed = reply.answer is not None and not self._violations(reply.findings)
            if reply.server_errors or not passed:
                self.attempt_errors.append(_attempt_error(self.task.stage, number, reply))
            if passed:
                return self._accept(reply)
            best = _better_of(best, reply)
            if not self._may_retry(reply, number):
                break
        assert best is not None  # noqa: S101 - the first attempt sets it; the kb refuses 0 attempts
        return self._settle(best)

    def _violations(self, findings: list[Finding]) -> list[Finding]:
        """List the findings that make an answer wrong.

        A sentence that cannot be judged does not, nor does any sentence with --prose keep.
        """
        if self.prose == "keep":
            return [each for each in findings if not is_about_sentence(each)]
        return [each for each in findings if each.rule != UNVERIFIABLE]

    def _accept(self, reply: ParsedReply[A]) -> Answer[A]:
        """Accept an answer that is right; with --prose strict without its unjudged sentences.

        A number that differs by less than the tolerance (kb: `check.tolerance`) is written as the
        rules give it.
        """
        if reply.answer is None:
            return self._answer(None, reply)
        blamed = [] if self.prose == "keep" else reply.findings
        exact = self.task.repair(reply.answer, blamed)
        if blamed:
            return self._answer(exact or self.task.reference, reply, "repaired")
        return self._answer(exact or reply.answer, reply)

    def _may_retry(self, reply: ParsedReply[A], number: int) -> bool:
        if not reply.can_retry:
            return False
        allowed = self.kb.models.attempts
        if self.policy == "retry":
            return number < allowed["retry"]
        return reply.answer is None and number < allowed["structural"]

    def _settle(self, best: ParsedReply[A]) -> Answer[A]:
        """Repair or replace the best answer, or fail, if no attempt passed."""
        if self.policy == "reject":
            return self._answer(None, best, "failed")
        if self.policy in ("repair", "retry") and best.answer is not None:
            blamed = self._violations(best.findings) if self.prose == "keep" else best.findings
            repaired = self.task.repair(best.answer, blamed)
            if repaired is not None and not self._violations(self.task.check(repaired)):
                return self._answer(repaired, best, "repaired")
        return self._answer(self.task.reference, best, "fallback")

    def _answer(self, value: A | None, reply: ParsedReply[A], status: Status = "ok") -> Answer[A]:
        return Answer(
            value,
            status,
            findings=reply.findings,
            attempts=len(self.attempt_log),
            attempt_errors=tuple(self.attempt_errors),
            format_warnings=reply.format_warnings,
            attempt_log=tuple(self.attempt_log),
        )

    def _ask(self, number: int, best: ParsedReply[A] | None) -> ParsedReply[A]:
        """Make one attempt.

        After an answer that could not be parsed, the next one is constrained to the schema and
        continues the earlier reasoning.
        """
        prompt = self.task.prompt.text
        too_long = self._find_too_long(prompt)
        if too_long is not None:
            return ParsedReply(None, [too_long], can_retry=False)
        constrained = best is not None and best.answer is None
        if constrained and self.task.prompt.thinks:
            prompt = self._with_reasoning(prompt, best.reasoning if best is not None else None)
        request = CompletionRequest(
            self.task.stage,
            prompt,
            seed=self.kb.models.seed + number - 1,
            schema=_schema(self.task.codec) if constrained else None,
            max_tokens=self._tokens_left(prompt) if constrained else None,
            is_repeat=number > 1,
        )
        try:
            completion = self.model.complete(request)
        except ModelError as failure:
            return self._record_failure(number, request, failure)
        self.attempt_log.append(
            Attempt(
                attempt=number,
                seed=request.seed,
                constrained=constrained and not completion.is_unconstrained,
                text=completion.text,
                tokens=UNSET if completion.tokens is None else completion.tokens,
                generating_ms=(
                    UNSET if completion.generating_ms is None else completion.generating_ms
                ),
            )
        )
        expects_reasoning = self.task.prompt.thinks and not constrained
        reply = parse_and_check(self.task, completion.text, expects_reasoning, self.kb.models)
        if completion.is_unconstrained:
            reply = reply._replace(format_warnings=(*reply.format_warnings, "reply.unconstrained"))
        return reply._replace(server_errors=completion.overcome)

    def _record_failure(
        self, number: int, request: CompletionRequest, failure: ModelError
    ) -> ParsedReply[A]:
        text = failure.received or None
        self.attempt_log.append(
            Attempt(
                attempt=number,
                seed=request.seed,
                constrained=request.schema is not None,
                text=text,
                failure=failure.rule,
            )
        )
        return ParsedReply(
            None,
            [
                Finding(
                    rule=failure.rule,
                    path="",
                    expected="an answer",
                    actual=None,
                    message=failure.detail,
                )
            ],
            reasoning=response_parser.find_reasoning(text, self.kb.models) if text else None,
            server_errors=failure.overcome,
            can_retry=failure.policy == "once more",
        )

    def _find_too_long(self, prompt: str) -> Finding | None:
        """Estimate the prompt before it is sent; a prompt is never truncated to fit."""
        available, tokens = self._prompt_budget(), estimated_tokens(prompt)
        if tokens <= available:
            return None
        message = (
            f"the prompt is about {tokens:,} tokens, the context has room for {available:,} and an"
            " answer; it was not sent"
        )
        return Finding(
            rule="reply.context", path="", expected=available, actual=tokens, message=message
        )

    def _prompt_budget(self) -> int:
        """Return the tokens of the context that a prompt may use."""
        stage = self.task.stage
        return self.model.context_size(stage) - self.kb.models.tokens[f"{stage}_reserve"]

    def _tokens_left(self, prompt: str) -> int:
        """Return the tokens of the context after `prompt`; a further attempt may use them all."""
        return max(1, self.model.context_size(self.task.stage) - estimated_tokens(prompt))

    def _with_reasoning(self, prompt: str, reasoning: str | None) -> str:
        """Continue `prompt` with the reasoning of an earlier attempt, if it fits.

        Then only the JSON has to be generated again.
        """
        text = neutralise((reasoning or "").strip())
        continued = f"{prompt}{response_parser.OPENED}\n{text}\n{response_parser.CLOSED}\n\n"
        if reasoning and estimated_tokens(continued) <= self._prompt_budget():
            return continued
        return f"{prompt}{EMPTY_THINK}"


def _better_of(best: ParsedReply[A] | None, reply: ParsedReply[A]) -> ParsedReply[A]:
    """Prefer a parsed answer to an unparsed one. Of two, prefer the later one if it has no more
    findings.
    """
    if best is None or best.answer is None:
        return reply
    if reply.answer is not None and len(reply.findings) <= len(best.findings):
        return reply
    return best


def _attempt_error(stage: StageName, number: int, reply: ParsedReply[Any]) -> AttemptError:
    rules = tuple(sorted({finding.rule for finding in reply.findings}))
    return AttemptError(stage, number, rules, reply.server_errors)


@cache
def _schema(codec: Codec[Any]) -> dict[str, Any]:
    return answer_schema(codec)
