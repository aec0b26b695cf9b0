"""`finops generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.dataset_report import ProfileOption, show_reports
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage
from finops_cli.domain.enums import GuardMode

StageOption = Annotated[
    str | None,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage to make data for (default: triage and resolver).",
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
        help="Rows for each stage (default: kb entry data.sizes).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", help="Seed for the generated rows. Equal seeds give equal files."
    ),
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write the files to.")
]
Parquet = Annotated[
    bool,
    typer.Option(
        "--parquet",
        help="Write Parquet files too (needs pyarrow).",
    ),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="Your own copy of financial_phrasebank, with --stage sentiment: text, CSV, the ZIP"
        " file of its authors, or Parquet.",
    ),
]
TextGuard = Annotated[
    GuardMode,
    typer.Option(
        "--guard",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of personal data in --phrasebank\n(default: require).\n\n\b\n"
            "require: redact it; stop if the scanner is\n"
            "         not installed\n"
            "on:      redact it; withhold each text if the\n"
            "         scanner is not installed\n"
            "off:     leave the texts unchanged\n"
        ),
    ),
]
WorkerCount = Annotated[
    int,
    typer.Option(
        "--workers", min=1, max=256, metavar="N", help="Number of processes that make rows."
    ),
]


@show_examples(
    "finops generate --stage triage -n 100 -o data",
    "finops generate -n 1000 --seed 8 -o data",
)
def generate(
    context: typer.Context,
    stage: StageOption = None,
    rows: Rows = None,
    seed: Seed = 7,
    output: Folder = Path("data"),
    profile: ProfileOption = "coverage",
    parquet: Parquet = False,
    phrasebank: Phrasebank = None,
    guard: TextGuard = "require",
    workers: WorkerCount = 2,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make verified training data."""
    from finops_cli.datasets.generate import GenerateOptions, make_data

    options = GenerateOptions(
        stage=stage,
        rows=rows,
        seed=seed,
        profile=profile,
        folder=output,
        parquet=parquet,
        workers=workers,
        phrasebank=phrasebank,
        guard=guard,
    )

    def show_message(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    show_reports(make_data(options, kb_dir_of(context), show_message), as_json)
