"""Moves parts of the blotter through the desk and gives the output back in input order.

The engine works in this process or in several. Language models are waited for, by as many threads
as they take records side by side; where they have to take turns, a chunk of records passes the
first before the second begins.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain.enums import GuardMode
from finops_cli.domain.finding import Problem
from finops_cli.files.jsonl import Batch
from finops_cli.files.seen_ids import SeenIds, duplicate
from finops_cli.kb.load import load_kb
from finops_cli.models.engine import Engine
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.parallel import in_threads
from finops_cli.pipeline.output import encode, read_line
from finops_cli.pipeline.pipeline import PartialResult, Pipeline, ProcessedLine
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.stages import Stage
from finops_cli.pipeline.summary import count_line


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Everything that a process needs to set up a desk of its own with the engine."""

    stage: Stage
    kb_dir: Path
    timed: bool
    guard: GuardMode | None = None

    def open(self) -> Pipeline:
        kb = load_kb(self.kb_dir)
        return Pipeline(
            self.stage,
            Engine(kb),
            kb,
            self.timed,
            screen=redaction_policy(self.guard, False, kb),
        )


def work(desk: Pipeline, part: Batch) -> BatchResult:
    """Take every line of `part` through `desk`."""
    done = empty_result(part.first, part.end)
    # a line makes no cycles; looking for them after every few hundred objects costs a tenth
    gc.disable()
    try:
        for number, line in enumerate(part.lines, start=part.first):
            done.take_down(number, desk.process(number, line))
    finally:
        gc.enable()
    return done


def process_lines(
    parts: Iterable[Batch], desk: Pipeline, plan: PipelineConfig, workers: int, seen: SeenIds
) -> Iterator[BatchResult]:
    """Every part, worked by `desk` or by processes that `plan` sets up, in input order, with
    repeated names rejected.
    """
    for done in _worked(parts, desk, plan, workers):
        repeated = seen.register(done.names)
        if repeated:
            names = {number: name for name, number in done.names}
            for number, first in repeated.items():
                _replace(done, number, desk, names[number], duplicate(names[number], first))
        yield done


def _worked(
    parts: Iterable[Batch], desk: Pipeline, plan: PipelineConfig, workers: int
) -> Iterator[BatchResult]:
    if desk.backend.concurrency:
        return through_models(parts, desk)
    return (work(desk, part) for part in parts) if workers == 1 else _crew(parts, plan, workers)


def _crew(parts: Iterable[Batch], plan: PipelineConfig, workers: int) -> Iterator[BatchResult]:
    from finops_cli.parallel import in_processes

    return in_processes(_work_here, parts, workers, _start, (plan,))


def _replace(done: BatchResult, number: int, desk: Pipeline, name: str, problem: Problem) -> None:
    """Put a rejection in the place of the output of line `number`."""
    at = number - done.first
    was, rejected = RunSummary(), RunSummary()
    count_line(was, read_line(done.lines[at]), done.owed[at])
    line = desk.reject(number, name, problem)
    count_line(rejected, line, 0)
    done.tally.add(was, sign=-1)
    done.tally.add(rejected)
    done.lines[at] = encode(line)


_desk_of_this_process: Pipeline


def _start(plan: PipelineConfig) -> None:
    global _desk_of_this_process  # a pool's initializer can hand its work over in no other way
    _desk_of_this_process = plan.open()


def _work_here(part: Batch) -> BatchResult:
    return work(_desk_of_this_process, part)


def through_models(parts: Iterable[Batch], desk: Pipeline) -> Iterator[BatchResult]:
    """Every part, in order.

    A part has few lines here: each is written as soon as those before it are.
    """
    backend = desk.backend
    for stage in desk.models:
        backend.prepare(stage)
    if backend.must_alternate and len(desk.models) > 1:
        yield from _in_turns(iter(parts), desk)
    else:
        yield from in_threads(lambda part: _through(part, desk), parts, backend.concurrency)


def _through(part: Batch, desk: Pipeline) -> BatchResult:
    return _taken_down(
        part,
        (desk.process(number, line) for number, line in enumerate(part.lines, start=part.first)),
    )


def _in_turns(parts: Iterator[Batch], desk: Pipeline) -> Iterator[BatchResult]:
    """A chunk passes stage 1 whole before it enters stage 2: changing over loads a model."""
    backend, (first, second) = desk.backend, desk.models
    while chunk := list(islice(parts, desk.kb.models.alternation_batch)):
        backend.prepare(first)
        begun = list(in_threads(lambda part: _begin(part, desk), chunk, backend.concurrency))
        backend.prepare(second)
        yield from in_threads(
            lambda pair: _finish(*pair, desk), zip(chunk, begun, strict=True), backend.concurrency
        )


def _begin(part: Batch, desk: Pipeline) -> list[PartialResult]:
    return [desk.begin(number, line) for number, line in enumerate(part.lines, start=part.first)]


def _finish(part: Batch, begun: list[PartialResult], desk: Pipeline) -> BatchResult:
    return _taken_down(part, map(desk.finish, begun))


def _taken_down(part: Batch, outputs: Iterable[ProcessedLine]) -> BatchResult:
    done = empty_result(part.first, part.end)
    for number, output in enumerate(outputs, start=part.first):
        done.take_down(number, output)
    return done


class BatchResult(NamedTuple):
    """The output lines of one part, in order; its tally; the (fail_id, line) pairs it uses; the
    bytes of input behind it.
    """

    first: int
    lines: list[bytes]
    tally: RunSummary
    names: list[tuple[str, int]]
    owed: list[int]
    end: int

    def take_down(self, number: int, output: ProcessedLine) -> None:
        """Add the output of line `number`, which is the next."""
        written, given_id, owed = output
        self.lines.append(encode(written))
        self.owed.append(owed)
        count_line(self.tally, written, owed)
        if given_id is not None:
            self.names.append((given_id, number))


def empty_result(first: int, end: int) -> BatchResult:
    """A part that starts with line `first`, before its lines are worked."""
    return BatchResult(first, [], RunSummary(), [], [], end)
