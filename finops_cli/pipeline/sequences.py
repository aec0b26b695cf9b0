"""The stages that a record passes, and the sequences of them that the commands run.

To add a stage, write a function that turns one StageOutcome into the next and put it in a
StageSequence; the pipeline, the scheduler and the resume note know sequences only by their fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage, Finding, Problem
from finops_cli.domain.headline import FailSummary, summarize
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.domain.sentiment import Tone
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.guard.records import keep_events, mask_clock
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Backend
from finops_cli.pipeline.book_parts import Attached, resolve_part
from finops_cli.pipeline.case_lines import NoCase, read_no_case
from finops_cli.pipeline.clock import NO_AS_OF, ClockPolicy, missing_as_of
from finops_cli.pipeline.earlier_lines import count_held
from finops_cli.pipeline.inputs import InputPolicy, as_problem
from finops_cli.pipeline.output import LineOrigin, line_origin
from finops_cli.pipeline.parse import (
    ParseResult,
    parse_case,
    parse_case_line,
    parse_fail,
    parse_fail_line,
)
from finops_cli.pipeline.redaction import Masks, Parse, RedactionPolicy, WithholdText
from finops_cli.pipeline.sentiment.tone import ToneReader
from finops_cli.rules.contradictions import find_case_contradictions
from finops_cli.rules.deadlines import by_regulation
from finops_cli.rules.handoff import NotApplicable, find_obstacle, handoff

Command = Literal["run", "book", "triage", "resolve"]
"""The commands that take records through the pipeline."""

AnswerName = Literal["triage", "resolution"]
"""The fields of an output line that hold an answer."""


class StageOutcome(Struct, frozen=True, kw_only=True):
    """The result of one input line so far. A stage returns a changed copy (`msgspec.structs`)."""

    given_id: str | None
    """The `fail_id` of the input, if it has one."""
    owed: int = 0
    """Shares of stock."""
    triage: Answer[Triage] | None = None
    resolution: Answer[Resolution] | None = None
    skipped: str | None = None
    problems: list[Problem] | None = None
    """The reasons why the line could not be used."""
    row: int | None = None
    """The row of the file that is rejected; other inputs are counted."""
    fail: FailRecord | None = None
    """The record that the resolver stage reads."""
    masks: Masks | None = None
    """The kinds of personal data that the guard masked."""
    clock: Clock | None = None
    """The dates of the law; None where they are not computed."""
    clock_skipped: str | None = None
    """The reason why a line of `run` has no clock."""
    warnings: list[Finding] | None = None
    """The contradictions of the record; None if it could not be read."""
    origin: LineOrigin | None = None
    """The facts that the record left out; None if it gives every fact."""
    fault: Finding | None = None
    """The exception that the record raised, a fault of the program."""
    summary: FailSummary | None = None
    """The facts of the record that its line shows; None for a case or an unusable line."""
    part: Attached | None = None
    """The part of a plan of the whole book that concerns the fail."""
    allotment: tuple[AllottedShares, ...] | None = None
    tone: Tone | None = None
    """The tone of its notes; None without notes, or where nobody asks for it."""
    place: BookPlace | None = None
    """Its place among the fails of its security."""
    held: tuple[int, ...] | None = None
    """The shares of the sources that a plan by the record alone may use, by kind."""


class StageContext(NamedTuple):
    """The objects that the stages of a run share."""

    backend: Backend
    kb: KnowledgeBase
    inputs: InputPolicy
    """Completes the records and finds their contradictions."""
    redaction: RedactionPolicy | None = None
    clock: ClockPolicy | None = None
    """Computes the clock of each record; None for commands that do not show it."""
    tone: ToneReader | None = None
    """Labels the notes of each record; None where nobody asks for it."""
    triaged: Answer[Triage] | None = None
    """The answer that another process has for the record; None: the backend is asked."""


FirstStage = Callable[[bytes, StageContext], StageOutcome]
LaterStage = Callable[[StageOutcome, StageContext], StageOutcome]


def triage_stage(line: bytes, context: StageContext) -> StageOutcome:
    """Triage a fail record."""
    redaction, inputs = context.redaction, context.inputs
    parsed = parse_fail_line(line, inputs)
    fail, given_id = parsed.value, parsed.fail_id
    if fail is None:
        return _rejected(
            line, given_id, parsed.problems, redaction, lambda given: parse_fail(given, inputs)
        )
    warnings = inputs.find_warnings(fail)
    if warnings and inputs.is_strict:
        return _rejected(None, given_id, [as_problem(each) for each in warnings], redaction, None)
    given, masks = fail, None
    if redaction is not None:
        fail, masks = redaction.fail(fail)
    clock = skipped = None
    if context.clock is not None:
        clock, skipped, refused = _compute_clock(fail, given, context.clock, redaction)
        if refused:
            return _rejected(None, given_id, refused, redaction, None)
    return StageOutcome(
        given_id=given_id,
        owed=fail.qty,
        triage=context.triaged or context.backend.triage(fail),
        fail=fail,
        masks=masks,
        clock=clock,
        clock_skipped=skipped,
        warnings=warnings,
        origin=line_origin(fail, inputs.as_of, warnings),
        summary=summarize(fail),
        tone=None if context.tone is None else _read_tone(fail, context.tone, redaction),
    )


def _read_tone(
    fail: FailRecord, reader: ToneReader, redaction: RedactionPolicy | None
) -> Tone | None:
    """Return the tone of the masked notes of a record."""
    return reader.read(fail.notes, is_withheld=isinstance(redaction, WithholdText))


def _compute_clock(
    fail: FailRecord,
    given: FailRecord,
    policy: ClockPolicy,
    redaction: RedactionPolicy | None,
) -> tuple[Clock | None, str | None, list[Problem]]:
    """Return the clock, else the reason why the line has none, else why the line is rejected.

    `fail` is the masked form of `given`. A plan by the law's days needs the clock. Otherwise a
    record without one is still triaged.
    """
    found = policy.compute(fail if redaction is None else keep_events(fail, given))
    if isinstance(found, Clock):
        return mask_clock(found, given, fail), None, []
    if found is not None and redaction is not None:
        found = redaction.clock_problem(found)
    if policy.is_regulation:
        return None, None, [found or missing_as_of()]
    return None, NO_AS_OF if found is None else found.message, []


def resolve_stage(outcome: StageOutcome, context: StageContext) -> StageOutcome:
    """Resolve a fail that was triaged.

    A fail without an accepted triage is not handed on.
    """
    fail, first = outcome.fail, outcome.triage
    if fail is None or first is None:
        return outcome
    if first.value is None:
        return replace(outcome, fail=None, skipped="the triage does not stand")
    case = handoff(fail, first.value, context.kb)
    if isinstance(case, NotApplicable):
        return replace(outcome, fail=None, skipped=case.reason)
    case = _add_days(outcome, context, case)
    return replace(
        outcome,
        fail=None,
        resolution=context.backend.resolve(case),
        held=count_held(case.inventory, case.ftrs),
    )


def part_stage(outcome: StageOutcome, context: StageContext) -> StageOutcome:
    """Resolve a fail with its part of a plan of the whole book."""
    fail, first, attached = outcome.fail, outcome.triage, outcome.part
    outcome = replace(outcome, fail=None, part=None)
    if fail is None or first is None or attached is None:
        return outcome
    follows_law = context.clock is not None and context.clock.is_regulation
    law = outcome.clock if follows_law else None
    planned, gridlock = attached.open(fail, first.value, law, context.kb)
    if planned.problems:
        return _rejected(None, outcome.given_id, list(planned.problems), context.redaction, None)
    if first.value is None:
        return replace(outcome, skipped="the triage does not stand")
    found = resolve_part(
        fail, first.value, planned, gridlock, partial(_add_days, outcome, context), context.kb
    )
    if isinstance(found, NotApplicable):
        return replace(outcome, skipped=found.reason)
    return replace(outcome, resolution=found, allotment=planned.allotment, place=planned.place)


def _add_days(outcome: StageOutcome, context: StageContext, case: ResolverInput) -> ResolverInput:
    """Put the law's days into a case, where the plan follows them."""
    if outcome.clock is not None and context.clock is not None and context.clock.is_regulation:
        return by_regulation(case, outcome.clock.deadline_days, outcome.clock.binding)
    return case


