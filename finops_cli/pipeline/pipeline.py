"""The pipeline: one output line for each input line, whatever its content."""

from __future__ import annotations

from functools import lru_cache, partial
from time import perf_counter_ns
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.allotment import InventoryOrigin
from finops_cli.domain.enums import Status
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.fault import fault_finding
from finops_cli.domain.finding import Damage, Finding, Problem
from finops_cli.domain.headline import Headline
from finops_cli.domain.triage import Triage
from finops_cli.errors import FinopsError
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Backend, Origin
from finops_cli.pipeline.book_parts import Attached
from finops_cli.pipeline.clock import ClockPolicy
from finops_cli.pipeline.earlier_lines import held_of
from finops_cli.pipeline.input_source import default_fail_id, row_of
from finops_cli.pipeline.inputs import InputPolicy
from finops_cli.pipeline.line_pipeline import InputShares, LineType, ProcessedLine, RunIdentity
from finops_cli.pipeline.output import Line, Provenance, Verification, read_line, rejection
from finops_cli.pipeline.parse import ParseResult
from finops_cli.pipeline.redaction import RedactionPolicy
from finops_cli.pipeline.sentiment.tone import BackendWithTone, ToneReader
from finops_cli.pipeline.sequences import (
    NextStage,
    StageContext,
    StageOutcome,
    StageSequence,
    damage_stage,
)
from finops_cli.pipeline.summary import count_line
from finops_cli.rules.headline import make_headline


class PartialResult(NamedTuple):
    """A line between two stages."""

    number: int
    outcome: StageOutcome
    took_ns: int
    """The time that its stages have taken so far, in nanoseconds."""


def _name_of(line: Line) -> str:
    return line.fail_id


