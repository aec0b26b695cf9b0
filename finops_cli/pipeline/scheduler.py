"""Process batches of the blotter in the pipeline and return the output in input order.

The engine runs in this process or in several. Language models are asked from as many threads as
they take records at once. If the models must alternate, a group of records passes one stage before
the next stage begins.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial as partial_call
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from finops_cli.domain.allotment import InventoryOrigin
from finops_cli.domain.enums import GuardMode
from finops_cli.domain.finding import Finding
from finops_cli.domain.stage_names import StageName
from finops_cli.files.jsonl import BATCH_LINES, Batch, Batches, FilePlace, InputLine
from finops_cli.files.seen_ids import duplicate
from finops_cli.kb.load import load_kb
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import Backend
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.parallel import Wait, in_processes, in_threads
from finops_cli.pipeline.clock import ClockConfig
from finops_cli.pipeline.earlier_lines import Draw, EarlierLines, count_promised, draw_of
from finops_cli.pipeline.line_pipeline import (
    LinePipeline,
    LinePipelineConfig,
    LineType,
    ProcessedLine,
)
from finops_cli.pipeline.output import Line, add_warning, encode, name_place
from finops_cli.pipeline.pipeline import PartialResult, Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.sentiment.tone import ToneConfig
from finops_cli.pipeline.sequences import NextStage, StageSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """Everything that a process needs to set up its own pipeline with the engine."""

    sequence: StageSequence
    kb_dir: Path
    timed: bool
    guard: GuardMode | None = None
    clock: ClockConfig | None = None
    strict_input: bool = False
    has_rows: bool = False
    """The records are rows of a file."""
    inventory: InventoryOrigin | None = None
    """The inventory file of a plan of the whole book."""
    tone: ToneConfig | None = None
    """Labels the notes by the baseline. A language model answers in the process of the run."""

    def open(self) -> Pipeline:
        """Open a pipeline with the engine."""
        kb = load_kb(self.kb_dir)
        engine = Engine(kb)
        return Pipeline(
            self.sequence,
            engine,
            kb,
            self.timed,
            redaction=redaction_policy(
                self.guard or (None if self.tone is None else "require"),
                engine.origin.is_model,
                kb,
            ),
            clock=None if self.clock is None else self.clock.open(kb),
            strict_input=self.strict_input,
            has_rows=self.has_rows,
            inventory=self.inventory,
            tone=None if self.tone is None else self.tone.open(kb),
        )


@dataclass(slots=True, kw_only=True)
class BatchResult:
    """The output lines of one batch, in order, and their counts."""

    first: int
    place: FilePlace | None = None
    """Where the first line stands, in an input of several files."""
    end: int
    """The number of input bytes up to the end of the batch."""
    is_model: bool
    """True if language models answered."""
    line_type: LineType
    lines: list[bytes] = field(default_factory=list)
    summary: RunSummary = field(default_factory=RunSummary)
    names: list[tuple[str, int]] = field(default_factory=list)
    """The (fail_id, line number) pairs of the inputs."""
    owed: list[int] = field(default_factory=list)
    """The shares that each input owes."""
    draws: list[tuple[int, Draw]] = field(default_factory=list)
    """The (line number, draw) pairs of plans that rest on their own record alone."""

    def append(self, number: int, output: ProcessedLine[Any]) -> None:
        """Add the output of the next line, which has the given number."""
        line, owed = output.line, output.owed
        self.lines.append(encode(line if self.place is None else self._name_place(line, number)))
        self.owed.append(owed)
        self.line_type.add_to(self.summary, line, owed, self.is_model)
        if output.given_id is not None:
            self.names.append((output.given_id, number))
        if output.held is not None:
            category = getattr(line.triage, "category", None)
            draw = draw_of(line.fail, category, line.resolution, output.held)
            if draw is not None:
                self.draws.append((number, draw))

    def _name_place(self, line: Any, number: int) -> Any:
        """Name the file of a line and its number there, in an input of several files."""
        if self.place is None or not isinstance(line, Line):
            return line
        return name_place(line, self.place.after(number - self.first))

    def append_copied(self, line: bytes) -> None:
        """Add an output line of an earlier run."""
        read = self.line_type.read(line)
        has_plan = isinstance(read.resolution, Struct) and isinstance(read.fail, Struct)
        self.lines.append(line)
        self.owed.append(read.fail.qty if has_plan else 0)
        self.line_type.add_to(self.summary, read, self.owed[-1], self.is_model)

    def replace(self, number: int, line: Struct) -> None:
        """Replace the output of line `number` by the rejection `line`."""
        at = number - self.first
        replaced, rejected = RunSummary(), RunSummary()
        before = self.line_type.read(self.lines[at])
        self.line_type.add_to(replaced, before, self.owed[at], self.is_model)
        self.line_type.add_to(rejected, line, 0, self.is_model)
        self.summary.add(replaced, sign=-1)
        self.summary.add(rejected)
        self.lines[at] = encode(self._name_place(line, number))
        self.draws = [(drawing, draw) for drawing, draw in self.draws if drawing != number]

    def warn(self, number: int, finding: Finding) -> None:
        """Add a warning to line `number`."""
        at = number - self.first
        self.summary.warnings[finding.rule] += 1
        self.lines[at] = add_warning(self.lines[at], finding)


class Executor(Protocol):
    """Answers lines elsewhere than in this process and its children."""

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input, by kind."""

    @property
    def blank(self) -> int:
        """The blank lines of the input."""

    def results(self, skip: int) -> Iterator[BatchResult]:
        """Yield the results of the lines after the first `skip`, in order."""


