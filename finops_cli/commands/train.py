"""`finops train`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.training import bars
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage

if TYPE_CHECKING:
    from finops_cli.commands.progress.training import Bars
    from finops_cli.training.checkpoints import StartMode
    from finops_cli.training.planning.inspect import TrainingRequest
    from finops_cli.training.run import Trained

OfStage = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="The stage whose model it is.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="What differs by machine: tiny-cpu, 16gb, 24gb, a100."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A recipe of your own, over that of the stage and the preset.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One key of the recipe, such as training.batch=4; may be repeated.",
    ),
]
BaseFolder = Annotated[
    Path | None,
    typer.Option(
        "--base", metavar="DIR", help="The base model: a local Hugging Face folder (base.folder)."
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The rows of `finops generate` (data.folder; data when absent).",
    ),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        "--max-steps", min=1, metavar="N", help="End after so many steps (training.max_steps)."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Where the model goes; runs/STAGE when absent."
    ),
]
TrainerOption = Annotated[
    Literal["hf", "unsloth"],
    typer.Option("--trainer", help="hf: transformers and TRL; unsloth: Unsloth, on a GPU."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Tell what would be done, and what stands in the way; needs no GPU."
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from the last checkpoint of an interrupted training."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Start over where a training left something.")
]


def train(
    context: typer.Context,
    stage: OfStage,
    preset: Preset = None,
    config: Config = None,
    settings: Sets = None,
    base: BaseFolder = None,
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
    """Train a stage's model from its recipe."""
    from finops_cli.commands.train_report import plan_text, result_text
    from finops_cli.errors import UsageError
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.planning.inspect import TrainingRequest
    from finops_cli.training.planning.plan import plan
    from finops_cli.training.recipe import Chosen, resolve

    if resume and overwrite:
        raise UsageError(
            "--resume goes on with a training, --overwrite starts over: give one of them"
        )
    flags = [("--set", text) for text in settings or []]
    flags += [("--base", f"base.folder={_quoted(base)}")] if base is not None else []
    flags += [("--data", f"data.folder={_quoted(data)}")] if data is not None else []
    flags += [("--max-steps", f"training.max_steps={max_steps}")] if max_steps is not None else []
    kb_dir = kb_dir_of(context)
    resolved = resolve(Chosen(stage, preset, config, flags))
    folder = output if output is not None else Path("runs") / stage
    with bars(quiet) as both:
        asked = TrainingRequest(resolved, trainer, kb_dir, load_kb(kb_dir), both.look)
        if dry_run:
            made = plan(asked, folder)
        else:
            done = _train(
                asked,
                folder,
                "resume" if resume else "overwrite" if overwrite else "new",
                both,
                quiet,
            )
    if dry_run:
        typer.echo(encode_value(made) if as_json else plan_text(made))
    else:
        typer.echo(encode_value(done.run) if as_json else result_text(done))


def _train(
    asked: TrainingRequest, folder: Path, how: StartMode, both: Bars, quiet: bool
) -> Trained:
    from finops_cli.commands.train_report import plan_text
    from finops_cli.training.run import Told
    from finops_cli.training.run import train as make
    from finops_cli.training.run_record import RUN

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    told = Told(lambda plan: tell(plan_text(plan)), tell, both.watch, lambda: datetime.now(UTC))
    try:
        return make(asked, folder, how, told)
    except KeyboardInterrupt:
        begun = (folder / RUN).is_file()
        cure = "the same call with --resume goes on from the last checkpoint" if begun else ""
        report("interrupted" if begun else "interrupted before anything began", cure)
        raise


def _quoted(path: Path) -> str:
    """A path as a YAML text, whatever is in it."""
    import json

    return json.dumps(str(path))
