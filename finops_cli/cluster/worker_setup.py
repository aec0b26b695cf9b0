"""Everything that a worker needs to answer parts: which pipeline, which models, which files."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path

from finops_cli.cluster.line_stages import StagesName
from finops_cli.cluster.part_files import PartFiles
from finops_cli.errors import FinopsError, Unfinished
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.models.backend_request import BackendRequest
from finops_cli.models.protocol import Origin
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.redaction import redaction_policy
from finops_cli.pipeline.scheduler import PipelineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """The setup of a worker. Paths are absolute, and the same on every machine."""

    source: Path | None
    """The input; None where each part has a file of its own."""
    files: PartFiles
    pipeline: PipelineConfig
    request: BackendRequest
    """Names the backend itself, never auto."""
    origin: Origin
    """The backend of the driver; a worker must have the same one."""
    keeps_raw: bool
    has_bundled_rules: bool
    """The rules are those that ship with the finops of each machine."""
    kb_sha256: str
    attempts: int
    """Attempts at a part of which no worker may have survived."""
    stages: StagesName = "all"
    """The stages that its lines pass here."""

    def open(self) -> Pipeline:
        """Open the pipeline with its backend, on the machine of the worker.

        Raises Unfinished where the rules or the models differ from those of the driver, and
        everything that opening a backend raises.
        """
        config = self.pipeline
        if self.has_bundled_rules:
            config = replace_fields(config, kb_dir=bundled_kb_dir())
        kb = load_kb(config.kb_dir)
        if kb.sha256 != self.kb_sha256:
            raise Unfinished(
                f"{config.kb_dir}: the rules differ from those of the machine that started the run",
                "give every machine the same rules and the same version of finops",
            )
        if self.request.backend == "engine":
            return config.open()
        from finops_cli.models.backends import select_backend

        selected = select_backend(self.request, kb)
        try:
            _refuse_other_origin(selected.backend.origin, self.origin)
            return Pipeline(
                config.sequence,
                selected.backend,
                kb,
                config.timed,
                keeps_raw=self.keeps_raw,
                redaction=redaction_policy(
                    config.guard or (None if config.tone is None else "require"),
                    asks_models=True,
                    kb=kb,
                ),
                clock=None if config.clock is None else config.clock.open(kb),
                strict_input=config.strict_input,
                has_rows=config.has_rows,
                tone=None if config.tone is None else config.tone.open(kb),
            )
        except FinopsError:
            selected.backend.close()
            raise


def absolute(config: PipelineConfig) -> PipelineConfig:
    """Return a config that means the same in another folder of another machine."""
    clock = config.clock
    if clock is not None and clock.calendar_file is not None:
        clock = replace_fields(clock, calendar_file=clock.calendar_file.absolute())
    return replace_fields(config, kb_dir=config.kb_dir.absolute(), clock=clock)


def absolute_request(request: BackendRequest, name: str) -> BackendRequest:
    """Return a request for the backend `name`, whose paths mean the same in another folder."""
    return replace_fields(
        request,
        backend=name,
        ggufs={stage: path.absolute() for stage, path in request.ggufs.items()},
        folders={stage: path.absolute() for stage, path in request.folders.items()},
        adapters={stage: path.absolute() for stage, path in request.adapters.items()},
        api_key_file=None if request.api_key_file is None else request.api_key_file.absolute(),
        workers=None,
    )


def is_bundled(kb_dir: Path) -> bool:
    """Return true for the rules that ship with finops."""
    return kb_dir.absolute() == bundled_kb_dir().absolute()


def _refuse_other_origin(found: Origin, expected: Origin) -> None:
    for name in Origin._fields:
        mine, driver = getattr(found, name), getattr(expected, name)
        if mine != driver:
            raise Unfinished(
                f"the backend of this machine differs from the driver's: {name} is {mine},"
                f" there {driver}",
                "give every machine the same models, then run the same command with --resume",
            )
