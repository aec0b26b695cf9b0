"""Runs the pipeline for `run`, `triage`, `resolve` and `evaluate`."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import typer

from finops_cli.commands.alarm_options import AlarmOptions, sound_alarms
from finops_cli.commands.attribution import attribute
from finops_cli.commands.clock_options import ClockOptions, clock_config
from finops_cli.commands.cluster_options import (
    ClusterOptions,
    check_cluster,
    name_backend,
    on_cluster,
)
from finops_cli.commands.join_options import JoinOptions, open_joined
from finops_cli.commands.options import kb_dir_of, path_or_standard, refuse_too_few
from finops_cli.commands.output_forms import open_made
from finops_cli.commands.run_options import ModelOptions, RunOptions, backend_request, tone_of
from finops_cli.commands.run_view import RunView, choose_format, open_view
from finops_cli.commands.stats_file import refuse_stats
from finops_cli.commands.table_options import TableOptions, open_lines, open_several
from finops_cli.commands.tone_options import open_tone, report_tone, tone_bytes
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finops_cli.domain.allotment import InventoryOrigin
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.models.backends import SelectedBackend
    from finops_cli.models.protocol import Origin
    from finops_cli.monitoring.run_summary import RunSummary
    from finops_cli.pipeline.clock import ClockConfig, ClockPolicy
    from finops_cli.pipeline.input_source import InputSource
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.run import RunConfig
    from finops_cli.pipeline.scheduler import PipelineConfig
    from finops_cli.pipeline.sequences import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run.

    `origin` and `guard` are what provenance records; `models_changed` is true when a model was
    replaced during the run.
    """

    summary: RunSummary
    origin: Origin
    guard: str | None
    models_changed: bool

    @property
    def is_verified(self) -> bool:
        """Return true when every record is verified, by the models that the run started with."""
        return self.summary.all_verified and not self.models_changed


def run_command(
    context: typer.Context,
    command: Command,
    options: RunOptions,
    models: ModelOptions,
    *,
    clock: ClockOptions | None = None,
    table: TableOptions | None = None,
    joins: JoinOptions | None = None,
    alarms: AlarmOptions | None = None,
    cluster: ClusterOptions | None = None,
) -> None:
    """Run a command and exit with 0 when every record is verified, else with 1.

    `table` None: the input has no columns. `joins` None: the input holds cases, not fails.
    """
    from finops_cli.pipeline.run import refuse_impossible

    refuse_terminal(options)
    moment = None if clock is None else read_clock(options, clock)
    with ExitStack() as stack:
        given = _open_given(context, options, moment, table, joins, stack)
        config = run_config(context, command, options, models, clock=moment, given=given)
        refuse_impossible(config)
        refuse_stats(options.stats_json, config)
        form = choose_format(options, has_files=command != "resolve")
        check_cluster(cluster, config, tone_of(models), form)
        view = stack.enter_context(open_view(options, kb_dir_of(context), command))
        result = run_pipeline(
            context,
            command,
            options,
            models,
            clock=moment,
            given=given,
            view=view,
            alarms=alarms,
            cluster=cluster,
        )
    refuse_too_few(result.summary.records, options.min_records, options.output)
    if not result.is_verified:
        raise typer.Exit(1)


def refuse_terminal(options: RunOptions) -> None:
    """Raise UsageError for stdin where nothing is piped into it."""
    if options.source == "-" and sys.stdin.isatty():
        raise UsageError(
            "the input is -, and nothing is piped in",
            "give a file, or pipe JSONL lines into finops",
        )


def _open_given(
    context: typer.Context,
    options: RunOptions,
    moment: ClockConfig | None,
    table: TableOptions | None,
    joins: JoinOptions | None,
    stack: ExitStack,
) -> InputSource:
    """Open the input by its kind; `joins` None: it holds cases."""
    path = path_or_standard(options.source)
    if joins is None:
        several = None if path is None else open_several(path, has_cases=True)
        return several or open_lines(path)
    clock, kb_dir = open_clock(context, moment), kb_dir_of(context)
    return open_joined(
        path,
        table,
        joins,
        clock,
        stack,
        kb_dir=kb_dir,
        quiet=options.quiet,
        may_be_several=True,
    )


