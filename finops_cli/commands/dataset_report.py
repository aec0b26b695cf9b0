"""`finops dataset-report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, kb_dir_of

if TYPE_CHECKING:
    from finops_cli.datasets.report import Report

_DATA = ("finops generate --stage triage -n 40 -o data -q",)
Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH", help="JSONL files of `finops generate`, or their folders."),
]
ProfileOption = Annotated[
    Literal["coverage", "market"],
    typer.Option(
        "--profile",
        metavar="NAME",
        show_default=False,
        help=(
            "Distribution of the records (default: coverage).\n\n\b\n"
            "coverage: each combination equally often\n"
            "market:   values and ages as in the SEC data\n"
        ),
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write the distributions to this file too, as an HTML page."
    ),
]


@show_examples(
    Example("finops dataset-report data", after=_DATA),
    Example("finops dataset-report data/triage-train.jsonl --html page.html", after=_DATA),
)
def dataset_report(
    context: typer.Context,
    paths: Paths,
    profile: ProfileOption = "coverage",
    html: Page = None,
    as_json: AsJson = False,
) -> None:
    """Verify training data and count what it covers."""
    from finops_cli.datasets.report import list_files, report
    from finops_cli.files.safe_io import refuse_unwritable, writing_whole
    from finops_cli.kb.load import load_kb

    if html is not None:
        refuse_unwritable(html, list(list_files(paths)), "--html")
    reports = report(paths, profile, load_kb(kb_dir_of(context)))
    if html is not None:
        from finops_cli.datasets.report_html import page

        with writing_whole(html, []) as file:
            file.write(page(reports, "finops training data").encode())
    show_reports(reports, as_json)


def show_reports(reports: list[Report], as_json: bool) -> None:
    """Print the reports. Raises Exit with status 1 when a requirement is not met."""
    from finops_cli.pipeline.output import encode_value

    if as_json:
        typer.echo(encode_value(reports))
    else:
        for each in reports:
            _show_report(each)
    if not all(each.is_met for each in reports):
        raise typer.Exit(1)


def _show_report(report: Report) -> None:
    results = {True: "met", False: "NOT MET", None: "too few"}
    typer.echo(f"{report.stage}: {report.rows:,} rows, {report.bad_rows:,} bad")
    for fault in report.faults:
        typer.echo(f"  bad row  {fault}")
    for each in report.requirements:
        typer.echo(f"  {results[each.met]:<8} {each.name}: {each.detail}")