def case_stage(line: bytes, context: StageContext) -> StageOutcome:
    """Resolve a case (a resolver input)."""
    backend, kb, redaction = context.backend, context.kb, context.redaction
    passed_on = read_no_case(line)
    if passed_on is not None:
        return _pass_on(passed_on, redaction)
    parsed = parse_case_line(line, kb)
    case, given_id = parsed.value, parsed.fail_id
    if case is None:
        return _rejected(
            line, given_id, parsed.problems, redaction, lambda given: parse_case(given, kb)
        )
    warnings = find_case_contradictions(case, kb)
    if warnings and context.inputs.is_strict:
        return _rejected(None, given_id, [as_problem(each) for each in warnings], redaction, None)
    masks = None
    if redaction is not None:
        case, masks = redaction.case(case)
    obstacle = find_obstacle(case)
    return StageOutcome(
        given_id=given_id,
        owed=case.ftd_qty,
        resolution=backend.resolve(case) if obstacle is None else None,
        skipped=None if obstacle is None else obstacle.reason,
        masks=masks,
        warnings=warnings,
    )


def _pass_on(line: NoCase, redaction: RedactionPolicy | None) -> StageOutcome:
    """Pass on why a fail has no case, as `finops handoff` says it."""
    if line.status == "rejected":
        return _rejected(None, line.fail_id, [line.problem()], redaction, None)
    return StageOutcome(given_id=line.fail_id, skipped=line.no_case, warnings=[])