def read_clock(options: RunOptions, clock: ClockOptions) -> ClockConfig:
    """Read the options of the clock, once for a run: `--as-of now` must be one moment."""
    from finops_cli.pipeline.stored.journal import noted_output

    output = path_or_standard(options.output) if options.resume else None
    return clock_config(clock, None if output is None else noted_output(output))


def open_clock(context: typer.Context, moment: ClockConfig | None) -> ClockPolicy:
    """Open the moment and the calendar by which facts are joined."""
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.clock import ClockConfig

    return (moment or ClockConfig()).open(load_kb(kb_dir_of(context)))


class StagedInput(NamedTuple):
    """Input that waits at `path` until nothing refuses the run any more.

    `move_into_place` then moves it to the source of the run.
    """

    path: Path
    move_into_place: Callable[[], None]


def run_pipeline(
    context: typer.Context,
    command: Command,
    options: RunOptions,
    models: ModelOptions,
    staged: StagedInput | None = None,
    clock: ClockConfig | None = None,
    given: InputSource | None = None,
    view: RunView | None = None,
    inventory: InventoryOrigin | None = None,
    alarms: AlarmOptions | None = None,
    cluster: ClusterOptions | None = None,
    on_lines: Callable[[Sequence[bytes]], None] | None = None,
) -> RunResult:
    """Run the pipeline, with progress and a closing summary on stderr.

    `given` None is the file of JSON lines that the options name. `view` gets the lines in place of
    the output, and writes it. `inventory`: the file of a book. `on_lines` gets each batch of lines.
    """
    from finops_cli.commands.progress.run import RunProgress
    from finops_cli.kb.load import load_kb
    from finops_cli.monitoring.monitor import Monitor
    from finops_cli.pipeline.input_source import JsonLines
    from finops_cli.pipeline.run import run

    kb, options = load_kb(kb_dir_of(context)), name_backend(cluster, options, models)
    given = given or JsonLines(path_or_standard(options.source))
    config = run_config(
        context, command, options, models, clock=clock, given=given, inventory=inventory
    )
    settings = _pipeline_config(
        context, command, options, models, clock=clock, given=given, inventory=inventory
    )
    if view is not None:
        config = replace(config, output=None, spool=view.lines)
    config, monitor = replace(config, on_lines=on_lines), Monitor(monotonic, kb.evaluation)
    with ExitStack() as stack:
        config = stack.enter_context(sound_alarms(alarms, config, kb))
        pipeline, selected = _open_pipeline(context, settings, options, models, kb)
        backend = stack.enter_context(closing(pipeline.backend))
        _prepare_input(pipeline, given, staged)
        if cluster is not None:
            request = backend_request(context, options, models, pipeline.models)
            config = stack.enter_context(on_cluster(cluster, config, pipeline, request, options))
        showing = nullcontext() if view is None else view.showing()
        with showing, RunProgress(config, options, monitor) as progress:
            run_summary = run(config, pipeline, progress.update)
        changes = backend.model_changes()
    report_run(run_summary, given, changes, options.quiet, selected.describe_sharing())
    return _conclude(run_summary, pipeline, are_changed=bool(changes))


def _conclude(summary: RunSummary, pipeline: Pipeline, *, are_changed: bool) -> RunResult:
    """Report the tone of the notes, and make the result."""
    report_tone(pipeline.tone)
    return RunResult(
        summary=summary,
        origin=pipeline.backend.origin,
        guard=None if pipeline.redaction is None else pipeline.redaction.mode,
        models_changed=are_changed,
    )


def report_run(
    summary: RunSummary,
    given: InputSource,
    changes: Sequence[str],
    is_quiet: bool,
    sharing: str = "",
) -> None:
    """Print the closing summary, how models shared a processor, and which were replaced."""
    from finops_cli.commands.run_summary import describe_shared, render_summary, wrap_label

    if not is_quiet:
        typer.echo(render_summary(summary), err=True)
        if summary.shared["fails"]:
            typer.echo(wrap_label("shared", describe_shared(summary, given.path)), err=True)
        for text in given.report():
            typer.echo(wrap_label("input", text), err=True)
        if sharing:
            typer.echo(wrap_label("backend", sharing), err=True)
    for change in changes:
        warning = f"{change}: the digests in the lines may not be true of all of them"
        typer.echo(wrap_label("backend", warning), err=True)


