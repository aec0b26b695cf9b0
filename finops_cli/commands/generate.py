"""`finops generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.options import AsJson, Quiet, kb_dir_of

if TYPE_CHECKING:
    from finops_cli.datasets.report import Report

Stages = Annotated[
    Literal["triage", "resolver", "sentiment"] | None,
    typer.Option("--stage", help="One set instead of triage and resolver."),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "-n", "--rows", min=1, max=10_000_000, help="Rows per stage; the cards' sizes when absent."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed makes the same bytes.")]
Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")]
AsProfile = Annotated[
    Literal["coverage", "market"],
    typer.Option("--profile", help="Every combination alike, or values and ages of the SEC files."),
]
Parquet = Annotated[
    bool,
    typer.Option("--parquet", help="Parquet beside JSONL (needs pyarrow)."),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="With --stage sentiment: your own copy of financial_phrasebank instead.",
    ),
]
Recount = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="PATH",
        help="Recount files or folders instead; exit 1 when a promise is broken.",
    ),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="With --report: the distributions as a page."),
]
Crew = Annotated[
    int, typer.Option("--workers", min=1, max=256, help="Processes that work side by side.")
]


def generate(
    context: typer.Context,
    stage: Stages = None,
    rows: Rows = None,
    seed: Seed = 7,
    output: Folder = Path("data"),
    profile: AsProfile = "coverage",
    parquet: Parquet = False,
    phrasebank: Phrasebank = None,
    workers: Crew = 2,
    report: Recount = None,
    html: Page = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make verified training data, or recount it."""
    from finops_cli.datasets.generate import GenerateOptions, make_data
    from finops_cli.errors import UsageError
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value

    kb_dir = kb_dir_of(context)
    if phrasebank is not None and stage != "sentiment":
        raise UsageError("--phrasebank goes with --stage sentiment")
    if report is None:
        wanted = GenerateOptions(stage, rows, seed, profile, output, parquet, workers, phrasebank)
        found = make_data(
            wanted, kb_dir, lambda text: None if quiet else typer.echo(text, err=True)
        )
    else:
        from finops_cli.datasets.report import report as recount

        found = recount(report, profile, load_kb(kb_dir))
    if html is not None:
        from finops_cli.datasets.report_html import page

        html.write_text(page(found, "finops training data"), encoding="utf-8")
    typer.echo(encode_value(found)) if as_json else _tell(found)
    if not all(each.kept for each in found):
        raise typer.Exit(1)


def _tell(reports: list[Report]) -> None:
    verdicts = {True: "kept", False: "BROKEN", None: "too few"}
    for report in reports:
        typer.echo(f"{report.stage}: {report.rows:,} rows, {report.bad_rows:,} bad")
        for fault in report.faults:
            typer.echo(f"  bad row  {fault}")
        for promise in report.requirements:
            typer.echo(f"  {verdicts[promise.kept]:<8} {promise.name}: {promise.detail}")
