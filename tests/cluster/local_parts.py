"""Runs whose parts are answered without Ray: in this process, or each in a process of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from finops_cli.cluster.executor import PartsExecutor
from finops_cli.cluster.line_stages import HalfDoneLine, StagesName
from finops_cli.cluster.part_files import FinishedPart, PartFiles
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_stage import CutSource, HalfDoneSource, PartStage
from finops_cli.cluster.part_worker import PartReport, PartWorker, decode_report
from finops_cli.cluster.parts import Part, PartSize, encode_part, open_part
from finops_cli.cluster.worker_setup import WorkerSetup
from finops_cli.domain.enums import GuardMode
from finops_cli.domain.finding import Damage
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.backends import select_backend
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.run import RunConfig, run
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.sequences import SEQUENCES
from tests.support.program import start_finops

PATIENCE = 300
"""Seconds after which a test gives a run up: a busy machine starts Ray in minutes."""
start_patiently = partial(start_finops, timeout=PATIENCE)
ENGINE = BackendRequest(backend="engine")
SMALL = PartSize(bytes=2_000, lines=7)
ATTEMPTS = 3
Answer = Callable[[PartWorker, list[Part]], Iterator[PartReport]]


class DeskRun(NamedTuple):
    """A run that ended: its counts, and its executor."""

    summary: RunSummary
    executor: PartsExecutor | None
    files: PartFiles | None


def settings(*, has_rows: bool = False, guard: GuardMode | None = None) -> PipelineConfig:
    """Return the settings of a run with the engine, without times."""
    return PipelineConfig(
        sequence=SEQUENCES["run"],
        kb_dir=bundled_kb_dir(),
        timed=False,
        has_rows=has_rows,
        guard=guard,
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


def answer_in_children(marker: bytes, *, dies_in: StagesName | None = None) -> Answer:
    """Return what answers each part in a child, which dies where a line of it has `marker`; in
    these stages alone, if any are named.
    """

    def answer(worker: PartWorker, parts: list[Part]) -> Iterator[PartReport]:
        for part in parts:
            report = None
            while report is None:
                is_safe = dies_in not in (None, worker._setup.stages)
                report = _answer_in_child(worker, part, None if is_safe else marker)
            yield report

    return answer


def _answer_in_child(worker: PartWorker, part: Part, marker: bytes | None) -> PartReport | None:
    """Answer a part in a child; None where it died, after it had begun to write."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        setup = worker._setup
        lines = open_part(part, setup.files.source_of(part, setup.source))
        if marker and any(marker in _text_of(line) for line, _ in lines):
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


def _text_of(line: InputLine) -> bytes:
    """Return the text of a line, also of one that is half done."""
    if isinstance(line, Damage):
        return b""
    with suppress(msgspec.DecodeError):
        half = msgspec.json.decode(line, type=HalfDoneLine)
        return half.line if isinstance(half.line, bytes) else b""
    return line


def make_executor(
    given: InputSource,
    output: Path,
    pipeline: Pipeline,
    answer: Answer,
    size: PartSize,
    *,
    is_split: bool = False,
    request: BackendRequest = ENGINE,
) -> PartsExecutor:
    """Return an executor whose workers are in this machine, without Ray.

    `is_split`: other workers begin a line than those that finish it.
    """
    cut = PartSource(given, size)

    def open_stage(stages: StagesName, source: CutSource) -> PartStage:
        def answer_parts(found: PartFiles, parts: list[Part]) -> Iterator[PartReport]:
            setup = make_setup(found, source, pipeline, given)
            setup = replace(setup, stages=stages)
            if request is not ENGINE:
                setup = replace(
                    setup, request=request, pipeline=settings(guard="on"), keeps_raw=True
                )
            worker = PartWorker(setup)
            yield from answer(worker, parts)
            if worker._pipeline is not None:
                worker._pipeline.backend.close()

        text = msgspec.json.encode(resume.made_from(output))
        depends = text if stages == "all" else text + stages.encode()
        return PartStage(
            stages=stages,
            source=source,
            pipeline=pipeline,
            files=PartFiles(output, hashlib.sha256(depends).hexdigest()),
            answer=answer_parts,
            attempts=ATTEMPTS,
        )

    def open_stages(_: int) -> tuple[PartStage, ...]:
        if not is_split:
            return (open_stage("all", cut),)
        first = open_stage("first", cut)
        return first, open_stage("later", HalfDoneSource(first))

    return PartsExecutor(open_stages)


def make_setup(
    files: PartFiles, source: CutSource, pipeline: Pipeline, given: InputSource
) -> WorkerSetup:
    """Return the setup of a worker that answers with the engine."""
    return WorkerSetup(
        source=source.path,
        files=files,
        pipeline=settings(has_rows=given.has_rows),
        request=ENGINE,
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
    is_split: bool = False,
    request: BackendRequest = ENGINE,
) -> DeskRun:
    """Run in small parts."""
    config = settings(has_rows=given.has_rows)
    pipeline = config.open() if request is ENGINE else open_with_models(request)
    executor = make_executor(
        given, output, pipeline, answer, size, is_split=is_split, request=request
    )
    asked = RunConfig(
        pipeline=config, input=given, output=output, resume=resumes, executor=executor
    )
    with closing(pipeline.backend):
        summary = run(asked, pipeline, lambda *_: None)
    return DeskRun(summary, executor, executor.stages[-1].files)


def ollama_request(url: str) -> BackendRequest:
    """Return the request for the models of a fake server."""
    return BackendRequest(backend="ollama", hosts=(url,))


def open_with_models(request: BackendRequest) -> Pipeline:
    """Open the pipeline of a driver with models, which keeps their text."""
    config = settings(guard="on")
    kb = load_kb(config.kb_dir)
    backend = select_backend(request, kb).backend
    redaction = redaction_policy(config.guard, asks_models=True, kb=kb)
    return Pipeline(config.sequence, backend, kb, False, keeps_raw=True, redaction=redaction)


def finished_parts(files: PartFiles) -> dict[str, FinishedPart]:
    """Return the parts of the list."""
    return files.read_list()
