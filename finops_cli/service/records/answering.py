"""Answers records as `finops run`, `triage` and `resolve` do: the same pipeline, the same lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from finops_cli.clock.facts import AsOf
from finops_cli.domain.enums import GuardMode
from finops_cli.files.jsonl import BATCH_LINES, Batch
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Backend
from finops_cli.models.sentiment.baseline import BaselineClassifier
from finops_cli.models.sentiment.classifier import Classifier
from finops_cli.pipeline.clock import ClockConfig, ClockMode, ClockPolicy
from finops_cli.pipeline.clock_lines import ClockLines
from finops_cli.pipeline.line_pipeline import LinePipeline
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.scheduler import BatchResult, process_batch
from finops_cli.pipeline.sentiment.parse import TextParser
from finops_cli.pipeline.sentiment.pipeline import SentimentConfig, Split
from finops_cli.pipeline.sequences import SEQUENCES

_GUARDED_LINES = 16
"""Lines of a batch that the guard reads: a text takes it a third of a millisecond and more."""
_KEPT_PIPELINES = 64
"""Pipelines that are kept ready: one for each combination of options that requests use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """The options of one request."""

    as_of: AsOf | None = None
    clock: ClockMode = "card"
    timing: bool = False
    keep_raw: bool = False
    strict_input: bool = False
    split: Split = "none"
    field: str = "text"


OnAnswer = Callable[[str, BatchResult, float], None]
"""Takes the command, the answered batch, and the seconds that models took for it."""
RecordCommand = Literal["run", "triage", "resolve", "sentiment"]
"""The commands that answer one record at a time."""


class Answering:
    """The pipelines of the service, which share one knowledge base and one backend."""

    def __init__(
        self,
        kb: KnowledgeBase,
        backend: Backend,
        kb_dir: Path,
        guard: GuardMode,
        calendar: Path | None = None,
        classifier: Classifier | None = None,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """Keep the parts. `calendar` is the desk's file of days; `classifier` None: the baseline.

        `timer` times the answers of models, in seconds.

        Raises MissingPiece where `guard` needs packages that are not installed.
        """
        self.kb = kb
        self.backend = backend
        self.kb_dir = kb_dir
        self.guard = guard
        self.redaction = redaction_policy(guard, True, kb)
        self._calendar, self.timer = calendar, timer
        self.on_answer: OnAnswer | None = None
        """Told of each batch that models answered, in the thread that asked them."""
        self.classifier: Classifier = classifier or BaselineClassifier(None)
        lanes = backend.concurrency + self.classifier.concurrency
        self._threads = ThreadPoolExecutor(max(1, lanes), "finops-answer")
        self._pipeline = lru_cache(_KEPT_PIPELINES)(self._open_pipeline)
        self._turn = asyncio.Lock()
        """Held by the batch that the rules answer in this turn of the event loop."""

    def batch_size(self, pipeline: LinePipeline) -> int:
        """Return the lines of a batch: one where models answer, else what takes some milliseconds,
        for the event loop waits for it.
        """
        if pipeline.backend.concurrency:
            return 1
        return BATCH_LINES if pipeline.redaction is None else _GUARDED_LINES

    def pipeline(self, command: RecordCommand, options: AnswerOptions) -> LinePipeline:
        """Return the pipeline of `command` with `options`."""
        return self._pipeline(command, options)

    def lanes_of(self, command: str) -> int:
        """Return how many answers of models `command` works on at once; 0 without models."""
        asked = self.classifier if command == "sentiment" else self.backend
        return asked.concurrency

    def clock(self, options: AnswerOptions) -> ClockLines:
        """Return what computes the lines of `finops clock`."""
        return ClockLines(policy=self._open_clock(options), redaction=self.redaction)

    async def answer(
        self, pipeline: LinePipeline, batches: AsyncIterator[Batch]
    ) -> AsyncGenerator[BatchResult, None]:
        """Answer batches in order; the caller rejects repeated names.

        At most twice as many batches as models answer at once are taken ahead. A batch that waits
        for its lines does not hold up the answers before it.
        """
        waiting: asyncio.Queue[asyncio.Future[BatchResult] | None] = asyncio.Queue(
            2 * max(1, pipeline.backend.concurrency)
        )

        async def take() -> None:
            async for batch in batches:
                await waiting.put(asyncio.ensure_future(self._in_turn(pipeline, batch)))
            await waiting.put(None)

        taking = asyncio.create_task(take())
        taking.add_done_callback(lambda task: _end(task, waiting))
        try:
            while (answer := await waiting.get()) is not None:
                yield await answer
            await taking
        finally:
            taking.cancel()
            while not waiting.empty():
                left = waiting.get_nowait()
                if left is not None:
                    left.cancel()

    async def _in_turn(self, pipeline: LinePipeline, batch: Batch) -> BatchResult:
        """Answer a batch, and no other in the same turn of the event loop: between two of them the
        loop serves everybody else, however many lists and streams are in work.
        """
        if pipeline.backend.concurrency:
            return await self.answer_batch(pipeline, batch)
        async with self._turn:
            await asyncio.sleep(0)
            return await self.answer_batch(pipeline, batch)

    async def answer_batch(self, pipeline: LinePipeline, batch: Batch) -> BatchResult:
        """Answer one batch, on its own; the caller rejects repeated names."""
        if not pipeline.backend.concurrency:
            return process_batch(pipeline, batch)
        work = partial(self._ask_models, pipeline, batch)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _ask_models(self, pipeline: LinePipeline, batch: Batch) -> BatchResult:
        began = self.timer()
        result = process_batch(pipeline, batch)
        if self.on_answer is not None:
            self.on_answer(pipeline.identity.command, result, self.timer() - began)
        return result

    def close(self) -> None:
        """End the threads and the backend."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.backend.close()
        self.classifier.close()

    def _open_pipeline(self, command: RecordCommand, options: AnswerOptions) -> LinePipeline:
        if command == "sentiment":
            return SentimentConfig(
                kb_dir=self.kb_dir,
                timed=options.timing,
                guard=self.guard,
                parser=TextParser("objects", options.field),
                split=options.split,
                keeps_raw=options.keep_raw,
            ).open_with(self.classifier, self.kb)
        return Pipeline(
            SEQUENCES[command],
            self.backend,
            self.kb,
            timed=options.timing,
            keeps_raw=options.keep_raw,
            redaction=self.redaction,
            clock=self._open_clock(options),
            strict_input=options.strict_input,
        )

    def _open_clock(self, options: AnswerOptions) -> ClockPolicy:
        config = ClockConfig(mode=options.clock, as_of=options.as_of, calendar_file=self._calendar)
        return config.open(self.kb)


def _end(task: asyncio.Task[None], waiting: asyncio.Queue[Any]) -> None:
    """Wake the reader of the queue when the task has failed, which ends without its last item."""
    if not task.cancelled() and task.exception() is not None and not waiting.full():
        waiting.put_nowait(None)


async def batches_of(lines: Sequence[bytes], size: int) -> AsyncIterator[Batch]:
    """Put the records of a list into batches of `size`; the event loop turns between them."""
    for first in range(0, len(lines), size):
        yield Batch(first + 1, list(lines[first : first + size]), 0)
        await asyncio.sleep(0)
