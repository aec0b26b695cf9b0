"""The desk: one input line to one output line, whatever the line holds."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType

from finops_cli.domain.finding import Finding, Problem
from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import Triage
from finops_cli.kb.book import Book
from finops_cli.models.protocol import Backend
from finops_cli.pipeline.lines import Line, Provenance, Verification, rejection
from finops_cli.pipeline.stations import STATIONS, Judged, Outcome, Stage

T = TypeVar("T")


class Written(NamedTuple):
    """An output line, the name its input gave itself (if any), and the shares that the input owes."""

    line: Line
    given_id: str | None
    owed: int


class Desk:
    """Takes lines through one stage or both. `timed`: measure each line's latency (else it is null)."""

    def __init__(self, stage: Stage, backend: Backend, book: Book, timed: bool) -> None:
        self.stage = stage
        self.backend = backend
        self.book = book
        self._station = STATIONS[stage]
        self._triages = stage != "resolve"
        self._resolves = stage != "triage"
        self._timed = timed
        self._clean = self._verification(None, None)

    def process(self, number: int, line: bytes) -> Written:
        """The output of input line `number` (counted from 1)."""
        started = perf_counter_ns() if self._timed else 0
        outcome = self._station(line, self.backend, self.book)
        return Written(self._line(number, outcome, started), outcome.given_id, outcome.owed)

    def reject(self, number: int, fail_id: str, problem: Problem) -> Line:
        """The output of a line that its neighbours rule out."""
        return self._line(number, Outcome(fail_id, problems=[problem]), perf_counter_ns())

    def _line(self, number: int, outcome: Outcome, started: int) -> Line:
        given_id, _, triage, resolution, skipped, problems = outcome
        received = _fallen(triage, resolution)
        return Line(
            fail_id=given_id or default_name(number),
            status="ok" if problems is None and received is UNSET else "failed" if problems is None else "rejected",
            triage=_standing(triage) if self._triages else UNSET,
            resolution=_standing(resolution) if self._resolves else UNSET,
            verification=self._clean if received is UNSET else self._verification(triage, resolution),
            provenance=self._provenance(0 if problems is not None else 1, started),
            resolution_skipped=UNSET if skipped is None else skipped,
            error=UNSET if problems is None else rejection(number, problems),
            raw=received,
        )

    def _verification(self, triage: Judged[Triage] | None, resolution: Judged[Resolution] | None) -> Verification:
        return Verification(
            _findings(triage) if self._triages else UNSET,
            _findings(resolution) if self._resolves else UNSET,
        )

    def _provenance(self, attempts: int, started: int) -> Provenance:
        backend = self.backend
        latency_ms = round((perf_counter_ns() - started) / 1e6, 3) if self._timed else None
        return Provenance(backend.name, backend.models, self.book.version, backend.prompt_sha256, attempts, latency_ms)


def default_name(number: int) -> str:
    """What an output line is called whose input names itself not: its line."""
    return f"line-{number}"


def _standing(judged: Judged[T] | None) -> T | None:
    """The answer, when nothing is wrong with it."""
    return None if judged is None or judged.findings else judged.answer


def _fallen(triage: Judged[Triage] | None, resolution: Judged[Resolution] | None) -> dict[str, Any] | UnsetType:
    """Answers with findings, which are only ever kept as raw."""
    if (triage is None or not triage.findings) and (resolution is None or not resolution.findings):
        return UNSET
    judged = {"triage": triage, "resolution": resolution}
    return {name: stage.answer for name, stage in judged.items() if stage is not None and stage.findings}


def _findings(judged: Judged[Any] | None) -> list[Finding]:
    return [] if judged is None else judged.findings
