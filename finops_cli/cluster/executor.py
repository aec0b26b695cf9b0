"""Answers the lines of a run on a cluster, and yields the results in the order of the input.

The input is cut into parts, which workers answer in any order. Results of parts whose turn has come
are yielded, so that the output grows as in a local run: it is its own journal, and
`--resume` continues it with either executor. Finished parts that the output does not have yet are
kept, and not answered again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from io import BytesIO

from finops_cli.cluster.part_facts import collect_facts, drop_lines, restore_result
from finops_cli.cluster.part_files import FinishedPart, PartFiles, PartList
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_worker import PartReport, refuse_failure
from finops_cli.cluster.parts import CutPart, Part, open_part, split_part
from finops_cli.domain.finding import Finding
from finops_cli.errors import Unfinished
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import BatchResult

RULE = "reply.crashed"


@dataclass(slots=True, kw_only=True)
class PartsExecutor:
    """Answers the lines of a run in parts."""

    source: PartSource
    pipeline: Pipeline
    files: Callable[[], PartFiles]
    """Returns the folder of the parts, once the note of the run is written."""
    answer: Callable[[PartFiles, list[Part]], Iterator[PartReport]]
    """Answers parts somewhere, in any order, and yields a report of each."""
    attempts: int
    """Workers that may die of a part before it is split."""
    reused: int = 0
    """The parts that an earlier run had finished."""
    places: Counter[str] = field(default_factory=Counter)
    """The parts that each worker finished."""
    split: int = 0
    """The parts whose workers died too often."""

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input, by kind."""
        return self.source.dropped

    @property
    def blank(self) -> int:
        """The blank lines of the input."""
        return self.source.blank

    def results(self, skip: int) -> Iterator[BatchResult]:
        """Yield the results of the lines after the first `skip`, in order."""
        files = self.files()
        files.make()
        done: dict[str, FinishedPart] = {}
        todo: list[Part] = []
        end, listed = skip + 1, files.read_list()
        for cut in self.source.cut():
            end = cut.part.end
            if end > skip + 1:
                todo += self._plan(files, cut, listed, done)
        files.sweep(set(done), {part.name for part in todo})
        self.reused = len(done)
        turn = _Turn(skip + 1)
        with files.open_list(done) as finished_parts:
            for finished in done.values():
                turn.add(finished)
            yield from self._take(files, turn)
            for finished in self._finish(files, todo, finished_parts):
                turn.add(finished)
                yield from self._take(files, turn)
        turn.refuse_gap(end)
        files.tidy()

    def _plan(
        self,
        files: PartFiles,
        cut: CutPart,
        listed: dict[str, FinishedPart],
        done: dict[str, FinishedPart],
    ) -> Iterator[Part]:
        """Yield the parts of a part that must be answered; put finished ones into `done`."""
        part = cut.part
        found, known = files.find(part), listed.get(part.name)
        if found is not None and (known is None or known == found):
            done[part.name] = found
            return
        files.write_input(cut)
        if any(name.startswith(f"{part.name}-") for name in listed):
            for piece in self._split(files, part):
                yield from self._plan(files, piece, listed, done)
        else:
            yield part

    def _finish(
        self, files: PartFiles, parts: list[Part], finished_parts: PartList
    ) -> Iterator[FinishedPart]:
        """Answer parts; those whose workers die too often are split, and at last marked failed."""
        while parts:
            smaller: list[Part] = []
            for report in self.answer(files, parts):
                finished = report.finished
                if report.failure is not None:
                    refuse_failure(report.place, report.failure)
                if finished is None:
                    self.split += 1
                    pieces = self._split(files, report.part)
                    if pieces:
                        smaller += [piece.part for piece in pieces]
                        for piece in pieces:
                            files.write_input(piece)
                        continue
                    finished = self._fail(files, report.part)
                else:
                    self.places[report.place] += 1
                finished_parts.add(finished)
                yield finished
            parts = smaller

    def _split(self, files: PartFiles, part: Part) -> list[CutPart]:
        """Split a whole part in halves, and a half in single records; a record gives none."""
        at_most = 1 if "-" in part.name else max(1, (part.lines + 1) // 2)
        return split_part(part, files.source_of(part, self.source.path), at_most)

    def _fail(self, files: PartFiles, part: Part) -> FinishedPart:
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
        lines = open_part(part, files.source_of(part, self.source.path))
        for number, (line, _) in enumerate(lines, start=part.first):
            result.append(number, self.pipeline.fail(number, line, finding))
        return files.store(part, result.lines, collect_facts(result))

    def _take(self, files: PartFiles, turn: _Turn) -> Iterator[BatchResult]:
        """Yield the results of the parts whose turn has come."""
        while (finished := turn.take()) is not None:
            part = finished.part
            lines = list(BytesIO(files.read(finished)))
            facts = files.facts(part, finished.sha256)
            if facts is None or len(lines) != part.lines:
                raise Unfinished(
                    f"{files.path(part)}: the facts of its lines are missing",
                    "run the same command with --resume, which answers the part again",
                )
            result = restore_result(part, lines, facts, self.pipeline.line_type)
            has_already = turn.next_line - part.first
            turn.next_line = part.end
            yield drop_lines(result, has_already) if has_already else result


class _Turn:
    """The finished parts that wait for the parts before them."""

    def __init__(self, next_line: int) -> None:
        self.next_line = next_line
        self._waiting: list[tuple[int, FinishedPart]] = []

    def add(self, finished: FinishedPart) -> None:
        """Let a part wait for its turn."""
        heappush(self._waiting, (finished.part.first, finished))

    def take(self) -> FinishedPart | None:
        """Return the part with the next line; None where it is not finished."""
        if self._waiting and self._waiting[0][0] <= self.next_line:
            return heappop(self._waiting)[1]
        return None

    def refuse_gap(self, end: int) -> None:
        """Raise Unfinished where lines before the line `end` are missing."""
        if self.next_line < end:
            raise Unfinished(
                f"the lines from {self.next_line:,} on are missing", "run it again with --resume"
            )
