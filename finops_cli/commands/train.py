"""`finops train`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.training import open_progress
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage

if TYPE_CHECKING:
    from finops_cli.commands.progress.training import ProgressBars
    from finops_cli.training.checkpoints import StartMode
    from finops_cli.training.planning.inspect import TrainingRequest
    from finops_cli.training.run import FinishedTraining

StageOption = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage to train a model for.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Settings for a machine: tiny-cpu, 16gb, 24gb or a100."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Your own settings (YAML); they override the recipe and the preset.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting of the recipe, such as training.batch=4. Repeat it for several.",
    ),
]
BaseFolder = Annotated[
    Path | None,
    typer.Option(
        "--base", metavar="DIR", help="Base model: a local Hugging Face folder (sets base.folder)."
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the rows of `finops generate` (sets data.folder; default: data).",
    ),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        "--max-steps", min=1, metavar="N", help="Stop after N steps (sets training.max_steps)."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder for the model (default: runs/STAGE)."
    ),
]
TrainerOption = Annotated[
    Literal["hf", "unsloth"],
    typer.Option(
        "--trainer",
        metavar="NAME",
        show_default=False,
        help=(
            "Library that trains (default: hf).\n\n\b\n"
            "hf:      transformers and TRL\n"
            "unsloth: Unsloth, which needs a GPU\n"
        ),
    ),
]
Kind = Annotated[
    Literal["llm", "tfidf", "distilbert", "calibration"],
    typer.Option(
        "--kind",
        metavar="NAME",
        show_default=False,
        help=(
            "Kind of model (default: llm).\n\n\b\n"
            "llm:   a language model, from its recipe\n"
            "tfidf: a text classifier for sentiment;\n"
            "       --data is a file of labelled texts\n"
            "distilbert: an encoder for sentiment, from\n"
            "       the folder --base, without a GPU\n"
            "calibration: the temperature of a sentiment\n"
            "       model; --base is its GGUF file or\n"
            "       its folder, perhaps with --adapter\n"
        ),
    ),
]
AdapterFolder = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        metavar="DIR",
        help="PEFT adapter over --base whose temperature is fitted, with --kind calibration.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help=(
            "Show the training plan and any blocker, without training. It needs no GPU. Exit 3:"
            " something must be installed, made or downloaded; exit 2: the recipe is wrong."
        ),
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted run from its last checkpoint."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Delete an earlier run in the folder and start over.")
]


@show_examples(
    Example("finops train --stage triage --preset tiny-cpu --dry-run", needs="data, and an extra"),
    Example("finops train --stage resolver --preset 24gb --base Qwen3-4B", needs="a GPU"),
)
def train(
    context: typer.Context,
    stage: StageOption,
    kind: Kind = "llm",
    preset: Preset = None,
    config: Config = None,
    settings: Sets = None,
    base: BaseFolder = None,
    adapter: AdapterFolder = None,
    data: DataFolder = None,
    max_steps: MaxSteps = None,
    output: Output = None,
    trainer: TrainerOption = "hf",
    dry_run: DryRun = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a stage's model."""
    if kind != "llm" or adapter is not None:
        from finops_cli.commands.train_baseline import train_sentiment

        train_sentiment(context, kind)
        return
    from finops_cli.commands.train_report import render_plan, render_result
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.planning.inspect import TrainingRequest
    from finops_cli.training.planning.plan import make_plan
    from finops_cli.training.recipe import RecipeRequest, resolve_recipe

    mode = _start_mode(resume, overwrite)
    options = _settings_of_options(settings, base, data, max_steps)
    kb_dir = kb_dir_of(context)
    recipe = resolve_recipe(RecipeRequest(stage, preset, config, options))
    folder = output if output is not None else Path("runs") / stage
    with open_progress(quiet) as bars:
        request = TrainingRequest(recipe, trainer, kb_dir, load_kb(kb_dir), bars.on_inspected)
        if dry_run:
            plan = make_plan(request, folder)
        else:
            finished = _train(request, folder, mode, bars, quiet)
    if dry_run:
        typer.echo(encode_value(plan) if as_json else render_plan(plan))
        if plan.exit_code:
            raise typer.Exit(plan.exit_code)
    else:
        typer.echo(encode_value(finished.record) if as_json else render_result(finished))


def _start_mode(resume: bool, overwrite: bool) -> StartMode:
    from finops_cli.errors import UsageError

    if resume and overwrite:
        raise UsageError(
            "--resume and --overwrite are both given. --resume continues a run, --overwrite starts"
            " over.",
            "give one of them",
        )
    return "resume" if resume else "overwrite" if overwrite else "new"


def _settings_of_options(
    settings: list[str] | None, base: Path | None, data: Path | None, max_steps: int | None
) -> list[tuple[str, str]]:
    """Write the options as settings of the recipe, each with the name of its option."""
    options = [("--set", text) for text in settings or []]
    options += [("--base", f"base.folder={_quote(base)}")] if base is not None else []
    options += [("--data", f"data.folder={_quote(data)}")] if data is not None else []
    options += [("--max-steps", f"training.max_steps={max_steps}")] if max_steps else []
    return options


def _train(
    request: TrainingRequest, folder: Path, mode: StartMode, bars: ProgressBars, quiet: bool
) -> FinishedTraining:
    from finops_cli.commands.train_report import render_plan
    from finops_cli.training import run
    from finops_cli.training.run_record import RUN

    def show(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    callbacks = run.Callbacks(
        on_plan=lambda plan: show(render_plan(plan)),
        on_message=show,
        on_progress=bars.on_step,
        now=lambda: datetime.now(UTC),
    )
    try:
        return run.train(request, folder, mode, callbacks)
    except KeyboardInterrupt:
        hint = (
            "the same command with --resume continues from the last checkpoint"
            if (folder / RUN).is_file()
            else "training had not started"
        )
        typer.echo(f"finops: interrupted; {hint}", err=True)
        raise


def _quote(path: Path) -> str:
    """Write a path as YAML text, whatever characters it has."""
    return json.dumps(str(path))