def damage_stage(damage: Damage, context: StageContext) -> StageOutcome:
    """Reject a row that gave no record."""
    problems = list(damage.problems)
    outcome = _rejected(None, damage.fail_id, problems, context.redaction, None)
    return replace(outcome, row=damage.line)


def _rejected(
    line: bytes | None,
    given_id: str | None,
    problems: list[Problem],
    redaction: RedactionPolicy | None,
    parse: Parse | None,
) -> StageOutcome:
    if redaction is None:
        return StageOutcome(given_id=given_id, problems=problems)
    shown, masks = redaction.redact_problems(line, given_id, problems, parse)
    return StageOutcome(given_id=given_id, problems=shown, masks=masks)


class NextStage(NamedTuple):
    """A stage after the first, and the model that it asks (None: no model)."""

    run: LaterStage
    model: StageName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSequence:
    """The stages that a command runs for each record."""

    command: str
    """The name of the command in the resume note."""
    parse_line: Callable[[bytes, InputPolicy], ParseResult[Any]]
    """Parse an input line as the first stage does."""
    shares_owed: Callable[[Any], int]
    """Return the shares that a parsed input owes."""
    first: FirstStage
    first_model: StageName | None
    later: tuple[NextStage, ...] = ()
    shows_clock: bool = False
    """True where an output line has the dates of the law."""
    plans_alone: bool = False
    """True where a plan rests on its own record, so that two may promise the same shares."""
    shows_book: bool = False
    """True where an output line has its part of a plan of the whole book."""
    answers: tuple[AnswerName, ...]
    """The answers that an output line of the command has."""

    @property
    def models(self) -> tuple[StageName, ...]:
        """List the models that the stages ask, in order."""
        asked = (self.first_model, *(stage.model for stage in self.later))
        return tuple(model for model in asked if model is not None)


def _parse_case_line(line: bytes, inputs: InputPolicy) -> ParseResult[ResolverInput]:
    return parse_case_line(line, inputs.kb)


def _shares_of_fail(fail: FailRecord) -> int:
    return fail.qty


def _shares_of_case(case: ResolverInput) -> int:
    return case.ftd_qty


SEQUENCES: dict[Command, StageSequence] = {
    "run": StageSequence(
        command="run",
        shows_clock=True,
        plans_alone=True,
        parse_line=parse_fail_line,
        shares_owed=_shares_of_fail,
        first=triage_stage,
        first_model="triage",
        later=(NextStage(resolve_stage, "resolver"),),
        answers=("triage", "resolution"),
    ),
    "book": StageSequence(
        command="book",
        shows_clock=True,
        shows_book=True,
        parse_line=parse_fail_line,
        shares_owed=_shares_of_fail,
        first=triage_stage,
        first_model="triage",
        later=(NextStage(part_stage, "resolver"),),
        answers=("triage", "resolution"),
    ),
    "triage": StageSequence(
        command="triage",
        parse_line=parse_fail_line,
        shares_owed=_shares_of_fail,
        first=triage_stage,
        first_model="triage",
        answers=("triage",),
    ),
    "resolve": StageSequence(
        command="resolve",
        parse_line=_parse_case_line,
        shares_owed=_shares_of_case,
        first=case_stage,
        first_model="resolver",
        answers=("resolution",),
    ),
}