class Pipeline:
    """Processes input lines with the stages of a sequence.

    `timed` measures the latency of each line; otherwise it is null. `keeps_raw` keeps the models'
    text even for accepted answers. `redaction` redacts each record before a model reads it; None
    sends text unchanged. `clock` has the moment of the run, and computes the dates
    of the law for the commands that show them; None leaves both out.
    `strict_input` rejects a record that has a warning.
    """

    def __init__(
        self,
        sequence: StageSequence,
        backend: Backend,
        kb: KnowledgeBase,
        timed: bool,
        keeps_raw: bool = False,
        redaction: RedactionPolicy | None = None,
        clock: ClockPolicy | None = None,
        strict_input: bool = False,
        has_rows: bool = False,
        inventory: InventoryOrigin | None = None,
        tone: ToneReader | None = None,
    ) -> None:
        """Keep the parts. `has_rows`: the records are rows of a file, and rejected as such.

        `tone` labels the notes of each record.

        `inventory`: the inventory file of a plan of the whole book.
        """
        self.sequence = sequence
        self.backend: Backend = backend if tone is None else BackendWithTone(backend, tone)
        self.tone = tone
        self.kb = kb
        self.keeps_raw = keeps_raw
        self.redaction = redaction
        self.is_quick = redaction is None and tone is None
        self.moment = clock
        self.clock = clock if sequence.shows_clock else None
        self.inputs = InputPolicy(
            kb,
            as_of=None if clock is None else clock.config.as_of,
            calendar=None if clock is None else clock.calendar,
            is_strict=strict_input,
        )
        self._context = StageContext(backend, kb, self.inputs, redaction, self.clock, tone)
        self.models = sequence.models
        self._has_triage = "triage" in sequence.answers
        self._has_resolution = "resolution" in sequence.answers
        self._has_headline = self._has_triage and self._has_resolution
        self._timed = timed
        self._has_rows = has_rows
        self._share_provenance = lru_cache(maxsize=4096)(
            partial(_make_provenance, backend.origin, kb, inventory)
        )
        self._no_findings = Verification(
            triage=[] if self._has_triage else UNSET,
            resolution=[] if self._has_resolution else UNSET,
        )

    line_type = LineType(read_line, _name_of, count_line, ("fail_id",))

    @property
    def identity(self) -> RunIdentity:
        """Describe the options of this pipeline, for the note of a run."""
        return RunIdentity(
            self.sequence.command,
            strict_input=self.inputs.is_strict,
            clock=None if self.moment is None else self.moment.fingerprint,
            options=None if self.tone is None else self.tone.fingerprint,
        )

    def parse(self, line: bytes) -> ParseResult[Any]:
        """Parse an input line as the first stage does."""
        return self.sequence.parse_line(line, self.inputs)

    def count_shares(self, line: InputLine) -> InputShares:
        """Count the shares that an input line owes; 0 for a line that cannot be used."""
        value = None if isinstance(line, Damage) else self.parse(line).value
        if value is None:
            return InputShares(0)
        held = held_of(value) if self.sequence.plans_alone else None
        return InputShares(self.sequence.shares_owed(value), held)

    def _first_stage(self, line: InputLine, triaged: Answer[Triage] | None = None) -> StageOutcome:
        if isinstance(line, Damage):
            return damage_stage(line, self._context)
        context = self._context if triaged is None else self._context._replace(triaged=triaged)
        outcome = self.sequence.first(line, context)
        if self._has_rows and outcome.problems is not None:
            return replace(outcome, row=row_of(line))
        return outcome

    def process(
        self, number: int, line: InputLine, part: Attached | None = None
    ) -> ProcessedLine[Line]:
        """Return the output of input line `number` (counted from 1).

        `part`: its part of a plan of the whole book. A fault of the program that the line causes
        becomes its output; its neighbours go on.
        """
        started = perf_counter_ns() if self._timed else 0
        try:
            outcome = self._run_stages(line, part)
        except _ENDING:
            raise
        except Exception as error:  # noqa: BLE001 - any fault; the line reports it
            outcome = _faulty(error, line)
        took_ns = perf_counter_ns() - started if self._timed else 0
        return self._finish(number, outcome, took_ns)

    def _run_stages(self, line: InputLine, part: Attached | None) -> StageOutcome:
        outcome = self._first_stage(line)
        if part is not None:
            outcome = replace(outcome, part=part)
        for stage in self.sequence.later:
            outcome = stage.run(outcome, self._context)
        if part is not None and self._has_rows and outcome.problems and isinstance(line, bytes):
            outcome = replace(outcome, row=row_of(line))
        return outcome

    def begin(
        self, number: int, line: InputLine, triaged: Answer[Triage] | None = None
    ) -> PartialResult:
        """Run only the first stage, for models that alternate.

        `triaged`: the answer that another process has for the record; None: the model is asked.
        """
        started = perf_counter_ns() if self._timed else 0
        try:
            outcome = self._first_stage(line, triaged)
        except _ENDING:
            raise
        except Exception as error:  # noqa: BLE001 - any fault; the line reports it
            outcome = _faulty(error, line)
        return PartialResult(number, outcome, perf_counter_ns() - started if self._timed else 0)

    def advance(self, partial: PartialResult, stage: NextStage) -> PartialResult:
        """Run one later stage, for models that alternate."""
        started = perf_counter_ns() if self._timed else 0
        try:
            outcome = stage.run(partial.outcome, self._context)
        except _ENDING:
            raise
        except Exception as error:  # noqa: BLE001 - any fault; the line reports it
            outcome = StageOutcome(given_id=partial.outcome.given_id, fault=fault_finding(error))
        took_ns = perf_counter_ns() - started if self._timed else 0
        return PartialResult(partial.number, outcome, partial.took_ns + took_ns)

    def finish(self, partial: PartialResult) -> ProcessedLine[Line]:
        """Write the output line of a record that has passed every stage."""
        return self._finish(partial.number, partial.outcome, partial.took_ns)

    def _finish(self, number: int, outcome: StageOutcome, took_ns: int) -> ProcessedLine[Line]:
        try:
            line = self._line(number, outcome, took_ns)
        except _ENDING:
            raise
        except Exception as error:  # noqa: BLE001 - any fault; the line reports it
            outcome = StageOutcome(given_id=outcome.given_id, fault=fault_finding(error))
            line = self._line(number, outcome, took_ns)
        return ProcessedLine(line, outcome.given_id, outcome.owed, outcome.held)

    def reject(self, number: int, fail_id: str, problem: Problem) -> Line:
        """Return the output of a line that repeats the `fail_id` of another line."""
        if self.redaction is None:
            return self._line(number, StageOutcome(given_id=fail_id, problems=[problem]), 0)
        problems, masks = self.redaction.redact_problems(None, fail_id, [problem], None)
        return self._line(number, StageOutcome(given_id=fail_id, problems=problems, masks=masks), 0)

    def fail(self, number: int, line: InputLine, finding: Finding) -> ProcessedLine[Line]:
        """Return the output of a line that could not be processed, for the reason `finding`."""
        given_id = line.fail_id if isinstance(line, Damage) else _read_fail_id(line)
        return self._finish(number, StageOutcome(given_id=given_id, fault=finding), 0)

    def name(self, given_id: str) -> str:
        """Return the `fail_id` that the output gives to a record named `given_id`."""
        return given_id if self.redaction is None else self.redaction.name(given_id)

    def _line(self, number: int, outcome: StageOutcome, took_ns: int) -> Line:
        given_id, problems = outcome.given_id, outcome.problems
        place = number if outcome.row is None else outcome.row
        status, attempts, has_findings = _sum_up(outcome)
        triage = None if outcome.triage is None else outcome.triage.value
        plan = None if outcome.resolution is None else outcome.resolution.value
        line = Line(  # with more than 15 keywords, a call of CPython takes four times as long
            fail_id=self.name(given_id) if given_id else default_fail_id(place),
            status=status,
            fail=outcome.summary if self._has_triage else UNSET,
            headline=self._headline(outcome, status) if self._has_headline else UNSET,
            triage=triage if self._has_triage else UNSET,
            resolution=plan if self._has_resolution else UNSET,
            verification=self._verification(outcome) if has_findings else self._no_findings,
            provenance=self._provenance(outcome, attempts, took_ns),
            resolution_skipped=UNSET if outcome.skipped is None else outcome.skipped,
            tone=UNSET if self.tone is None else outcome.tone,
            clock=UNSET if self.clock is None else outcome.clock,
            clock_skipped=UNSET if outcome.clock_skipped is None else outcome.clock_skipped,
            warnings=outcome.warnings or [],
            origin=UNSET if outcome.origin is None else outcome.origin,
            error=UNSET if problems is None else rejection(place, problems),
        )
        if self.sequence.shows_book:
            line = replace(line, allotment=outcome.allotment, book=outcome.place)
        if self.keeps_raw or status == "failed":
            line = replace(line, raw=self._raw(outcome))
        return line

    def _headline(self, outcome: StageOutcome, status: Status) -> Headline | None:
        """Return the one thing to do; None for a line without an answer that stands."""
        fail, triage, plan = outcome.summary, outcome.triage, outcome.resolution
        if status in _WITHOUT_HEADLINE or fail is None or triage is None or triage.value is None:
            return None
        accepted = None if plan is None else plan.value
        return make_headline(fail, triage.value, accepted, outcome.clock, self.kb.headline)

    def _verification(self, outcome: StageOutcome) -> Verification:
        fault = [] if outcome.fault is None else [outcome.fault]
        return Verification(
            triage=[*fault, *_findings(outcome.triage)] if self._has_triage else UNSET,
            resolution=(
                [*([] if self._has_triage else fault), *_findings(outcome.resolution)]
                if self._has_resolution
                else UNSET
            ),
        )

    def _provenance(self, outcome: StageOutcome, attempts: int, took_ns: int) -> Provenance:
        """Return the origin of the answers; lines with equal origin and time share one object."""
        origin = self.backend.origin
        took_us = (took_ns + 500) // 1000 if self._timed else None
        shared = self._share_provenance(attempts > 0, took_us)
        own: dict[str, Any] = {}
        if attempts > 1:
            own["attempts"] = attempts
        if outcome.masks is not None:
            own["masked"] = outcome.masks
        if outcome.clock is not None and self.clock is not None:
            own["clock"] = self.clock.provenance(outcome.clock)
        if origin.is_model:
            own |= _describe_model(origin, outcome)
        return replace(shared, **own) if own else shared

    def _raw(self, outcome: StageOutcome) -> dict[str, Any] | UnsetType:
        """Return the received text of a failed answer, or of every answer if `keeps_raw`."""
        answers = {"triage": outcome.triage, "resolution": outcome.resolution}
        kept = {
            name: [
                attempt if self._timed else replace(attempt, generating_ms=UNSET)
                for attempt in answer.attempt_log
            ]
            for name, answer in answers.items()
            if answer is not None
            and (answer.status == "failed" or (self.keeps_raw and answer.attempt_log))
        }
        return kept or UNSET


