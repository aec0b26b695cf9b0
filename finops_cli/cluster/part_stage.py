"""Answers the parts of a source in the stages of one pool of workers, each part exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Protocol

from finops_cli.cluster.line_stages import STAGES, StagesName
from finops_cli.cluster.part_facts import collect_facts
from finops_cli.cluster.part_files import FinishedPart, PartFiles, PartList
from finops_cli.cluster.part_worker import PartReport, refuse_failure
from finops_cli.cluster.parts import CutPart, Part, cut_copy, open_part, split_part
from finops_cli.domain.finding import Finding
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import BatchResult

RULE = "reply.crashed"


class CutSource(Protocol):
    """Cuts lines into parts."""

    @property
    def path(self) -> Path | None:
        """The file that has the lines of the parts; None: each part has a file of its own."""

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input, by kind."""

    @property
    def blank(self) -> int:
        """The blank lines of the input."""

    def cut(self, skip: int = 0) -> Iterator[CutPart]:
        """Yield the parts that have lines after the first `skip`, in order."""


@dataclass(slots=True, kw_only=True)
class PartStage:
    """The parts of a source, and those who answer them."""

    stages: StagesName = "all"
    source: CutSource
    pipeline: Pipeline
    files: PartFiles
    answer: Callable[[PartFiles, list[Part]], Iterator[PartReport]]
    """Answers parts somewhere, in any order, and yields a report of each."""
    attempts: int
    """Workers that may die of a part before it is split."""
    end: int = 1
    """The number of the line after those of all parts."""
    reused: int = 0
    """The parts that an earlier run had finished."""
    places: Counter[str] = field(default_factory=Counter)
    """The parts that each worker finished."""
    split: int = 0
    """The parts whose workers died too often."""

    def finish(self, skip: int) -> Iterator[FinishedPart]:
        """Yield each part that has lines after the first `skip`, when it is finished.

        First come those of an earlier run.
        """
        self.files.make()
        done: dict[str, FinishedPart] = {}
        todo: list[Part] = []
        self.end, listed = skip + 1, self.files.read_list()
        for cut in self.source.cut(skip):
            self.end = cut.part.end
            todo += self._plan(cut, listed, done)
        self.files.sweep(set(done), {part.name for part in todo})
        self.reused = len(done)
        with self.files.open_list(done) as finished_parts:
            yield from done.values()
            yield from self._answer_all(todo, finished_parts)

    def _plan(
        self, cut: CutPart, listed: dict[str, FinishedPart], done: dict[str, FinishedPart]
    ) -> Iterator[Part]:
        """Yield the parts of a part that must be answered; put finished ones into `done`."""
        part = cut.part
        found, known = self.files.find(part), listed.get(part.name)
        if found is not None and (known is None or known == found):
            done[part.name] = found
            return
        self.files.write_input(cut)
        if any(name.startswith(f"{part.name}-") for name in listed):
            for piece in self._split(part):
                yield from self._plan(piece, listed, done)
        else:
            yield part

    def _answer_all(self, parts: list[Part], finished_parts: PartList) -> Iterator[FinishedPart]:
        """Answer parts; those whose workers die too often are split, and at last marked failed."""
        while parts:
            smaller: list[Part] = []
            for report in self.answer(self.files, parts):
                finished = report.finished
                if report.failure is not None:
                    refuse_failure(report.place, report.failure)
                if finished is None:
                    self.split += 1
                    pieces = self._split(report.part)
                    if pieces:
                        smaller += [piece.part for piece in pieces]
                        for piece in pieces:
                            self.files.write_input(piece)
                        continue
                    finished = self._fail(report.part)
                else:
                    self.places[report.place] += 1
                finished_parts.add(finished)
                yield finished
            parts = smaller

    def _split(self, part: Part) -> list[CutPart]:
        """Split a whole part in halves, and a half in single records; a record gives none."""
        at_most = 1 if "-" in part.name else max(1, (part.lines + 1) // 2)
        return split_part(part, self.files.source_of(part, self.source.path), at_most)

    def _fail(self, part: Part) -> FinishedPart:
        """Write the lines of a part of which every worker died."""
        result = BatchResult(
            first=part.first,
            place=part.place,
            end=part.end_offset,
            is_model=self.pipeline.backend.origin.is_model,
            line_type=self.pipeline.line_type,
        )
        finding = Finding(
            rule=RULE,
            path="",
            expected=None,
            actual=self.attempts,
            message=f"the worker died each of the {self.attempts} times that it had this record;"
            " see the log of its machine",
        )
        fail = STAGES[self.stages].fail
        lines = open_part(part, self.files.source_of(part, self.source.path))
        for number, (line, _) in enumerate(lines, start=part.first):
            fail(result, number, line, finding, self.pipeline)
        return self.files.store(part, result.lines, collect_facts(result))


class HalfDoneSource:
    """The parts that the workers of the first stage have finished, as input of the next stage."""

    path = None

    def __init__(self, first: PartStage) -> None:
        self._first = first

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input, by kind."""
        return self._first.source.dropped

    @property
    def blank(self) -> int:
        """The blank lines of the input."""
        return self._first.source.blank

    def cut(self, skip: int = 0) -> Iterator[CutPart]:
        """Answer every part in the first stage, then yield each with its lines, in order.

        The pieces of a part that was split are one part again.
        """
        finished = sorted(self._first.finish(skip), key=lambda each: each.part.first)
        for name, pieces in groupby(finished, key=lambda each: each.part.name.partition("-")[0]):
            found = list(pieces)
            first, last = found[0].part, found[-1].part
            lines = [line for piece in found for line in BytesIO(self._first.files.read(piece))]
            yield cut_copy(lines, name, first.first, last.end_offset, first.place)
