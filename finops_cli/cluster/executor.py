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

from finops_cli.cluster.part_facts import drop_lines, restore_result
from finops_cli.cluster.part_files import FinishedPart
from finops_cli.cluster.part_stage import PartStage
from finops_cli.errors import Unfinished
from finops_cli.pipeline.scheduler import BatchResult


@dataclass(slots=True)
class PartsExecutor:
    """Answers the lines of a run in parts."""

    open_stages: Callable[[int], tuple[PartStage, ...]]
    """Opens the stages of the parts after so many lines, once the note of the run is written. The
    last one makes the lines of the output.
    """
    stages: tuple[PartStage, ...] = field(init=False, default=())

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input, by kind."""
        return self.stages[-1].source.dropped

    @property
    def blank(self) -> int:
        """The blank lines of the input."""
        return self.stages[-1].source.blank

    def results(self, skip: int) -> Iterator[BatchResult]:
        """Yield the results of the lines after the first `skip`, in order."""
        self.stages = self.open_stages(skip)
        last, turn = self.stages[-1], _Turn(skip + 1)
        for finished in last.finish(skip):
            turn.add(finished)
            yield from _take(last, turn)
        turn.refuse_gap(last.end)
        for stage in self.stages:
            stage.files.tidy()


def _take(stage: PartStage, turn: _Turn) -> Iterator[BatchResult]:
    """Yield the results of the parts whose turn has come."""
    while (finished := turn.take()) is not None:
        part = finished.part
        lines = list(BytesIO(stage.files.read(finished)))
        facts = stage.files.facts(part, finished.sha256)
        if facts is None or len(lines) != part.lines:
            raise Unfinished(
                f"{stage.files.path(part)}: the facts of its lines are missing",
                "run the same command with --resume, which answers the part again",
            )
        result = restore_result(part, lines, facts, stage.pipeline.line_type)
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
