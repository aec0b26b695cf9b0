"""`finops sentiment`."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.alarm_options import AlarmOptions, sound_alarms
from finops_cli.commands.attribution import attribute
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import kb_dir_of, path_or_standard, refuse_too_few
from finops_cli.commands.output_forms import refuse_made_form
from finops_cli.commands.run_options import RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import report_run
from finops_cli.commands.run_summary import wrap_label
from finops_cli.commands.sentiment_options import (
    SentimentBackend,
    SentimentOptions,
    Texts,
    sentiment_request,
)
from finops_cli.commands.stats_file import refuse_stats
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.input_source import InputSource
    from finops_cli.pipeline.sentiment.pipeline import SentimentConfig, SentimentPipeline


@show_examples(
    "finops sentiment examples/sentiment/texts.jsonl",
    "finops sentiment examples/sentiment/replies.txt --lines -o tone.jsonl",
)
@with_shared_options("format_", "strict_input", source=Texts, backend=SentimentBackend)
def sentiment(
    context: typer.Context, options: RunOptions, texts: SentimentOptions, alarms: AlarmOptions
) -> None:
    """Label the tone of texts: positive, neutral, negative."""
    from finops_cli.commands.progress.run import RunProgress
    from finops_cli.kb.load import load_kb
    from finops_cli.monitoring.monitor import Monitor
    from finops_cli.pipeline.run import RunConfig, refuse_impossible, run

    if options.source == "-" and sys.stdin.isatty():
        raise UsageError(
            "the input is -, and nothing is piped in",
            "give a file, or pipe texts into finops",
        )
    refuse_made_form(options.output, "sentiment")
    kb = load_kb(kb_dir_of(context))
    with ExitStack() as stack:
        given = open_texts(path_or_standard(options.source), texts, stack)
        settings = _settings(context, options, texts)
        config = RunConfig(
            pipeline=settings,
            input=given,
            output=path_or_standard(options.output),
            workers=options.workers or 1,
            resume=options.resume,
            overwrite=options.overwrite,
            attribution=attribute(context, options),
        )
        refuse_impossible(config)
        refuse_stats(options.stats_json, config)
        config = stack.enter_context(sound_alarms(alarms, config, kb))
        pipeline, describe_servers = _open_pipeline(context, settings, options, texts, kb)
        monitor = Monitor(monotonic, kb.evaluation)
        with closing(pipeline.backend) as backend:
            with RunProgress(config, options, monitor) as progress:
                summary = run(config, pipeline, progress.update)
            changes = backend.model_changes()
    report_run(summary, given, changes, options.quiet, describe_servers())
    refuse_too_few(summary.records, options.min_records, options.output)
    if changes or not summary.all_verified:
        raise typer.Exit(1)


def _settings(
    context: typer.Context, options: RunOptions, texts: SentimentOptions
) -> SentimentConfig:
    from finops_cli.pipeline.sentiment.parse import TextParser
    from finops_cli.pipeline.sentiment.pipeline import SentimentConfig

    return SentimentConfig(
        kb_dir=kb_dir_of(context),
        timed=options.timing,
        guard=texts.guard,
        parser=TextParser("lines" if texts.lines else "objects", texts.field),
        split=texts.split,
        keeps_raw=texts.keep_raw,
        on_violation=texts.on_violation,
        baseline=texts.baseline,
    )


def _open_pipeline(
    context: typer.Context,
    settings: SentimentConfig,
    options: RunOptions,
    texts: SentimentOptions,
    kb: KnowledgeBase,
) -> tuple[SentimentPipeline, Callable[[], str]]:
    """Open the pipeline with its backend, and what describes its servers at the end; report a
    backend that the user did not name.

    Raises MissingPiece if the guard is required and not installed, before a text is read.
    """
    from finops_cli.models.backends import AUTO
    from finops_cli.models.sentiment.backends import select_classifier
    from finops_cli.pipeline.redaction import RequireGuard, redaction_policy

    policy = redaction_policy(texts.guard, asks_models=False, kb=kb)
    if isinstance(policy, RequireGuard):
        raise policy.refuse("the input")
    request = sentiment_request(context, options.backend, options.workers, texts)
    selected = select_classifier(request, kb)
    is_silent = options.quiet and not selected.classifier.origin.is_model
    chosen = f"{selected.classifier.origin.name} ({selected.why})"
    is_auto = options.backend == AUTO
    for text in (*([chosen] if is_auto and not is_silent else []), *selected.notices):
        typer.echo(wrap_label("backend", text), err=True)
    return settings.open_with(selected.classifier, kb), selected.describe_servers


def open_texts(path: Path | None, texts: SentimentOptions, stack: ExitStack) -> InputSource:
    """Open the input by its kind: JSON Lines, plain lines, or a column of a table.

    `path` None is stdin, which has JSON Lines or, with --lines, plain lines.
    """
    from finops_cli.files.recognise import FileKind, recognise
    from finops_cli.files.safe_io import refuse_unreadable
    from finops_cli.importers.text_sources import PlainLines
    from finops_cli.pipeline.input_source import JsonLines

    if path is not None:
        refuse_unreadable(path)
    if texts.lines:
        _refuse_field(texts)
    if path is None or not path.is_file():
        return PlainLines(path) if texts.lines else JsonLines(path)
    recognised = recognise(path)
    if texts.lines:
        if recognised.kind is FileKind.WORKBOOK:
            raise UsageError(f"{path}: is a workbook, which has no lines", "leave --lines out")
        return PlainLines(path, recognised)
    if recognised.kind in (FileKind.JSON_LINES, FileKind.EMPTY):
        return JsonLines(path, recognised)
    is_column = recognised.kind is FileKind.TEXT and path.suffix.lower() == ".csv"
    if is_column or recognised.kind in (FileKind.TABLE, FileKind.WORKBOOK):
        from finops_cli.importers.text_sources import open_column

        return open_column(recognised, texts.field, stack)
    raise UsageError(
        f"{path}: is {recognised.kind}; accepted: JSON Lines with a text, CSV or .xlsx",
        "if each line is a text, give --lines",
    )


def _refuse_field(texts: SentimentOptions) -> None:
    if texts.field != "text":
        raise UsageError(
            f"--lines and --field {texts.field} exclude each other: a plain line has no fields",
            "leave one of the two out",
        )
