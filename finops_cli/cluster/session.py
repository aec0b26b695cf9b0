"""One run on a cluster: connects, checks the machines, answers the parts, and cleans up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from finops_cli.cluster.connect import (
    Node,
    choose_nodes,
    connected,
    count_workers,
    list_nodes,
    refuse_unreachable,
    refuse_without_ray,
)
from finops_cli.cluster.dispatch import Watchdog, dispatch, make_dataset, pool_of
from finops_cli.cluster.executor import PartsExecutor
from finops_cli.cluster.gpu_memory import ask_gpus
from finops_cli.cluster.line_stages import StagesName
from finops_cli.cluster.nodes import Expectation, ExpectedFile, check_nodes
from finops_cli.cluster.part_files import PartFiles, delete_parts, parts_root
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_stage import CutSource, HalfDoneSource, PartStage
from finops_cli.cluster.part_worker import PartReport, PartWorker, decode_report
from finops_cli.cluster.parts import Part, choose_size, encode_part
from finops_cli.cluster.placement import Demand, Placement, place, split_by_gpu, split_by_memory
from finops_cli.cluster.worker_setup import (
    WorkerSetup,
    absolute,
    absolute_request,
    is_bundled,
)
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import ResumeRefused, UsageError
from finops_cli.models.backend_request import BackendRequest
from finops_cli.pipeline import resume
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.run import RunConfig, describe_lines
from finops_cli.pipeline.scheduler import PipelineConfig
from finops_cli.pipeline.stored.journal import noted_output


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRequest:
    """The options of a call that concern the cluster."""

    address: str | None = None
    """HOST:PORT or auto; None: a cluster of this machine alone, for this run."""
    workers: int | None = None
    """Workers in the whole cluster; None: one for each processor, with models one a machine."""
    gpus_per_model: float | None = None
    """The part of a GPU that one model takes; None: both models of a worker share one GPU."""
    keep_parts: bool = False


class ClusterInput(NamedTuple):
    """The parts of a run's config that a cluster needs."""

    bytes: int
    """The size of the input as it is stored."""
    output: Path
    target: Path
    """The file that the run is asked for: the output, or what is made of it at the end."""
    pipeline: PipelineConfig


def refuse_unusable(config: RunConfig) -> ClusterInput:
    """Return what a cluster needs of a config.

    Raises UsageError or MissingPiece where the run cannot go over several machines. A run that is
    continued may have every part already, so it is not asked for Ray here.
    """
    if not _is_continued(config):
        refuse_without_ray()
    source, output = config.input.path, config.output
    files = config.input.parts or (() if source is None else (source,))
    if not files or not all(path.is_file() for path in files):
        raise UsageError(
            "--executor ray needs a file as input: a pipe cannot be read again",
            "write it to a file first",
        )
    if output is None or (output.exists() and not output.is_file()):
        raise UsageError(
            "--executor ray needs a file of JSON lines as output", "give one with -o OUT.jsonl"
        )
    if not isinstance(config.pipeline, PipelineConfig):
        raise UsageError("--executor ray answers fails only", "leave it out")
    size = sum(path.stat().st_size for path in files)
    return ClusterInput(size, output, _target(config, output), config.pipeline)


def _target(config: RunConfig, output: Path) -> Path:
    return output if config.made is None else config.made.target


def _is_continued(config: RunConfig) -> bool:
    """Return true where --resume finds a run that has begun, or a complete one."""
    if not config.resume or config.output is None:
        return False
    try:
        resume.read_note(noted_output(_target(config, config.output)))
    except ResumeRefused:  # the run says so, or starts
        return False
    return True


