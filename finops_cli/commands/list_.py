"""`finops list`: the ranked list of an output, and what changed since an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from finops_cli.commands.bad_lines import report_bad_lines
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.list_exports import (
    FILE_FORMATS,
    Export,
    Keep,
    format_of_suffix,
    refuse_useless_keep,
    write_export,
)
from finops_cli.commands.options import Output, Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.commands.terminal_width import is_terminal, table_paint, table_width
from finops_cli.domain.enums import Tier
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.views.answer_index import AnswerIndex, Filter
    from finops_cli.views.changes import Changes
    from finops_cli.views.paint import Paint

_TIERS = tuple(reversed(get_args(Tier)))
_FORMATS = ("auto", "table", "jsonl", *FILE_FORMATS)

Source = Annotated[
    str,
    typer.Argument(metavar="OUT.jsonl", help="Output of finops run or triage; - for stdin."),
]
Since = Annotated[
    Path | None,
    typer.Option(
        "--since",
        metavar="EARLIER.jsonl",
        help="Show only what changed since this earlier output: new, cleared, aged into another"
        " band, part delivered, escalated.",
    ),
]
Tiers = Annotated[
    list[str] | None,
    typer.Option(
        "--tier", metavar="|".join(_TIERS), help="Show this tier. Repeat the option for more."
    ),
]
Securities = Annotated[
    list[str] | None,
    typer.Option(
        "--security", metavar="CUSIP|SYMBOL", help="Show this security. Repeat it for more."
    ),
]
Counterparties = Annotated[
    list[str] | None,
    typer.Option(
        "--counterparty",
        metavar="DTC-NNNN|NAME",
        help="Show this counterparty. Repeat the option for more.",
    ),
]
DueToday = Annotated[
    bool, typer.Option("--due-today", help="Show what is due today or overdue by its deadline.")
]
DueWithin = Annotated[
    int | None,
    typer.Option(
        "--due-within",
        min=0,
        max=3650,
        metavar="DAYS",
        help="Show what is due within this number of settlement days, or overdue.",
    ),
]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,NAME",
        help="Columns to show (default: those that fit).",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Show the first N rows.")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(_FORMATS),
        help=(
            "Form of the list (default: as the suffix of -o says, table on a terminal, else"
            " jsonl).\n\n\b\n"
            "table: for a terminal\n"
            "jsonl: a line of JSON for each row\n"
            "csv:   for a spreadsheet or a program\n"
            "xlsx:  a workbook with plans, changes and\n"
            "       sources, to be filled in\n"
            "html:  one page for a browser or a printer"
        ),
        show_default=False,
    ),
]


@show_examples(
    "finops list examples/monday.expected.jsonl --due-today --format table",
    "finops list examples/monday.expected.jsonl -o list.xlsx",
)
def list_(
    context: typer.Context,
    source: Source,
    output: Output = None,
    overwrite: Overwrite = False,
    since: Since = None,
    tiers: Tiers = None,
    securities: Securities = None,
    counterparties: Counterparties = None,
    due_today: DueToday = False,
    due_within: DueWithin = None,
    columns: ColumnNames = None,
    limit: Limit = None,
    format_: Format = "auto",
    keep: Keep = None,
    quiet: Quiet = False,
) -> None:
    """List the fails of an output by rank, with what to do.

    The order is the tier, then fewer days to the deadline, then the higher score.
    """
    from finops_cli.commands.run_summary import wrap_label

    format_ = _choose_format(format_, output)
    refuse_useless_keep(keep, format_)
    asked = ListRequest(
        wanted=_filter(tiers, securities, counterparties, due_today, due_within),
        columns=_choose_columns(columns, output),
        has_chosen_columns=columns is not None,
        format=format_,
        width=table_width(output),
        paint=table_paint(output),
        limit=limit,
    )
    with ExitStack() as stack:
        has_details = format_ in FILE_FORMATS
        index = stack.enter_context(closing(_read(source, has_details)))
        changes = None if since is None else _open_changes(index, since, stack)
        inputs = (path_or_standard(source), since)
        if has_details:
            export = _make_export(
                asked, inputs, output, keep, kb_dir=kb_dir_of(context), overwrite=overwrite
            )
            told = write_export(export, index, changes)
        else:
            told = []
            _write_lines(_list_lines(index, changes, asked), output, inputs, overwrite)
        for label, text in () if quiet else (*told, *_summarize(index, changes, asked)):
            typer.echo(wrap_label(label, text), err=True)
    report_bad_lines(source, index)


def _open_changes(index: AnswerIndex, since: Path, stack: ExitStack) -> Changes:
    from finops_cli.views.changes import Changes

    return Changes(index, stack.enter_context(closing(_read(str(since)))))


def _make_export(
    asked: ListRequest,
    inputs: tuple[Path | None, Path | None],
    output: str | None,
    keep: Path | None,
    *,
    kb_dir: Path,
    overwrite: bool,
) -> Export:
    return Export(
        format=asked.format,
        source=inputs[0],
        since=inputs[1],
        output=path_or_standard(output),
        keep=keep,
        overwrite=overwrite,
        kb_dir=kb_dir,
        columns=asked.columns if asked.has_chosen_columns else None,
        wanted=asked.wanted,
        limit=asked.limit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """The rows, columns and form of a list."""

    wanted: Filter
    columns: tuple[str, ...]
    has_chosen_columns: bool
    format: str
    width: int
    paint: Paint
    limit: int | None


def _write_lines(
    lines: Iterable[str], output: str | None, inputs: Sequence[Path | None], overwrite: bool
) -> None:
    from finops_cli.files.safe_io import writing

    with writing(path_or_standard(output), inputs, overwrite) as written:
        written.writelines(f"{line}\n".encode() for line in lines)


def _list_lines(index: AnswerIndex, changes: Changes | None, asked: ListRequest) -> Iterator[str]:
    """Yield the lines of a table or of JSON: the list, or what changed."""
    from finops_cli.domain.exact_json import encode
    from finops_cli.views.change_report import render_changes
    from finops_cli.views.ranked_list import render_list

    if changes is None:
        answers = index.ranked(asked.wanted, asked.limit)
        if asked.format == "table":
            return render_list(answers, asked.columns, asked.width, asked.paint)
        return (encode(answer).decode() for answer in answers)
    found = islice(changes.list(asked.wanted), asked.limit)
    if asked.format == "table":
        return render_changes(found, asked.columns, asked.width, asked.paint)
    return (encode(change).decode() for change in found)


def _summarize(
    index: AnswerIndex, changes: Changes | None, asked: ListRequest
) -> list[tuple[str, str]]:
    """Return labels and texts for stderr, once every line was written."""
    from finops_cli.views.changes import KINDS

    if changes is None:
        found = index.count(asked.wanted)
        shown = found if asked.limit is None else min(found, asked.limit)
        return [("shown", f"{shown:,} of {index.count():,} lines")]
    counts = [f"{kind.replace('_', ' ')} {changes.counts[kind]:,}" for kind in KINDS]
    rows = [("changes", ", ".join([*counts, f"unchanged {changes.unchanged:,}"]))]
    if changes.unmatched:
        text = (
            f"{changes.unmatched:,} lines without a fail_id count as new: their CUSIP,"
            " counterparty and settlement date name several lines"
        )
        rows.append(("not matched", text))
    return rows


def _read(source: str, has_details: bool = False) -> AnswerIndex:
    """Index an output. Raises UsageError for a file without a single line of a run."""
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.views.answer_index import AnswerIndex

    with reading_lines(path_or_standard(source)) as file:
        index = AnswerIndex((line for line, _ in lines_of(file)), has_details=has_details)
    if index.bad and not index.statuses:
        first = index.bad[0]
        raise UsageError(
            f"{source}:{first.number}: is not an output line of finops ({first.reason})",
            "give the output of finops run or finops triage, such as out.jsonl",
        )
    return index


def _choose_format(given: str, output: str | None) -> str:
    if given not in _FORMATS:
        raise UsageError(
            f"--format is {given}. Expected one of: {', '.join(_FORMATS)}.", "give one of them"
        )
    if given == "auto":
        named = format_of_suffix(output)
        return named or ("table" if is_terminal(output) else "jsonl")
    return given


def _choose_columns(given: str | None, output: str | None) -> tuple[str, ...]:
    from finops_cli.views.ranked_list import COLUMNS, choose_columns

    if given is None:
        return choose_columns(table_width(output))
    names = tuple(name.strip() for name in given.split(","))
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UsageError(
            f"--columns: {unknown[0]!r} is not a column. Expected names of: {', '.join(COLUMNS)}.",
            "give names of this list, separated by commas",
        )
    return names


def _filter(
    tiers: list[str] | None,
    securities: list[str] | None,
    counterparties: list[str] | None,
    due_today: bool,
    due_within: int | None,
) -> Filter:
    from finops_cli.views.answer_index import Filter

    for tier in tiers or ():
        if tier not in _TIERS:
            raise UsageError(
                f"--tier is {tier}. Expected one of: {', '.join(_TIERS)}.", "give one of them"
            )
    if due_today and due_within is not None:
        raise UsageError("--due-today and --due-within exclude each other", "give one of them")
    return Filter(
        tiers=tuple(tiers or ()),
        securities=tuple(securities or ()),
        counterparties=tuple(counterparties or ()),
        within_days=0 if due_today else due_within,
    )
