"""`finops evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.evaluate_sentiment import (
    SentimentEvaluation,
    choose_data,
    evaluate_texts,
    refuse_other_options,
)
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import report
from finops_cli.commands.options import (
    AsJson,
    Overwrite,
    Quiet,
    Resume,
    Timing,
    Workers,
    is_typed,
    kb_dir_of,
)
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import StagedInput, run_pipeline
from finops_cli.commands.sentiment_options import SentimentGguf, SentimentModel
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.evaluation.run import Evaluation
    from finops_cli.evaluation.samples import SampleOptions

Stages = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage to evaluate.",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--rows",
        min=1,
        max=10_000_000,
        metavar="N",
        help="Number of records (default: kb entry evaluate.rows, or all of --data).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed for the generated records. Equal seeds give equal records.",
    ),
]
AsProfile = Annotated[
    Literal["coverage", "market"],
    typer.Option(
        "--profile",
        metavar="NAME",
        show_default=False,
        help=(
            "Distribution of the generated records (default: coverage).\n\n\b\n"
            "coverage: each combination equally often\n"
            "market:   values and ages as in the SEC data\n"
        ),
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="File of records to use instead of generated ones: yours, or an eval split.",
    ),
]
WithBaselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Compare with text classifiers on the same records (needs scikit-learn).",
    ),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="Your own copy of financial_phrasebank, with --stage sentiment.",
    ),
]


def _check_evaluated(name: str) -> str:
    from finops_cli.models.backends import backend_names
    from finops_cli.models.sentiment.backends import sentiment_backend_names

    names = list(dict.fromkeys([*backend_names(), *sentiment_backend_names()]))
    if name not in names:
        raise BadChoice(name, names)
    return name


EvaluatedBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        callback=_check_evaluated,
        show_default=False,
        help=(
            "Program that answers (default: auto).\n\n\b\n"
            "auto: the first of these that is ready\n"
            "ollama: models on Ollama servers\n"
            "llama-cpp: model files on this machine\n"
            "engine: the rules; for triage and resolver\n"
            "baseline: the classifier; for sentiment\n"
        ),
    ),
]
Folder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Folder for the report and the results."),
]


@show_examples(
    "finops evaluate --stage triage --backend engine -n 50 --no-baselines",
    Example("finops evaluate --stage resolver --backend llama-cpp -o out", needs="llama-cpp"),
)
@with_shared_options("keep_raw", "format_")
def evaluate(
    context: typer.Context,
    stage: Stages,
    rows: Rows = None,
    seed: Seed = 7,
    profile: AsProfile = "coverage",
    data: Data = None,
    output: Folder = Path("evaluation"),
    backend: EvaluatedBackend = "auto",
    workers: Workers = None,
    phrasebank: Phrasebank = None,
    sentiment_model: SentimentModel = None,
    sentiment_gguf: SentimentGguf = None,
    *,
    models: ModelOptions,
    resume: Resume = False,
    overwrite: Overwrite = False,
    baselines: WithBaselines = True,
    timing: Timing = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a backend against the rules on held-out records."""
    from finops_cli.evaluation.graded_stages import GRADED_STAGES
    from finops_cli.evaluation.results_dir import ANSWERS, RECORDS, lock_results
    from finops_cli.evaluation.samples import SampleOptions

    if stage not in GRADED_STAGES:
        refuse_other_options(context)
        texts = SentimentEvaluation(
            rows=rows,
            seed=seed,
            data=choose_data(data, phrasebank),
            output=output,
            backend=backend,
            workers=workers,
            sentiment_model=sentiment_model,
            sentiment_gguf=sentiment_gguf,
            overwrite=overwrite,
            baselines=baselines,
            timing=timing,
            quiet=quiet,
        )
        with lock_results(output, overwrite):
            _conclude(context, evaluate_texts(context, texts, models), output, as_json, quiet)
        return
    _refuse_sentiment_options(context, stage)
    if data is not None and str(data) == "-":
        raise UsageError("--data -: records are read more than once", "give a file")
    models = replace(models, keep_raw=True)
    if models.guard is None and data is None:
        models = replace(models, guard="off")  # nobody wrote the texts of records that finops made
    wanted = SampleOptions(GRADED_STAGES[stage].name, rows, seed, profile, data)
    options = RunOptions(
        source=str(output / RECORDS),
        output=str(output / ANSWERS),
        backend=backend,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        timing=timing,
        quiet=quiet,
    )
    with lock_results(output, overwrite):
        found, verified = _run_and_grade(context, wanted, output, options, models, baselines)
        _conclude(context, found, output, as_json, quiet)
    if not verified:
        raise typer.Exit(1)


def _run_and_grade(
    context: typer.Context,
    wanted: SampleOptions,
    output: Path,
    options: RunOptions,
    models: ModelOptions,
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
    done = run_pipeline(context, graded.command, options, models, staged)
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
    for name in ("phrasebank", "sentiment_model", "sentiment_gguf"):
        if is_typed(context, name):
            option = f"--{name.replace('_', '-')}"
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
