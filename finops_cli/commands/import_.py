"""`finops import`: files of the SEC, market messages, and blotters (CSV or .xlsx)."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from finops_cli.commands.clock_options import AsOfOption, CalendarOption, open_clock
from finops_cli.commands.help_examples import CommandWithExamples, GroupWithExamples, show_examples
from finops_cli.commands.import_items import write_items
from finops_cli.commands.import_swift import swift
from finops_cli.commands.join_options import JoinOptions, open_joined
from finops_cli.commands.options import (
    MinRecords,
    Output,
    Overwrite,
    Quiet,
    kb_dir_of,
    path_or_standard,
)
from finops_cli.commands.run_options import with_shared_options
from finops_cli.commands.table_options import (
    AS_OF_OPTION,
    TableOptions,
    list_missing,
    propose_mapping,
    require_rows,
)

if TYPE_CHECKING:
    from decimal import Decimal


app = typer.Typer(cls=GroupWithExamples, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
@show_examples(
    "finops import csv examples/csv/blotter.csv --map examples/csv/mapping.yaml",
    "finops import sec-fails examples/sec-fails/cns*.txt",
)
def import_records() -> None:
    """Convert files of others, or your own, to fail records."""


app.command("swift", cls=CommandWithExamples)(swift)

_PCT = "PCT"
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Fails-to-deliver files of the SEC, in any order: text, .zip or .gz, one or several in"
        " a file.",
    ),
]
ThresholdList = Annotated[
    Optional[list[Path]],  # noqa: UP045 - Typer needs it
    typer.Option(
        "--threshold-list",
        metavar="FILE",
        help="Reg SHO threshold list of Nasdaq, NYSE, Cboe, OCC or FINRA, joined by symbol. Give"
        " the option once for each list: those of one day are united, and a day without one takes"
        " the latest earlier list.",
    ),
]
ListDate = Annotated[
    Optional[str],  # noqa: UP045 - the same
    typer.Option(
        "--list-date",
        metavar="DATE",
        help="Day of the threshold lists that have a date neither in their last line nor in their"
        " name.",
    ),
]
History = Annotated[
    bool,
    typer.Option(
        "--history",
        help="Give each record the quantities of the days before. They are those of all members"
        " of NSCC together, not of one firm.",
    ),
]
AsOf = Annotated[
    Optional[str],  # noqa: UP045 - the same
    typer.Option(
        "--as-of",
        metavar="YYYYMMDD",
        help="Settlement day of the records to write (default: the latest).",
    ),
]
EveryDay = Annotated[
    bool, typer.Option("--every-day", help="Write a record for each row, not only for one day.")
]
Counterparty = Annotated[
    str,
    typer.Option(
        "--counterparty",
        metavar="DTC-NNNN",
        help="Counterparty to assume; the files have none.",
    ),
]
CpFailRate = Annotated[
    str,
    typer.Option(
        "--cp-fail-rate-pct", metavar=_PCT, help="Fail rate to assume for the counterparty."
    ),
]
SecurityFailRate = Annotated[
    Optional[str],  # noqa: UP045 - the same
    typer.Option(
        "--security-fail-rate-pct-adv",
        metavar=_PCT,
        help="Fail rate to assume for the security (default: none).",
    ),
]
Coverage = Annotated[
    str,
    typer.Option(
        "--inventory-coverage-pct",
        metavar=_PCT,
        help="Percentage of the shares to assume in the box.",
    ),
]
Recall = Annotated[
    str,
    typer.Option(
        "--recall-pct", metavar=_PCT, help="Percentage of the shares to assume recallable."
    ),
]
Borrow = Annotated[
    str,
    typer.Option(
        "--borrow-pct", metavar=_PCT, help="Percentage of the shares to assume borrowable."
    ),
]
PriceIfMissing = Annotated[
    str,
    typer.Option(
        "--price-if-missing", metavar="USD", help="Price to assume where the files have none."
    ),
]


@app.command("sec-fails", cls=CommandWithExamples)
@show_examples(
    "finops import sec-fails examples/sec-fails/cns*.txt",
    "finops import sec-fails examples/sec-fails/cns*.txt --every-day -o fails.jsonl",
)
def sec_fails(
    files: Files,
    threshold_list: ThresholdList = None,
    list_date: ListDate = None,
    output: Output = None,
    overwrite: Overwrite = False,
    min_records: MinRecords = 0,
    as_of: AsOf = None,
    every_day: EveryDay = False,
    history: History = False,
    counterparty: Counterparty = "DTC-0000",
    cp_fail_rate: CpFailRate = "0",
    security_fail_rate: SecurityFailRate = None,
    coverage: Coverage = "0",
    recall: Recall = "0",
    borrow: Borrow = "0",
    price: PriceIfMissing = "0",
    quiet: Quiet = False,
) -> None:
    """Convert fails-to-deliver files of the SEC to fail records.

    The files lack some fields of a record. The options below give the values to assume; each
    record lists its assumed fields.
    """
    from finops_cli.importers.sec.fails import Assumptions, Choice, import_sec_fails

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
    lists = threshold_list or []
    write_items(
        import_sec_fails(files, assumptions, Choice(as_of, every_day, history), lists, list_date),
        [*files, *lists],
        output,
        overwrite=overwrite,
        min_records=min_records,
        quiet=quiet,
    )


Blotter = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Your blotter, a CSV or .xlsx file with a header, also packed as .gz or .zip; - for"
        " CSV from stdin.",
    ),
]


@app.command("csv", cls=CommandWithExamples)
@show_examples(
    "finops import csv examples/csv/blotter.csv --map examples/csv/mapping.yaml",
    "finops import csv examples/csv/blotter.csv --accept -o fails.jsonl",
)
@with_shared_options()
def blotter(
    context: typer.Context,
    file: Blotter,
    output: Output = None,
    overwrite: Overwrite = False,
    min_records: MinRecords = 0,
    as_of: AsOfOption = None,
    calendar: CalendarOption = None,
    quiet: Quiet = False,
    *,
    table: TableOptions,
    joins: JoinOptions,
) -> None:
    """Convert your own blotter (CSV or .xlsx) to fail records.

    Without --map and --accept, print the mapping that finops proposes, import nothing, and end
    with exit status 2.
    """
    from finops_cli.errors import UsageError

    source = path_or_standard(file)
    if source is None and sys.stdin.isatty():
        raise UsageError(
            "the input is -, and nothing is piped in", "give a file, or pipe CSV into finops"
        )
    with ExitStack() as stack:
        if output is None and table.map_file is None and not table.accept:
            options = joins.names if as_of is None else (AS_OF_OPTION, *joins.names)
            _print_proposal(source, table, kb_dir_of(context), stack, given=options)
        clock, _ = open_clock(context, as_of, calendar)
        joined = open_joined(
            source, table, joins, clock, stack, kb_dir=kb_dir_of(context), quiet=quiet
        )
        given = require_rows(joined.inner)
        for note in () if quiet else given.file_notes:
            typer.echo(f"{given.path}: {note}", err=True)
        joined.begin()
        items = (
            joined.complete(number, item) if isinstance(item, bytes) else item
            for number, item in enumerate(given.open_items(), start=1)
        )
        read = [source, *joined.other_files]
        write_items(items, read, output, overwrite=overwrite, min_records=min_records, quiet=quiet)
        for note in () if quiet else joined.report_joins():
            typer.echo(note, err=True)


def _print_proposal(
    source: Path | None,
    options: TableOptions,
    kb_dir: Path,
    stack: ExitStack,
    *,
    given: tuple[str, ...],
) -> None:
    """Print the proposed mapping of a file with columns, and end; do nothing for other input.

    `given` are the options of the call that give facts which the file lacks.
    """
    from finops_cli.files.recognise import FileKind, recognise
    from finops_cli.importers.table_input import TableFile
    from finops_cli.kb.load import load_kb

    if source is None or not source.is_file():
        return
    recognised = recognise(source)
    if recognised.kind not in (FileKind.TABLE, FileKind.WORKBOOK):
        return
    proposal = propose_mapping(TableFile(recognised, stack), options, load_kb(kb_dir))
    typer.echo(proposal.yaml(given), nl=False)
    lacking = list_missing(proposal, (AS_OF_OPTION,))
    what = f", and the mapping lacks {lacking}" if lacking else ""
    cure = "complete it and give it with --map" if lacking else "add --accept if it is right"
    typer.echo(f"{recognised.path}: nothing is imported yet{what}; {cure}", err=True)
    raise typer.Exit(2)


def _percent(option: str, text: str) -> Decimal:
    from finops_cli.domain.money import parse_percent
    from finops_cli.errors import UsageError

    try:
        return parse_percent(text)
    except ValueError as error:
        raise UsageError(f"{option} is {text!r}; accepted: {error}") from error


def _price(text: str) -> Decimal:
    from finops_cli.errors import UsageError
    from finops_cli.importers.sec.rows import PRICE_ACCEPTED, read_price

    price = read_price(text.removeprefix("$"))
    if price is None:
        raise UsageError(f"--price-if-missing is {text!r}; accepted: {PRICE_ACCEPTED}")
    return price
