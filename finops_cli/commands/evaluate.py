"""`finops evaluate`."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.cluster_options import ClusterOptions, refuse_stray
from finops_cli.commands.evaluate_sentiment import evaluate_texts, refuse_other_options
from finops_cli.commands.evaluation_options import EvaluationOptions, TextOptions
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, Resume, is_typed, kb_dir_of
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import StagedInput, run_pipeline
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.evaluation.run import Evaluation
    from finops_cli.evaluation.samples import SampleOptions


@show_examples(
    "finops evaluate --stage triage --backend engine -n 50 --no-baselines",
    Example("finops evaluate --stage resolver --backend llama-cpp -o out", needs="llama-cpp"),
)
@with_shared_options("keep_raw", "format_")
def evaluate(
    context: typer.Context,
    *,
    wanted: EvaluationOptions,
    texts: TextOptions,
    models: ModelOptions,
    cluster: ClusterOptions,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Measure a backend against the rules on held-out records."""
    from finops_cli.evaluation.graded_stages import GRADED_STAGES
    from finops_cli.evaluation.results_dir import ANSWERS, RECORDS, lock_results
    from finops_cli.evaluation.samples import SampleOptions

    output = wanted.output
    refuse_stray(cluster)
    if wanted.stage not in GRADED_STAGES:
        refuse_other_options(context)
        with lock_results(output, wanted.overwrite):
            found = evaluate_texts(context, wanted, texts, models)
            _conclude(context, found, output, as_json, wanted.quiet)
        return
    _refuse_sentiment_options(context, wanted.stage)
    models = _models_for_records(models, wanted.data)
    stage = GRADED_STAGES[wanted.stage].name
    sample = SampleOptions(stage, wanted.rows, wanted.seed, wanted.profile, wanted.data)
    options = RunOptions(
        source=str(output / RECORDS),
        output=str(output / ANSWERS),
        backend=wanted.backend,
        workers=wanted.workers,
        resume=resume,
        overwrite=wanted.overwrite,
        timing=wanted.timing,
        anonymous=True,  # the folder of an evaluation is shown to others
        quiet=wanted.quiet,
    )
    with lock_results(output, wanted.overwrite):
        found, verified = _run_and_grade(
            context, sample, output, options, models, cluster, wanted.baselines
        )
        _conclude(context, found, output, as_json, wanted.quiet)
    if not verified:
        raise typer.Exit(1)


def _models_for_records(models: ModelOptions, data: Path | None) -> ModelOptions:
    """Return the options of the models: raw answers are kept, and own records need no guard.

    Raises UsageError for records on stdin.
    """
    if data is not None and str(data) == "-":
        raise UsageError("--data -: records are read more than once", "give a file")
    if models.guard is None and data is None:
        return replace(models, keep_raw=True, guard="off")  # finops made the texts itself
    return replace(models, keep_raw=True)


def _run_and_grade(
    context: typer.Context,
    wanted: SampleOptions,
    output: Path,
    options: RunOptions,
    models: ModelOptions,
    cluster: ClusterOptions,
    baselines: bool,
) -> tuple[Evaluation, bool]:
    """The evaluation, and whether every record is verified."""
    from finops_cli.evaluation.baselines import missing
    from finops_cli.evaluation.graded_stages import GRADED_STAGES
    from finops_cli.evaluation.results_dir import STAGED, adopt_staged_records
    from finops_cli.evaluation.run import BaselineOptions, conclude
    from finops_cli.evaluation.samples import write_records
    from finops_cli.kb.load import load_kb

    kb = load_kb(kb_dir_of(context))
    write_records(wanted, output / STAGED, kb)
    graded = GRADED_STAGES[wanted.stage]
    staged = StagedInput(
        output / STAGED, lambda: adopt_staged_records(output, options.resume, options.overwrite)
    )
    done = run_pipeline(context, graded.command, options, models, staged, cluster=cluster)
    if baselines and graded.has_baselines and not options.quiet:
        absent = missing()
        learning = "text classifiers learn from the train split"
        typer.echo(
            f"{'baselines':<12} {absent.one_line() if absent is not None else learning}", err=True
        )
    try:
        simpler = BaselineOptions(baselines, options.timing)
        return conclude(wanted, output, done.origin, done.guard, kb, simpler), done.is_verified
    except KeyboardInterrupt:
        report(
            "interrupted; every answer so far is whole",
            "the same command with --resume goes on and grades them",
        )
        raise


def _refuse_sentiment_options(context: typer.Context, stage: str) -> None:
    for field in fields(TextOptions):
        if is_typed(context, field.name):
            option = f"--{field.name.replace('_', '-')}"
            what = f"{option} goes with --stage sentiment, not {stage}"
            raise UsageError(what, f"remove {option}")


def _conclude(
    context: typer.Context, evaluation: Evaluation, output: Path, as_json: bool, quiet: bool
) -> None:
    """Write page and figures; say the figures on stdout."""
    from finops_cli.evaluation.reports.html_report import page
    from finops_cli.evaluation.reports.text_report import evaluation_text
    from finops_cli.evaluation.results_dir import REPORT
    from finops_cli.evaluation.run import write
    from finops_cli.files.safe_io import whole
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value

    settings = load_kb(kb_dir_of(context)).evaluation
    with whole(output / REPORT) as file:
        file.write(page(evaluation, settings).encode())
    write(evaluation, output)
    if not quiet:
        typer.echo(f"{'report':<12} {output / REPORT}", err=True)
    typer.echo(encode_value(evaluation) if as_json else evaluation_text(evaluation, settings))
