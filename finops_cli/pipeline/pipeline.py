"""The desk: one input line to one output line, whatever the line holds."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from finops_cli.domain.enums import Status
from finops_cli.domain.finding import Problem
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Answer, Backend
from finops_cli.pipeline.output import Line, Provenance, Verification, rejection
from finops_cli.pipeline.redaction import Masks, RedactionPolicy
from finops_cli.pipeline.stages import STAGE_SEQUENCES, Stage, StageOutcome


class ProcessedLine(NamedTuple):
    """An output line, the name its input gave itself (if any), and the shares that the input
    owes.
    """

    line: Line
    given_id: str | None
    owed: int


class PartialResult(NamedTuple):
    """A line behind its first station; `took_ns` is the time that it spent there."""

    number: int
    outcome: StageOutcome
    took_ns: int


class Pipeline:
    """Takes lines through one stage or both.

    `timed`: measure each line's latency (else it is null). `keeps_raw`: keep what was received even
    where an answer stands. `screen`: reads each record before the backend is asked; None where text
    goes as it is.
    """

    def __init__(
        self,
        stage: Stage,
        backend: Backend,
        kb: KnowledgeBase,
        timed: bool,
        keeps_raw: bool = False,
        screen: RedactionPolicy | None = None,
    ) -> None:
        self.stage = stage
        self.backend = backend
        self.kb = kb
        self.keeps_raw = keeps_raw
        self.screen = screen
        self._first, self._then, self.models = STAGE_SEQUENCES[stage]
        self._triages = stage != "resolve"
        self._resolves = stage != "triage"
        self._timed = timed
        self._clean = self._verification(None, None)

    def process(self, number: int, line: bytes) -> ProcessedLine:
        """The output of input line `number` (counted from 1)."""
        started = perf_counter_ns() if self._timed else 0
        outcome = self._first(line, self.backend, self.kb, self.screen)
        if self._then is not None:
            outcome = self._then(outcome, self.backend, self.kb)
        took_ns = perf_counter_ns() - started if self._timed else 0
        return ProcessedLine(self._line(number, outcome, took_ns), outcome.given_id, outcome.owed)

    def begin(self, number: int, line: bytes) -> PartialResult:
        """The first station alone, for models that take turns."""
        started = perf_counter_ns() if self._timed else 0
        outcome = self._first(line, self.backend, self.kb, self.screen)
        return PartialResult(number, outcome, perf_counter_ns() - started if self._timed else 0)

    def finish(self, begun: PartialResult) -> ProcessedLine:
        """The stations after the first."""
        number, outcome, took_ns = begun
        if self._then is not None:
            started = perf_counter_ns() if self._timed else 0
            outcome = self._then(outcome, self.backend, self.kb)
            took_ns += perf_counter_ns() - started if self._timed else 0
        return ProcessedLine(self._line(number, outcome, took_ns), outcome.given_id, outcome.owed)

    def reject(self, number: int, fail_id: str, problem: Problem) -> Line:
        """The output of a line that its neighbours rule out."""
        if self.screen is None:
            return self._line(number, StageOutcome(fail_id, problems=[problem]), 0)
        problems, masks = self.screen.redact_problems(None, fail_id, [problem], None)
        return self._line(number, StageOutcome(fail_id, problems=problems, masks=masks), 0)

    def name(self, given_id: str) -> str:
        """How the output calls a record that is called `given_id`."""
        return given_id if self.screen is None else self.screen.name(given_id)

    def _line(self, number: int, outcome: StageOutcome, took_ns: int) -> Line:
        given_id, _, triage, resolution, skipped, problems, _, masks = outcome
        if self.screen is not None and given_id is not None:
            given_id = self.screen.name(given_id)
        status = "rejected" if problems is not None else _worst(triage, resolution)
        return Line(
            fail_id=given_id or default_fail_id(number),
            status=status,
            triage=_standing(triage) if self._triages else UNSET,
            resolution=_standing(resolution) if self._resolves else UNSET,
            verification=(
                self._clean
                if status in _WITHOUT_FINDINGS
                else self._verification(triage, resolution)
            ),
            provenance=self._provenance(triage, resolution, took_ns, masks),
            resolution_skipped=UNSET if skipped is None else skipped,
            error=UNSET if problems is None else rejection(number, problems),
            raw=self._raw(triage, resolution) if self.keeps_raw or status == "failed" else UNSET,
        )

    def _verification(
        self, triage: Answer[Any] | None, resolution: Answer[Any] | None
    ) -> Verification:
        return Verification(
            (
                list(triage.findings)
                if self._triages and triage is not None
                else []
                if self._triages
                else UNSET
            ),
            (
                list(resolution.findings)
                if self._resolves and resolution is not None
                else []
                if self._resolves
                else UNSET
            ),
        )

    def _provenance(
        self,
        triage: Answer[Any] | None,
        resolution: Answer[Any] | None,
        took_ns: int,
        masks: Masks | None,
    ) -> Provenance:
        name, models, digests, prompt_sha256, _ = self.backend.origin
        latency_ms = round(took_ns / 1e6, 3) if self._timed else None
        first, second = (
            0 if triage is None else triage.attempts,
            (0 if resolution is None else resolution.attempts),
        )
        attempts = max(second, first)
        told = Provenance(name, models, self.kb.version, prompt_sha256, attempts, latency_ms)
        if masks is not None:
            told.masked = masks
        if digests is None:
            return told
        answers = [answer for answer in (triage, resolution) if answer is not None]
        told.digests = digests
        told.format_warnings = (
            tuple(sorted({rule for answer in answers for rule in answer.format_warnings})) or UNSET
        )
        told.attempt_errors = (
            tuple(error for answer in answers for error in answer.attempt_errors) or UNSET
        )
        return told

    def _raw(
        self, triage: Answer[Any] | None, resolution: Answer[Any] | None
    ) -> dict[str, Any] | UnsetType:
        """What was received: of an answer that failed, or of every answer."""
        answers = {"triage": triage, "resolution": resolution}
        kept = {
            stage: [
                attempt if self._timed else replace(attempt, generating_ms=UNSET)
                for attempt in answer.attempt_log
            ]
            for stage, answer in answers.items()
            if answer is not None
            and (answer.status == "failed" or (self.keeps_raw and answer.attempt_log))
        }
        return kept or UNSET


def default_fail_id(number: int) -> str:
    """What an output line is called whose input names itself not: its line."""
    return f"line-{number}"


_WITHOUT_FINDINGS = ("ok", "rejected")
_WORST_LAST: tuple[Status, ...] = ("ok", "repaired", "fallback", "failed")


def _worst(triage: Answer[Any] | None, resolution: Answer[Any] | None) -> Status:
    """The status of a line: that of its worse answer."""
    if (triage is None or triage.status == "ok") and (
        resolution is None or resolution.status == "ok"
    ):
        return "ok"
    return max(
        (answer.status for answer in (triage, resolution) if answer is not None),
        key=_WORST_LAST.index,
    )


def _standing(answer: Answer[Any] | None) -> Any:
    return None if answer is None else answer.value
