"""`finops import sec-fails` and `finops import csv`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from finops_cli.commands.options import Output, Quiet, path_or_standard

if TYPE_CHECKING:
    from decimal import Decimal

    from finops_cli.importers.stream import Item

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_PCT = "PCT"
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="Fails-to-deliver files of the SEC, unzipped, in any order."
    ),
]
ThresholdList = Annotated[
    Path | None,
    typer.Option(
        "--threshold-list",
        metavar="FILE",
        help="Reg SHO threshold list of Nasdaq's shape, joined on the symbol.",
    ),
]
AsOf = Annotated[
    Optional[str],  # noqa: UP045 - the same
    typer.Option(
        "--as-of",
        metavar="YYYYMMDD",
        help="The settlement day whose fails to write; the latest one when absent.",
    ),
]
EveryDay = Annotated[
    bool, typer.Option("--every-day", help="A record for every row, not only for one day's.")
]
Counterparty = Annotated[
    str, typer.Option("--counterparty", metavar="DTC-NNNN", help="Assumed: the data names none.")
]
CpFailRate = Annotated[
    str,
    typer.Option("--cp-fail-rate-pct", metavar=_PCT, help="Assumed fail rate of the counterparty."),
]
SecurityFailRate = Annotated[
    Optional[str],  # noqa: UP045 - the same
    typer.Option(
        "--security-fail-rate-pct-adv",
        metavar=_PCT,
        help="Assumed fail rate of the security; none when absent.",
    ),
]
Coverage = Annotated[
    str,
    typer.Option(
        "--inventory-coverage-pct", metavar=_PCT, help="Assumed part of the shares in the box."
    ),
]
Recall = Annotated[
    str,
    typer.Option("--recall-pct", metavar=_PCT, help="Assumed part that a recall can bring back."),
]
Borrow = Annotated[
    str, typer.Option("--borrow-pct", metavar=_PCT, help="Assumed part that can be borrowed.")
]
PriceIfMissing = Annotated[
    str,
    typer.Option("--price-if-missing", metavar="USD", help="Assumed where the data has no price."),
]


@app.command("sec-fails")
def sec_fails(
    files: Files,
    threshold_list: ThresholdList = None,
    output: Output = None,
    as_of: AsOf = None,
    every_day: EveryDay = False,
    counterparty: Counterparty = "DTC-0000",
    cp_fail_rate: CpFailRate = "0",
    security_fail_rate: SecurityFailRate = None,
    coverage: Coverage = "0",
    recall: Recall = "0",
    borrow: Borrow = "0",
    price: PriceIfMissing = "0",
    quiet: Quiet = False,
) -> None:
    """Fail records from the SEC's public fails-to-deliver files; what they cannot know is assumed
    and marked in each record.
    """
    from finops_cli.importers.sec_fails import Assumptions, Choice, import_sec_fails

    assumptions = Assumptions(
        counterparty,
        _percent("--cp-fail-rate-pct", cp_fail_rate),
        (
            None
            if security_fail_rate is None
            else _percent("--security-fail-rate-pct-adv", security_fail_rate)
        ),
        _percent("--inventory-coverage-pct", coverage),
        _percent("--recall-pct", recall),
        _percent("--borrow-pct", borrow),
        _price(price),
    )
    sources = files if threshold_list is None else [*files, threshold_list]
    _write(
        import_sec_fails(files, assumptions, Choice(as_of, every_day), threshold_list),
        output,
        sources,
        quiet,
    )


@app.command("csv")
def blotter(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The blotter, a CSV file with a header; - for stdin."),
    ],
    mapping: Annotated[
        Path,
        typer.Option(
            "--map", metavar="MAPPING.yaml", help="Which column is which field of a fail record."
        ),
    ],
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Fail records from a desk's own blotter."""
    from finops_cli.errors import UsageError
    from finops_cli.importers.blotter_csv import import_csv

    source = path_or_standard(file)
    if source is None and sys.stdin.isatty():
        raise UsageError("nothing is piped in: give a file, or pipe CSV into finops")
    _write(
        import_csv(source, mapping),
        output,
        [mapping] if source is None else [source, mapping],
        quiet,
    )


def _percent(option: str, text: str) -> Decimal:
    from finops_cli.domain.money import parse_percent
    from finops_cli.errors import UsageError

    try:
        return parse_percent(text)
    except ValueError as error:
        raise UsageError(f"{option} is {text!r}; accepted: {error}") from error


def _price(text: str) -> Decimal:
    from finops_cli.errors import UsageError
    from finops_cli.importers.sec_rows import PRICE_ACCEPTED, read_price

    price = read_price(text.removeprefix("$"))
    if price is None:
        raise UsageError(f"--price-if-missing is {text!r}; accepted: {PRICE_ACCEPTED}")
    return price


def _write(items: Iterator[Item], output: str | None, sources: list[Path], quiet: bool) -> None:
    """Records to the output, the rest to stderr; exits 1 when anything was damaged."""
    from finops_cli.files.safe_io import writing_whole
    from finops_cli.importers.stream import Damage, FileRead, Gap

    records = rows = files = damaged = 0
    with writing_whole(path_or_standard(output), sources) as out:
        for item in items:
            if isinstance(item, bytes):
                records += 1
                out.write(item + b"\n")
            elif isinstance(item, Damage):
                damaged += 1
                for problem in item.problems:
                    typer.echo(f"{item.file}:{item.line}: {problem.message}", err=True)
            elif isinstance(item, Gap):
                typer.echo(
                    f"no file has a row between {item.after} and {item.before}: ages do not count"
                    " the days between",
                    err=True,
                )
            elif isinstance(item, FileRead):
                rows, files = rows + item.rows, files + 1
    if not quiet:
        typer.echo(
            f"records {records:,}  rows {rows:,}  files {files:,}  damaged lines {damaged:,}",
            err=True,
        )
    if damaged:
        raise typer.Exit(1)