_ENDING = (FinopsError, OSError, MemoryError)
"""Errors that end a run: something is missing, or the machine has no room."""


def _faulty(error: Exception, line: InputLine) -> StageOutcome:
    """Return the outcome of a line that caused a fault of the program."""
    given = line.fail_id if isinstance(line, Damage) else _read_fail_id(line)
    return StageOutcome(given_id=given, fault=fault_finding(error))


def _read_fail_id(line: bytes) -> str | None:
    """Read the name of a record, by a way of its own: the usual one may have the fault."""
    try:
        return msgspec.json.decode(line, type=_Named).fail_id
    except UNREADABLE:
        return None


class _Named(msgspec.Struct):
    fail_id: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.ID_CHARS)] | None = None


def _make_provenance(
    origin: Origin,
    kb: KnowledgeBase,
    inventory: InventoryOrigin | None,
    has_answer: bool,
    took_us: int | None,
) -> Provenance:
    """Return the provenance of a line whose answers took one attempt, or of one without answers."""
    return Provenance(
        backend=origin.name,
        models=origin.models,
        kb=kb.version,
        prompt_sha256=origin.prompt_sha256,
        attempts=int(has_answer),
        latency_ms=None if took_us is None else took_us / 1000,
        inventory=UNSET if inventory is None else inventory,
    )