class ClusterRun(AbstractContextManager["ClusterRun"]):
    """A run of a pipeline on a cluster.

    `config` configures the run without an executor, `models` are the options of its backend.
    """

    def __init__(
        self,
        request: ClusterRequest,
        config: RunConfig,
        pipeline: Pipeline,
        models: BackendRequest,
    ) -> None:
        found = refuse_unusable(config)
        self._bytes, self._output, self._settings = found.bytes, found.output, found.pipeline
        self._target = found.target
        self._request = request
        self._config = config
        self._pipeline = pipeline
        self._models = absolute_request(models, pipeline.backend.origin.name)
        self._kb = pipeline.kb
        self._connection = ExitStack()
        self._nodes: list[Node] = []
        self._placement: Placement | None = None
        self._folder: Path | None = None
        self._source = PartSource(
            config.input,
            choose_size(self._kb.cluster.parts, self._bytes, has_models=self._asks_models),
        )
        self.executor = PartsExecutor(self._open_stages)

    @property
    def models(self) -> tuple[StageName, ...]:
        """The models that read a record, in order."""
        return self._pipeline.models

    @property
    def is_split(self) -> bool:
        """Return true where each model has workers of its own. It is known once connected."""
        return self._placement is not None and self._placement.is_split

    @property
    def _asks_models(self) -> bool:
        return self._pipeline.backend.origin.is_model

    @property
    def is_faster_here(self) -> bool:
        """Return true where one machine is done before a cluster has started."""
        local = self._kb.cluster.local
        seconds = self._bytes / local["bytes_per_s"]
        return not self._asks_models and seconds < local["seconds"]

    def prepare(self) -> None:
        """Connect and check every machine, before the output is touched.

        A run that is continued connects when it finds that a part is missing. Raises UsageError,
        MissingPiece, Unfinished and ResumeRefused.
        """
        self._refuse_to_lose()
        if not _is_continued(self._config):
            self._connect()

    def _connect(self, begun: bool | None = None) -> Placement:
        """Connect, and choose what a worker takes. `begun`: as in `split_by_gpu`."""
        refuse_unreachable(self._request.address, self._kb)
        self._connection.enter_context(connected(self._request.address))
        nodes = list_nodes()
        demand = Demand(
            models=self._models,
            stages=self._pipeline.models,
            gpus_per_model=self._request.gpus_per_model,
            workers=self._request.workers,
        )
        placement = place(demand, nodes)
        self._nodes = choose_nodes(nodes, placement.needs)
        self._check(self._nodes)
        needed = list(demand.needed().values()) if demand.loads_models else []
        share_pct = self._kb.models.memory_pct
        if placement.needs.gpus:
            seconds = float(self._kb.cluster.watch["node"])
            found = ask_gpus(self._nodes, seconds) if needed else []
            placement = split_by_gpu(placement, found, needed, share_pct, begun=begun)
        elif begun is None:
            placement = split_by_memory(placement, self._nodes, needed, share_pct)
        self._placement = placement if begun is None else placement._replace(is_split=begun)
        return self._placement

    def _check(self, nodes: list[Node]) -> None:
        """Check what each machine has, and that the models of its workers fit its GPUs."""
        files = PartFiles(self._target, "0" * 64)
        seconds = float(self._kb.cluster.watch["node"])
        plain = self._source.path
        own = [*([] if plain is None else [plain]), *self._models.files.values()]
        kb_dir = self._settings.kb_dir
        files.make()
        try:
            check_nodes(
                nodes,
                Expectation(
                    files=tuple(ExpectedFile.of(path) for path in own),
                    folder=files.folder,
                    mark=".driver",
                    kb_dir=None if is_bundled(kb_dir) else kb_dir.absolute(),
                    kb_sha256=self._kb.sha256,
                ),
                seconds,
            )
        finally:
            files.discard()

    # parts

    def _open_stages(self, skip: int) -> tuple[PartStage, ...]:
        """Open the stages of the parts of the run whose note is beside the output.

        Parts of an earlier output that the call replaces are deleted.
        """
        if not self._config.resume:
            delete_parts(self._target)
        fingerprint = msgspec.json.encode(resume.made_from(self._output))
        whole, first = self._files("all", fingerprint), self._files("first", fingerprint)
        stages: tuple[PartStage, ...]
        if self._is_split(whole, first, skip):
            begin = self._open_stage("first", self._source, first)
            files = self._files("later", fingerprint)
            stages = begin, self._open_stage("later", HalfDoneSource(begin), files)
        else:
            stages = (self._open_stage("all", self._source, whole),)
        self._folder = stages[-1].files.folder
        return stages

    def _is_split(self, whole: PartFiles, first: PartFiles, skip: int) -> bool:
        """Return true where each model has workers of its own.

        A run that is continued keeps what it was begun with. Where no part is finished, the
        machines decide; where no line is missing, nobody asks them.
        """
        if self._placement is not None:
            return self._placement.is_split
        if first.folder.is_dir():
            return True
        if any(whole.folder.glob("[0-9]*.jsonl")) or resume.is_whole(self._output, skip):
            return False
        if next(self._source.cut(skip), None) is None:
            return False
        return self._connect().is_split

    def _files(self, stages: StagesName, fingerprint: bytes) -> PartFiles:
        """Return the folder of the parts that pass these stages."""
        depends = fingerprint if stages == "all" else fingerprint + stages.encode()
        return PartFiles(self._target, hashlib.sha256(depends).hexdigest())

    def _open_stage(self, stages: StagesName, source: CutSource, files: PartFiles) -> PartStage:
        return PartStage(
            stages=stages,
            source=source,
            pipeline=self._pipeline,
            files=files,
            answer=partial(self._answer, stages, source),
            attempts=self._kb.cluster.parts["attempts"],
        )

    def _answer(
        self, stages: StagesName, source: CutSource, files: PartFiles, parts: list[Part]
    ) -> Iterator[PartReport]:
        """Answer parts on the cluster."""
        needs = (self._placement or self._connect(begun=stages != "all")).needs
        watch = self._kb.cluster.watch
        record = max(self._kb.models.timeouts.values()) if self._asks_models else 0
        watchdog = Watchdog(
            first_seconds=watch["first"],
            factor=watch["factor"],
            more_seconds=watch["more"] + record,
        )
        most = count_workers(needs, self._nodes)
        pool = pool_of(min(most, self._request.workers or most, len(parts)))
        texts = [encode_part(part) for part in parts]
        setup = self._setup(stages, source, files)
        dataset = make_dataset(texts, PartWorker, setup, pool, needs)
        return dispatch(dataset, len(parts), files.folder, watchdog, decode_report)

    def _setup(self, stages: StagesName, source: CutSource, files: PartFiles) -> WorkerSetup:
        return WorkerSetup(
            source=source.path,
            files=files,
            pipeline=absolute(self._settings),
            request=self._models,
            origin=self._pipeline.backend.origin,
            keeps_raw=self._pipeline.keeps_raw,
            has_bundled_rules=is_bundled(self._settings.kb_dir),
            kb_sha256=self._kb.sha256,
            attempts=self._kb.cluster.parts["attempts"],
            stages=stages,
        )

    # before and after

    def _refuse_to_lose(self) -> None:
        """Raise ResumeRefused where finished parts would be lost without a word.

        The output of an interrupted run may be empty: its first part may be the slowest.
        """
        if self._config.overwrite or not any(parts_root(self._target).glob("*/parts.jsonl")):
            return
        if not self._config.resume:
            raise ResumeRefused(
                f"{parts_root(self._target)} has finished parts of an interrupted run",
                "continue it with --resume, or start over with --overwrite",
            )
        if self._output.exists() and not self._output.stat().st_size:
            now = describe_lines(
                self._pipeline, self._config.input.digest(), timed=self._settings.timed
            )
            resume.refuse_if_different(self._output, now)

    def complete(self) -> Path | None:
        """Delete the parts, whose lines the output has; return their folder where they stay."""
        folder = self._folder
        if self._request.keep_parts and folder is not None and any(folder.glob("[0-9]*.jsonl")):
            for stage in self.executor.stages[:-1]:
                stage.files.discard()  # half-done lines show the input
            return folder
        delete_parts(self._target)
        return None

    def __exit__(self, *_: object) -> None:
        self._connection.close()
