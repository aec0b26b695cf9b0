"""One run on a cluster: connects, checks the machines, answers the parts, and cleans up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import NamedTuple

import msgspec

from finops_cli.cluster.connect import (
    Needs,
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
from finops_cli.cluster.gpu_memory import ask_gpus, refuse_small_gpus
from finops_cli.cluster.nodes import Expectation, ExpectedFile, check_nodes
from finops_cli.cluster.part_files import PartFiles, delete_parts, parts_root
from finops_cli.cluster.part_source import PartSource
from finops_cli.cluster.part_worker import PartReport, PartWorker, decode_report
from finops_cli.cluster.parts import Part, choose_size, encode_part
from finops_cli.cluster.worker_setup import (
    WorkerSetup,
    absolute,
    absolute_request,
    is_bundled,
)
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
        self._workers = 0
        self._needs = Needs(1.0)
        self._folder: Path | None = None
        parts = self._kb.cluster.parts
        self.executor = PartsExecutor(
            source=PartSource(
                config.input, choose_size(parts, self._bytes, has_models=self._asks_models)
            ),
            pipeline=pipeline,
            files=self._files_of_note,
            answer=self._answer,
            attempts=parts["attempts"],
        )

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

    def _connect(self) -> None:
        refuse_unreachable(self._request.address, self._kb)
        self._connection.enter_context(connected(self._request.address))
        nodes = list_nodes()
        self._needs = self._choose_needs(nodes)
        fitting = choose_nodes(nodes, self._needs)
        self._check(fitting)
        most = count_workers(self._needs, fitting)
        self._workers = min(most, self._request.workers or most)

    def _choose_needs(self, nodes: Sequence[Node]) -> Needs:
        """Choose what a worker takes: a processor; with models of its own, its share of them."""
        request, stages = self._request, len(self._pipeline.models)
        if request.gpus_per_model is not None:
            if not any(node.gpus for node in nodes):
                raise UsageError(
                    f"--gpus-per-model {request.gpus_per_model:g}: no machine of the cluster has a"
                    " GPU",
                    "leave it out",
                )
            return Needs(1.0, min(1.0, request.gpus_per_model * stages))
        if self._models.backend not in ("llama-cpp", "transformers"):
            return Needs(1.0)
        if any(node.gpus for node in nodes):
            return Needs(1.0, 1.0)
        cpus = [node.cpus for node in nodes if node.cpus]
        if not cpus:
            return Needs(1.0)
        on_one = ceil((request.workers or len(cpus)) / len(cpus))
        return Needs(float(max(1, int(min(cpus) / on_one))))

    def _check(self, nodes: list[Node]) -> None:
        """Check what each machine has, and that the models of its workers fit its GPUs."""
        files = PartFiles(self._target, "0" * 64)
        seconds = float(self._kb.cluster.watch["node"])
        plain = self.executor.source.path
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
        if self._needs.gpus:
            refuse_small_gpus(
                ask_gpus(nodes, seconds), self._models, self._needs.gpus, self._kb.models.memory_pct
            )

    # parts

    def _files_of_note(self) -> PartFiles:
        """Return the folder of the parts of the run whose note is beside the output.

        Parts of an earlier output that the call replaces are deleted.
        """
        if not self._config.resume:
            delete_parts(self._target)
        fingerprint = resume.made_from(self._output)
        digest = hashlib.sha256(msgspec.json.encode(fingerprint)).hexdigest()
        files = PartFiles(self._target, digest)
        self._folder = files.folder
        return files

    def _answer(self, files: PartFiles, parts: list[Part]) -> Iterator[PartReport]:
        """Answer parts on the cluster."""
        if not self._workers:
            self._connect()
        watch = self._kb.cluster.watch
        record = max(self._kb.models.timeouts.values()) if self._asks_models else 0
        watchdog = Watchdog(
            first_seconds=watch["first"],
            factor=watch["factor"],
            more_seconds=watch["more"] + record,
        )
        workers = min(self._workers, len(parts))
        texts = [encode_part(part) for part in parts]
        setup = self._setup(files)
        dataset = make_dataset(texts, PartWorker, setup, pool_of(workers), self._needs)
        return dispatch(dataset, len(parts), files.folder, watchdog, decode_report)

    def _setup(self, files: PartFiles) -> WorkerSetup:
        return WorkerSetup(
            source=self.executor.source.path,
            files=files,
            pipeline=absolute(self._settings),
            request=self._models,
            origin=self._pipeline.backend.origin,
            keeps_raw=self._pipeline.keeps_raw,
            has_bundled_rules=is_bundled(self._settings.kb_dir),
            kb_sha256=self._kb.sha256,
            attempts=self._kb.cluster.parts["attempts"],
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
            return folder
        delete_parts(self._target)
        return None

    def __exit__(self, *_: object) -> None:
        self._connection.close()