_WITHOUT_HEADLINE = ("rejected", "failed")
_WORST_LAST: tuple[Status, ...] = ("ok", "repaired", "fallback", "failed")


def _sum_up(outcome: StageOutcome) -> tuple[Status, int, bool]:
    """Return the status of a line, the most attempts of its answers, and if it has findings.

    The status is the worst one of its answers.
    """
    worst: Status = "ok"
    attempts, has_findings = 0, False
    for answer in (outcome.triage, outcome.resolution):
        if answer is not None:
            if answer.status != "ok":
                worst = max(worst, answer.status, key=_WORST_LAST.index)
            if answer.attempts > attempts:
                attempts = answer.attempts
            if answer.findings:
                has_findings = True
    if outcome.fault is not None:
        return "failed", attempts, True
    return "rejected" if outcome.problems is not None else worst, attempts, has_findings


def _describe_model(origin: Origin, outcome: StageOutcome) -> dict[str, Any]:
    """Return the provenance that only the answers of models have."""
    answers = [each for each in (outcome.triage, outcome.resolution) if each is not None]
    warnings = {rule for answer in answers for rule in answer.format_warnings}
    errors = tuple(error for answer in answers for error in answer.attempt_errors)
    return {
        "digests": UNSET if origin.digests is None else origin.digests,
        "format_warnings": tuple(sorted(warnings)) or UNSET,
        "attempt_errors": errors or UNSET,
    }


def _findings(answer: Answer[Any] | None) -> list[Finding]:
    return [] if answer is None else list(answer.findings)
