"""The stages that the lines of a part pass: all of them, or those of one model.

Where the models of a run fit a worker together, a line passes every stage there. Else the workers
of the first model leave lines that are half done, which are the input of the workers of the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from finops_cli.cluster.parts import copy_line
from finops_cli.domain import exact_json
from finops_cli.domain.finding import Damage, Finding
from finops_cli.domain.stage_names import StageName
from finops_cli.domain.triage import Triage
from finops_cli.files.jsonl import Batch, InputLine
from finops_cli.models.protocol import Answer
from finops_cli.parallel import in_threads
from finops_cli.pipeline.line_pipeline import ProcessedLine
from finops_cli.pipeline.output import Line
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import BatchResult, process_batch, process_with_models

StagesName = Literal["all", "first", "later"]
"""Which stages of a sequence the workers of a pool carry out."""


class LineStages(NamedTuple):
    """Stages that one worker carries out for each line."""

    process: Callable[[Iterator[Batch], Pipeline], Iterator[BatchResult]]
    """Take batches through the stages, in order."""
    fail: Callable[[BatchResult, int, InputLine, Finding, Pipeline], None]
    """Add the line of a number of which every worker died."""


class HalfDoneLine(Struct, frozen=True, array_like=True):
    """A line of the input and the answer of the first model.

    The next worker reads the line again: the rules give what they gave the first worker, and only
    the model's answer cannot be had a second time.
    """

    line: bytes | Damage
    triage: Answer[Triage] | None = None
    """None for a line that the model was not asked about."""
    fault: Finding | None = None
    """Why the line could not be processed."""
    took_ns: int = 0


_DECODER = msgspec.json.Decoder(HalfDoneLine, float_hook=Decimal)


def _process_all(batches: Iterator[Batch], pipeline: Pipeline) -> Iterator[BatchResult]:
    if pipeline.backend.concurrency:
        return process_with_models(batches, pipeline)
    return (process_batch(pipeline, batch) for batch in batches)


def _fail_line(
    result: BatchResult, number: int, line: InputLine, finding: Finding, pipeline: Pipeline
) -> None:
    result.append(number, pipeline.fail(number, line, finding))


def _process_first(batches: Iterator[Batch], pipeline: Pipeline) -> Iterator[BatchResult]:
    return _ask_one_model(batches, pipeline, pipeline.models[:1], _begin)


def _begin(result: BatchResult, number: int, line: InputLine, pipeline: Pipeline) -> None:
    partial = pipeline.begin(number, line)
    outcome, answer = partial.outcome, partial.outcome.triage
    if answer is not None and answer.status != "failed" and not pipeline.keeps_raw:
        answer = replace(answer, attempt_log=())  # no line shows it
    _append_half(result, HalfDoneLine(line, answer, outcome.fault, partial.took_ns))


def _fail_first(
    result: BatchResult, number: int, line: InputLine, finding: Finding, _: Pipeline
) -> None:
    _append_half(result, HalfDoneLine(line, fault=finding))


def _append_half(result: BatchResult, line: HalfDoneLine) -> None:
    result.lines.append(copy_line(exact_json.encode(line)))
    result.owed.append(0)


def _process_later(batches: Iterator[Batch], pipeline: Pipeline) -> Iterator[BatchResult]:
    return _ask_one_model(batches, pipeline, pipeline.models[1:], _end)


def _end(result: BatchResult, number: int, line: InputLine, pipeline: Pipeline) -> None:
    result.append(number, _finish(number, _read(line), pipeline))


def _finish(number: int, half: HalfDoneLine, pipeline: Pipeline) -> ProcessedLine[Line]:
    if half.fault is not None:
        return pipeline.fail(number, half.line, half.fault)
    partial = pipeline.begin(number, half.line, half.triage)
    partial = partial._replace(took_ns=partial.took_ns + half.took_ns)
    for stage in pipeline.sequence.later:
        partial = pipeline.advance(partial, stage)
    return pipeline.finish(partial)


def _fail_later(
    result: BatchResult, number: int, line: InputLine, finding: Finding, pipeline: Pipeline
) -> None:
    _fail_line(result, number, _read(line).line, finding, pipeline)


def _read(line: InputLine) -> HalfDoneLine:
    """Read a line that a worker of the first stage wrote: never a damaged row."""
    if isinstance(line, Damage):
        raise TypeError("a line between two stages is never a damaged row")
    return _DECODER.decode(line)


def _ask_one_model(
    batches: Iterator[Batch],
    pipeline: Pipeline,
    models: tuple[StageName, ...],
    add: Callable[[BatchResult, int, InputLine, Pipeline], None],
) -> Iterator[BatchResult]:
    """Load `models`, then `add` each line of each batch to its result."""

    def process(batch: Batch) -> BatchResult:
        result = BatchResult(
            first=batch.first,
            place=batch.place,
            end=batch.end,
            is_model=pipeline.backend.origin.is_model,
            line_type=pipeline.line_type,
        )
        for number, line in enumerate(batch.lines, start=batch.first):
            add(result, number, line, pipeline)
        return result

    for model in models:
        pipeline.backend.prepare(model)
    if pipeline.backend.concurrency:
        yield from in_threads(process, batches, pipeline.backend.concurrency)
    else:
        yield from map(process, batches)


STAGES: dict[StagesName, LineStages] = {
    "all": LineStages(_process_all, _fail_line),
    "first": LineStages(_process_first, _fail_first),
    "later": LineStages(_process_later, _fail_later),
}
