"""What `run`, `triage` and `resolve` do alike: set up the job, show it, report it."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import typer

from finops_cli.commands.options import kb_dir_of, path_or_standard, typed
from finops_cli.commands.run_options import Call, Models
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.protocol import Origin
    from finops_cli.monitoring.run_summary import RunSummary
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.run import RunConfig
    from finops_cli.pipeline.stages import Stage


class Conducted(NamedTuple):
    """What a run came to: its tally, what stands in provenance of who answered, and whether the
    models changed under it.
    """

    tally: RunSummary
    origin: Origin
    guard: str | None
    changed: bool

    @property
    def verified(self) -> bool:
        """Whether every record is verified, by the models that the run began with."""
        return self.tally.all_verified and not self.changed


def run_command(context: typer.Context, stage: Stage, call: Call, models: Models) -> None:
    """Run one job and exit 0 when every record is verified, else 1."""
    from finops_cli.files.safe_io import refuse_unwritable
    from finops_cli.pipeline.resume import note_path
    from finops_cli.pipeline.run import refuse_impossible

    if call.source == "-" and sys.stdin.isatty():
        raise UsageError("nothing is piped in: give a file, or pipe JSONL lines into finops")
    job = _job(context, stage, call, models)
    refuse_impossible(job)
    if call.stats_json is not None:
        _refuse_streams(call.stats_json)
        refuse_unwritable(
            call.stats_json, [job.source, job.output, note_path(job.output) if job.output else None]
        )
    if not run_pipeline(context, stage, call, models).verified:
        raise typer.Exit(1)


class Staged(NamedTuple):
    """Input that stands aside until nothing refuses the run any more: `take_up` then puts it where
    the call has it.
    """

    at: Path
    take_up: Callable[[], None]


def run_pipeline(
    context: typer.Context, stage: Stage, call: Call, models: Models, staged: Staged | None = None
) -> Conducted:
    """Run one job, with progress and closing summary on stderr."""
    from finops_cli.commands.progress.run import watched
    from finops_cli.commands.run_summary import summary, wrapped
    from finops_cli.kb.load import load_kb
    from finops_cli.monitoring.monitor import Monitor
    from finops_cli.pipeline.redaction import RequireGuard
    from finops_cli.pipeline.run import run
    from finops_cli.pipeline.stages import STAGE_SEQUENCES

    kb = load_kb(kb_dir_of(context))
    desk = _desk(context, stage, call, models, kb)
    job = _job(context, stage, call, models)
    monitor = Monitor(monotonic, kb.evaluation)
    with closing(desk.backend):
        if isinstance(desk.screen, RequireGuard):
            desk.screen.look_ahead(
                staged.at if staged is not None else job.source, stage == "resolve", kb
            )
        if staged is not None:
            desk.backend.prepare(STAGE_SEQUENCES[stage].models[0])
            staged.take_up()
        with watched(job, call, monitor) as watch:
            tally = run(job, desk, watch)
        changes = desk.backend.model_changes()
    if not call.quiet:
        typer.echo(summary(tally), err=True)
    for change in changes:
        typer.echo(
            wrapped(
                "backend", f"{change}: the digests in the lines may not be true of all of them"
            ),
            err=True,
        )
    return Conducted(
        tally, desk.backend.origin, None if desk.screen is None else desk.screen.way, bool(changes)
    )


def _refuse_streams(stats: Path) -> None:
    """Raises UsageError for standard output, and for a file that stderr goes into: a file of stats
    is replaced whole.
    """
    if str(stats) == "-":
        raise UsageError("--stats-json -: stdout is for the lines", "give a file")
    for stream, number in (("stdout", 1), ("stderr", 2)):
        try:
            same = os.path.samestat(os.fstat(number), stats.stat())
        except OSError:  # closed, or not there yet
            continue
        if same and (number == 1 or stats.is_file()):
            raise UsageError(f"--stats-json {stats}: {stream} goes there", "give another file")


def _job(context: typer.Context, stage: Stage, call: Call, models: Models) -> RunConfig:
    from finops_cli.pipeline.run import RunConfig
    from finops_cli.pipeline.scheduler import PipelineConfig

    plan = PipelineConfig(stage, kb_dir_of(context), call.timing, models.guard)
    source, output = path_or_standard(call.source), path_or_standard(call.output)
    return RunConfig(plan, source, output, call.workers or 1, call.resume, call.overwrite)


def _desk(
    context: typer.Context, stage: Stage, call: Call, models: Models, kb: KnowledgeBase
) -> Pipeline:
    """The desk with the backend that the call wants; says which and why where that was not the
    call's to decide.
    """
    from finops_cli.commands.run_summary import wrapped
    from finops_cli.models.backend_request import BackendRequest
    from finops_cli.models.backends import AUTO, select_backend
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.redaction import redaction_policy
    from finops_cli.pipeline.stages import STAGE_SEQUENCES

    wanted = BackendRequest(
        call.backend,
        STAGE_SEQUENCES[stage].models,
        tuple(models.hosts or ()),
        models.triage_model,
        models.resolver_model,
        models.on_violation,
        models.timeout,
        call.workers,
        models.triage_gguf,
        models.resolver_gguf,
        frozenset(name for name in ("triage_gguf", "resolver_gguf") if not typed(context, name)),
    )
    chosen = select_backend(wanted, kb)
    told = [f"{chosen.backend.origin.name} ({chosen.why})"] if call.backend == AUTO else []
    if call.quiet and chosen.backend.origin.digests is None and not wanted.ggufs:
        # that records go to models is said in any case, and that files which are named are not used
        told = []
    for text in (*told, *chosen.notices):
        typer.echo(wrapped("backend", text), err=True)
    screen = redaction_policy(models.guard, chosen.backend.origin.digests is not None, kb)
    return Pipeline(stage, chosen.backend, kb, call.timing, models.keep_raw, screen)
