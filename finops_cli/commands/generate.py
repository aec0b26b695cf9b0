"""`finops generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.dataset_report import ProfileOption, show_reports
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage

StageOption = Annotated[
    str | None,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="The stage to make data for; triage and resolver when absent.",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--rows",
        min=1,
        max=10_000_000,
        help="Rows for each stage; kb data.sizes when absent.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed makes the same bytes.")]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write to.")
]
Parquet = Annotated[
    bool,
    typer.Option(
        "--parquet",
        help="Also write Parquet beside JSONL (needs pyarrow).",
    ),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="With --stage sentiment: rows from your own copy of financial_phrasebank.",
    ),
]
WorkerCount = Annotated[
    int, typer.Option("--workers", min=1, max=256, help="Number of processes that make rows.")
]


def generate(
    context: typer.Context,
    stage: StageOption = None,
    rows: Rows = None,
    seed: Seed = 7,
    output: Folder = Path("data"),
    profile: ProfileOption = "coverage",
    parquet: Parquet = False,
    phrasebank: Phrasebank = None,
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
    )

    def show_message(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    show_reports(make_data(options, kb_dir_of(context), show_message), as_json)
