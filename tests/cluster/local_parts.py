"""Runs whose parts are answered without Ray: in this process, or each in a process of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from finops_cli.cluster.executor import PartsExecutor
from finops_cli.cluster.part_files import FinishedPart, PartFiles
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_worker import PartReport, PartWorker, decode_report
from finops_cli.cluster.parts import Part, PartSize, encode_part, open_part
from finops_cli.cluster.worker_setup import WorkerSetup
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.run import RunConfig, run
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.program import start_finops

PATIENCE = 300
"""Seconds after which a test gives a run up: a busy machine starts Ray in minutes."""
start_patiently = partial(start_finops, timeout=PATIENCE)
SMALL = PartSize(bytes=2_000, lines=7)
ATTEMPTS = 3
Answer = Callable[[PartWorker, list[Part]], Iterator[PartReport]]


class DeskRun(NamedTuple):
    """A run that ended: its counts, and its executor."""

    summary: RunSummary
    executor: PartsExecutor | None
    files: PartFiles | None


def settings(*, has_rows: bool = False) -> PipelineConfig:
    """Return the settings of a run with the engine, without times."""
    return PipelineConfig(
        sequence=SEQUENCES["run"], kb_dir=bundled_kb_dir(), timed=False, has_rows=has_rows
    )


def run_locally(given: InputSource, output: Path, *, resumes: bool = False) -> DeskRun:
    """Run without parts."""
    config = settings(has_rows=given.has_rows)
    asked = RunConfig(pipeline=config, input=given, output=output, resume=resumes)
    return DeskRun(run(asked, config.open(), lambda *_: None), None, None)


def answer_here(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
    """Answer parts in this process, the last one first."""
    for part in reversed(parts):
        [report] = worker({"part": [encode_part(part)]})["report"]
        yield decode_report(report)


def answer_in_children(marker: bytes) -> Answer:
    """Return what answers each part in a child, which dies where a line of it has `marker`."""

    def answer(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        for part in parts:
            report = None
            while report is None:
                report = _answer_in_child(worker, part, marker)
            yield report

    return answer


def _answer_in_child(worker: PartWorker, part: Part, marker: bytes) -> PartReport | None:
    """Answer a part in a child; None where it died, after it had begun to write."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        setup = worker._setup
        lines = open_part(part, setup.files.source_of(part, setup.source))
        if any(marker in line for line, _ in lines if isinstance(line, bytes)):
            with setup.files.attempt(part, setup.attempts) as begun:
                if begun is not None:
                    begun.file.write(b'{"half a line')
                    begun.file.flush()
                    os.kill(os.getpid(), 9)
        os.write(writing, worker({"part": [encode_part(part)]})["report"][0].encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as file:
        found = file.read()
    return decode_report(found) if found else None


def make_executor(
    given: InputSource, output: Path, pipeline: Pipeline, answer: Answer, size: PartSize
) -> PartsExecutor:
    """Return an executor whose workers are in this machine, without Ray."""
    source = PartSource(given, size)

    def files() -> PartFiles:
        text = msgspec.json.encode(resume.made_from(output))
        return PartFiles(output, hashlib.sha256(text).hexdigest())

    def answer_parts(found: PartFiles, parts: list[Part]) -> Iterator[PartReport]:
        return answer(PartWorker(make_setup(found, source, pipeline, given)), parts)

    return PartsExecutor(
        source=source, pipeline=pipeline, files=files, answer=answer_parts, attempts=ATTEMPTS
    )


def make_setup(
    files: PartFiles, source: PartSource, pipeline: Pipeline, given: InputSource
) -> WorkerSetup:
    """Return the setup of a worker that answers with the engine."""
    return WorkerSetup(
        source=source.path,
        files=files,
        pipeline=settings(has_rows=given.has_rows),
        request=BackendRequest(backend="engine"),
        origin=pipeline.backend.origin,
        keeps_raw=False,
        has_bundled_rules=True,
        kb_sha256=load_kb(bundled_kb_dir()).sha256,
        attempts=ATTEMPTS,
    )


def run_in_parts(
    given: InputSource,
    output: Path,
    *,
    answer: Answer = answer_here,
    resumes: bool = False,
    size: PartSize = SMALL,
) -> DeskRun:
    """Run in small parts."""
    config = settings(has_rows=given.has_rows)
    pipeline = config.open()
    executor = make_executor(given, output, pipeline, answer, size)
    asked = RunConfig(
        pipeline=config, input=given, output=output, resume=resumes, executor=executor
    )
    summary = run(asked, pipeline, lambda *_: None)
    return DeskRun(summary, executor, executor.files())


def finished_parts(files: PartFiles) -> dict[str, FinishedPart]:
    """Return the parts of the list."""
    return files.read_list()
