"""A worker of a cluster: answers one part after the other, and leaves the lines in files.

Ray gives it descriptions of parts and takes its reports. Ray is not imported here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import msgspec
from msgspec import Struct

from finops_cli.cluster.line_stages import STAGES
from finops_cli.cluster.part_facts import collect_facts, join_results
from finops_cli.cluster.part_files import Attempt, FinishedPart
from finops_cli.cluster.parts import Part, decode_part, open_part
from finops_cli.cluster.worker_setup import WorkerSetup
from finops_cli.domain.fault import fault_place
from finops_cli.errors import FinopsError, MissingPiece, Unfinished
from finops_cli.files.jsonl import BATCH_LINES, Batch, Batches
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.scheduler import BatchResult

_GO_ON = "mend that, then run the same command with --resume"


class Failure(Struct, frozen=True, kw_only=True):
    """Why a worker cannot answer any part."""

    message: str
    cure: str
    is_missing: bool = False
    """Something must be installed or started."""


def describe_failure(error: Exception, folder: Path, go_on: str) -> Failure:
    """Describe why a part cannot be answered. `go_on` is the cure of a fault of `folder`."""
    if isinstance(error, FinopsError):
        is_missing = isinstance(error, MissingPiece)
        return Failure(message=str(error), cure=error.cure, is_missing=is_missing)
    if isinstance(error, OSError):
        return Failure(message=f"{error.filename or folder}: {error.strerror}", cure=go_on)
    return Failure(
        message=f"finops has a fault ({type(error).__name__} at {fault_place(error)})",
        cure="please report it as a bug",
    )


def name_worker() -> str:
    """Return the machine and the process of this worker."""
    return f"{socket.gethostname()} process {os.getpid()}"


def refuse_failure(place: str, failure: Failure) -> None:
    """Raise the error that ended a worker, in the driver."""
    kind = MissingPiece if failure.is_missing else Unfinished
    raise kind(f"{place}: {failure.message}", failure.cure)


class PartReport(Struct, frozen=True, kw_only=True):
    """The result of a part."""

    part: Part
    outcome: Literal["finished", "given up", "failed"]
    """`given up`: its workers died too often. `failed`: the run cannot go on."""
    place: str
    """The machine and the process."""
    seconds: float = 0.0
    finished: FinishedPart | None = None
    failure: Failure | None = None


_REPORT = msgspec.json.Decoder(PartReport)


def decode_report(text: str | bytes) -> PartReport:
    """Read a report."""
    return _REPORT.decode(text)


class PartWorker:
    """Answers parts. Its pipeline, and its models, are opened with the first part."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._pipeline: Pipeline | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Answer the parts of a batch of Ray Data, and report each. Nothing is raised."""
        reports = [self.answer(decode_part(str(text))) for text in batch["part"]]
        return {"report": [msgspec.json.encode(report).decode() for report in reports]}

    def answer(self, part: Part) -> PartReport:
        """Answer a part, unless an earlier attempt has."""
        started, place = monotonic(), name_worker()
        try:
            finished = self._setup.files.find(part) or self._attempt(part)
        except Exception as error:  # noqa: BLE001 - any fault ends the run with its place
            failure = describe_failure(error, self._setup.files.folder, _GO_ON)
            return PartReport(part=part, outcome="failed", place=place, failure=failure)
        return PartReport(
            part=part,
            outcome="given up" if finished is None else "finished",
            place=place,
            seconds=monotonic() - started,
            finished=finished,
        )

    def _attempt(self, part: Part) -> FinishedPart | None:
        """Answer a part; None where too many attempts were begun and none was finished."""
        files = self._setup.files
        with files.attempt(part, self._setup.attempts) as attempt:
            if attempt is None:
                return files.find(part)  # another attempt may just have been first
            if self._pipeline is None:
                self._pipeline = self._setup.open()
            result = self._write_lines(part, attempt, self._pipeline)
            return files.publish(part, attempt, collect_facts(result))

    def _write_lines(self, part: Part, attempt: Attempt, pipeline: Pipeline) -> BatchResult:
        lines = open_part(part, self._setup.files.source_of(part, self._setup.source))
        results = []
        at_most = 1 if pipeline.backend.concurrency else BATCH_LINES
        process = STAGES[self._setup.stages].process
        for result in process(_Numbered(Batches(lines, 0, at_most), part), pipeline):
            attempt.file.write(b"".join(result.lines))
            attempt.file.flush()  # the driver sees that the worker lives
            result.lines.clear()
            results.append(result)
        return join_results(results, part.first, pipeline.line_type)


class _Numbered(Iterator[Batch]):
    """The batches of a part, with the numbers that its lines have in the whole input."""

    def __init__(self, batches: Batches, part: Part) -> None:
        self._batches = batches
        self._part = part

    def __next__(self) -> Batch:
        batch = next(self._batches)
        first = batch.first + self._part.first - 1
        return batch._replace(first=first, place=self._part.place_of(first))