def process_batch(pipeline: LinePipeline, batch: Batch) -> BatchResult:
    """Take every line of a batch through the pipeline."""
    # a line makes no cycles; looking for them after every few hundred objects costs a tenth
    gc.disable()
    try:
        return _collect(batch, _process_each(pipeline, batch), pipeline)
    finally:
        gc.enable()


def _process_each(pipeline: LinePipeline, batch: Batch) -> Iterator[ProcessedLine[Any] | bytes]:
    """Yield the output of each line; bytes are a line that is copied."""
    if batch.attached is None or not isinstance(pipeline, Pipeline):
        return (pipeline.process(number, line) for number, line in _numbered(batch))
    return (
        pipeline.process(number, line, attached)
        if attached is None or attached.copied is None
        else attached.copied
        for (number, line), attached in zip(_numbered(batch), batch.attached, strict=True)
    )


class LocalExecutor:
    """Answers the lines of `batches` in this process or in several, or asks language models.

    With several workers, `config` sets up the pipelines of their processes.
    """

    def __init__(
        self, pipeline: LinePipeline, config: LinePipelineConfig, workers: int, batches: Batches
    ) -> None:
        self._pipeline = pipeline
        self._config = config
        self._workers = workers
        self._batches = batches

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped from the input so far, by kind."""
        return self._batches.dropped

    @property
    def blank(self) -> int:
        """The blank lines of the input so far."""
        return self._batches.blank

    def results(self, skip: int) -> Iterator[BatchResult]:
        """Yield the results in order. The batches have skipped the first lines already."""
        return _process(self._batches, self._pipeline, self._config, self._workers)


def compare_each(
    results: Iterable[BatchResult], pipeline: LinePipeline, earlier: EarlierLines
) -> Iterator[BatchResult]:
    """Compare the lines of each result with the earlier ones, in order, and yield it."""
    for result in results:
        compare_with_earlier(result, pipeline, earlier)
        yield result


def compare_with_earlier(
    result: BatchResult, pipeline: LinePipeline, earlier: EarlierLines
) -> None:
    """Reject lines that repeat a `fail_id`; warn in those that share a source with another line."""
    repeated = earlier.seen.register(result.names)
    if repeated:
        names = {number: name for name, number in result.names}
        for number, first in repeated.items():
            name = names[number]
            place = None if earlier.locate is None else earlier.locate(first)
            problem = duplicate(name, first, place)
            result.replace(number, pipeline.reject(number, name, problem))
    if not result.draws:
        return
    found = earlier.promises.add([draw for _, draw in result.draws])
    for (number, _), promised in zip(result.draws, found, strict=True):
        if promised is not None:
            result.warn(number, promised.finding)
            count_promised(result.summary.shared, promised)


def _process(
    batches: Iterable[Batch], pipeline: LinePipeline, config: LinePipelineConfig, workers: int
) -> Iterator[BatchResult]:
    if pipeline.backend.concurrency:
        return process_with_models(batches, pipeline)
    if workers == 1:
        return (process_batch(pipeline, batch) for batch in batches)
    return _process_in_workers(batches, pipeline, config, workers)


BATCHES_ALONE = 4
"""Batches that a run answers before it starts workers: a short file needs none, and workers that
are copies know the triages of these batches."""
_LINES_OF_WORKERS = 4 * BATCH_LINES
"""Lines that a worker gets at once: each time costs as much as several lines."""


def most_lines(pipeline: LinePipeline, workers: int) -> int:
    """Return the most lines of a batch; a language model gets one at a time."""
    if pipeline.backend.concurrency:
        return 1
    return BATCH_LINES if workers == 1 else _LINES_OF_WORKERS


def _process_in_workers(
    batches: Iterable[Batch], pipeline: LinePipeline, config: LinePipelineConfig, workers: int
) -> Iterator[BatchResult]:
    wait, batches = _wait_of(batches), iter(batches)
    for batch in islice(batches, BATCHES_ALONE if pipeline.is_quick else 0):
        yield process_batch(pipeline, batch)
    if (more := next(batches, None)) is not None:
        rest = chain([more], batches)
        yield from in_processes(_process_here, rest, workers, _open_pipeline, (config,), wait=wait)


def _wait_of(batches: Iterable[Batch]) -> Wait | None:
    """Return what waits for the next batch; None where batches are never waited for."""
    return batches.wait if isinstance(batches, Batches) and batches.may_wait else None


_pipeline_of_this_process: LinePipeline


def _open_pipeline(config: LinePipelineConfig) -> None:
    global _pipeline_of_this_process  # the only way for a pool's initializer to pass its result on
    _pipeline_of_this_process = config.open()


def _process_here(batch: Batch) -> BatchResult:
    return process_batch(_pipeline_of_this_process, batch)


def process_with_models(batches: Iterable[Batch], pipeline: LinePipeline) -> Iterator[BatchResult]:
    """Process every batch with language models, in order.

    A batch has few lines here, so that each line is written as soon as the lines before it are.
    """
    backend = pipeline.backend
    for model in pipeline.models:
        backend.prepare(model)
    if isinstance(pipeline, Pipeline) and backend.must_alternate and len(pipeline.models) > 1:
        yield from _alternate(batches, pipeline)
    else:
        yield from in_threads(
            lambda batch: _collect(
                batch,
                (pipeline.process(number, line) for number, line in _numbered(batch)),
                pipeline,
            ),
            batches,
            backend.concurrency,
            wait=_wait_of(batches),
        )


def _alternate(batches: Iterable[Batch], pipeline: Pipeline) -> Iterator[BatchResult]:
    """Process a group of batches in one stage before the next: each change loads a model."""
    backend, sequence = pipeline.backend, pipeline.sequence
    for group in _groups(batches, pipeline.kb.models.alternation_batch):
        _prepare(backend, sequence.first_model)
        partial = list(
            in_threads(lambda batch: _begin(batch, pipeline), group, backend.concurrency)
        )
        for stage in sequence.later[:-1]:
            _prepare(backend, stage.model)
            advance = partial_call(_advance, pipeline=pipeline, stage=stage)
            partial = list(in_threads(advance, partial, backend.concurrency))
        last = sequence.later[-1]
        _prepare(backend, last.model)
        yield from in_threads(
            lambda pair: _finish(*pair, pipeline),
            zip(group, partial, strict=True),
            backend.concurrency,
        )


def _groups(batches: Iterable[Batch], most: int) -> Iterator[list[Batch]]:
    """Yield up to `most` batches at a time, fewer where the next would have to be waited for."""
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        must_wait = isinstance(batches, Batches) and not batches.has_next_now()
        if len(group) >= most or must_wait:
            yield group
            group = []
    if group:
        yield group


def _prepare(backend: Backend, model: StageName | None) -> None:
    if model is not None:
        backend.prepare(model)


def _begin(batch: Batch, pipeline: Pipeline) -> list[PartialResult]:
    return [pipeline.begin(number, line) for number, line in _numbered(batch)]


def _advance(
    partial: list[PartialResult], pipeline: Pipeline, stage: NextStage
) -> list[PartialResult]:
    return [pipeline.advance(each, stage) for each in partial]


def _finish(batch: Batch, partial: list[PartialResult], pipeline: Pipeline) -> BatchResult:
    last = pipeline.sequence.later[-1]
    outputs = (pipeline.finish(pipeline.advance(each, last)) for each in partial)
    return _collect(batch, outputs, pipeline)


def _numbered(batch: Batch) -> Iterator[tuple[int, InputLine]]:
    return enumerate(batch.lines, start=batch.first)


def _collect(
    batch: Batch, outputs: Iterable[ProcessedLine[Any] | bytes], pipeline: LinePipeline
) -> BatchResult:
    is_model = pipeline.backend.origin.is_model
    result = BatchResult(
        first=batch.first,
        place=batch.place,
        end=batch.end,
        is_model=is_model,
        line_type=pipeline.line_type,
    )
    for number, output in enumerate(outputs, start=batch.first):
        if isinstance(output, bytes):
            result.append_copied(output)
        else:
            result.append(number, output)
    return result