def _prepare_input(pipeline: Pipeline, given: InputSource, staged: StagedInput | None) -> None:
    """Refuse what the run cannot read; then move staged input into its place."""
    from finops_cli.pipeline.input_source import JsonLines

    _refuse_unguarded_text(pipeline, given if staged is None else JsonLines(staged.path))
    if staged is not None:
        pipeline.backend.prepare(pipeline.models[0])
        staged.move_into_place()


def _refuse_unguarded_text(pipeline: Pipeline, source: InputSource) -> None:
    """Raises MissingPiece when `--guard require` finds text that no installed guard can read."""
    from finops_cli.pipeline.redaction import RequireGuard

    if isinstance(pipeline.redaction, RequireGuard):
        pipeline.redaction.look_ahead(source, pipeline.parse)


def run_config(
    context: typer.Context,
    command: Command,
    options: RunOptions,
    models: ModelOptions,
    *,
    clock: ClockConfig | None,
    given: InputSource,
    inventory: InventoryOrigin | None = None,
) -> RunConfig:
    """Collect the options of a call that say what a run reads, writes and does."""
    from finops_cli.pipeline.run import RunConfig

    settings = _pipeline_config(
        context, command, options, models, clock=clock, given=given, inventory=inventory
    )
    made = open_made(
        options.output,
        choose_format(options, has_files=command != "resolve"),
        has_book=command == "book",
        quiet=options.quiet,
    )
    return RunConfig(
        pipeline=settings,
        input=given,
        output=path_or_standard(options.output) if made is None else made.journal,
        made=made,
        workers=options.workers or 1,
        resume=options.resume,
        overwrite=options.overwrite,
        attribution=attribute(context, options),
    )


def _pipeline_config(
    context: typer.Context,
    command: Command,
    options: RunOptions,
    models: ModelOptions,
    *,
    clock: ClockConfig | None,
    given: InputSource,
    inventory: InventoryOrigin | None,
) -> PipelineConfig:
    from finops_cli.pipeline.scheduler import PipelineConfig
    from finops_cli.pipeline.sentiment.tone import ToneConfig
    from finops_cli.pipeline.sequences import SEQUENCES

    return PipelineConfig(
        sequence=SEQUENCES[command],
        kb_dir=kb_dir_of(context),
        timed=options.timing,
        guard=models.guard,
        clock=clock,
        strict_input=options.strict_input,
        has_rows=given.has_rows,
        inventory=inventory,
        tone=None if tone_of(models) is None else ToneConfig(),
    )


def _open_pipeline(
    context: typer.Context,
    config: PipelineConfig,
    options: RunOptions,
    models: ModelOptions,
    kb: KnowledgeBase,
) -> tuple[Pipeline, SelectedBackend]:
    """Open the pipeline with its backend; report a backend that the user did not name."""
    from finops_cli.commands.run_summary import wrap_label
    from finops_cli.models.backends import AUTO, select_backend
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.redaction import redaction_policy

    sequence, clock = config.sequence, config.clock
    policy = None if clock is None else clock.open(kb)
    if policy is not None and not policy.is_regulation:  # else each record is rejected
        policy.refuse_outside()
    request = backend_request(context, options, models, sequence.models)
    selected = select_backend(replace(request, beside_bytes=tone_bytes(models)), kb)
    is_auto = options.backend == AUTO
    # --quiet still reports that records go to models, and that named model files are not used
    asks_models = selected.backend.origin.is_model
    is_silent = options.quiet and not asks_models and not request.files
    chosen = [f"{selected.backend.origin.name} ({selected.why})"] if is_auto else []
    for text in (*([] if is_silent else chosen), *selected.notices):
        typer.echo(wrap_label("backend", text), err=True)
    tone = open_tone(context, models, kb, backend=options.backend, is_quiet=options.quiet)
    guard = models.guard or (None if tone is None else "require")
    pipeline = Pipeline(
        sequence,
        selected.backend,
        kb,
        timed=options.timing,
        keeps_raw=models.keep_raw,
        redaction=redaction_policy(guard, asks_models, kb),
        clock=policy,
        strict_input=options.strict_input,
        has_rows=config.has_rows,
        inventory=config.inventory,
        tone=tone,
    )
    return pipeline, selected
