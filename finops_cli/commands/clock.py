"""`finops clock`: the law's dates of each fail, as an agenda, as lines, or as a calendar file."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from finops_cli.commands.clock_days import days, threshold
from finops_cli.commands.clock_options import AsOfOption, CalendarOption, open_clock
from finops_cli.commands.help_examples import (
    CommandWithExamples,
    Example,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.options import Fails, Output, Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.domain.enums import GuardMode
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.importers.clock_files import FileJoin
    from finops_cli.pipeline.clock import ClockPolicy
    from finops_cli.pipeline.clock_lines import ClockedFail
    from finops_cli.views.entries import AgendaEntry, RejectedEntry

_FILE = "file"
_WIDTH, _WIDEST = 80, 160
"""Columns of an agenda: outside a terminal, and at most in one."""
_NAMES_SHOWN = 5
_FORMATS = ("agenda", "jsonl", "ics")


class ClockGroup(GroupWithExamples):
    """Takes a first argument that is not a subcommand as the file of fails."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = [_FILE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ClockGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
@show_examples(
    Example("finops clock examples/monday.jsonl --as-of 2026-11-30", status=1),
    "finops clock days 2026-11-23 2026-11-30",
)
def clock() -> None:
    """Show by when the law asks to close out each fail.

    `finops clock FAILS.jsonl --as-of DATE` shows the fails of a file. Everything that
    `finops clock file --help` lists can follow the name of the file.
    """


Within = Annotated[
    int | None,
    typer.Option(
        "--within",
        min=0,
        max=3650,
        metavar="DAYS",
        help="How many calendar days the agenda looks ahead (default: all due days).",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(_FORMATS),
        help="Form of the output. agenda: for people. jsonl: a line for each record. ics: for a"
        " calendar program (default: agenda on a terminal, else jsonl).",
    ),
]
History = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="Open position by settlement day, CSV or JSON Lines: date, qty, and fail_id, cusip or"
        " symbol.",
    ),
]
Events = Annotated[
    Path | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Purchases, borrows, deliveries, allocations, extensions and notices, JSON Lines:"
        " type, at, and fail_id, cusip or symbol.",
    ),
]
ThresholdLists = Annotated[
    list[Path] | None,
    typer.Option(
        "--threshold-list",
        metavar="FILE",
        help="Reg SHO threshold list of Nasdaq, NYSE, Cboe, OCC or FINRA, joined by symbol. Give"
        " the option once for each list; those of one day are united.",
    ),
]
ListDate = Annotated[
    str | None,
    typer.Option(
        "--list-date",
        metavar="DATE",
        help="Day of the threshold lists that have a date neither in their last line nor in their"
        " name.",
    ),
]
ClockGuard = Annotated[
    GuardMode | None,
    typer.Option(
        "--guard",
        metavar="POLICY",
        help=(
            "Treatment of personal data in texts that the output repeats.\n\n\b\n"
            "require: mask it; stop if the scanner is\n"
            "         not installed\n"
            "on:      mask it; withhold such texts if the\n"
            "         scanner is not installed\n"
            "off:     keep the texts (default)\n"
        ),
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Add to each obligation its days, one by one, and why a day does not count.",
    ),
]


@app.command(_FILE, cls=CommandWithExamples)
@show_examples(
    Example("finops clock file examples/monday.jsonl --as-of 2026-11-30", status=1),
    Example("finops clock file examples/monday.jsonl --as-of 2026-11-30 --format ics", status=1),
)
def of_file(
    context: typer.Context,
    source: Fails,
    output: Output = None,
    overwrite: Overwrite = False,
    as_of: AsOfOption = None,
    within: Within = None,
    format_: Format = None,
    calendar: CalendarOption = None,
    history: History = None,
    events: Events = None,
    threshold_lists: ThresholdLists = None,
    list_date: ListDate = None,
    explain: Explain = False,
    guard: ClockGuard = None,
    quiet: Quiet = False,
) -> None:
    """Show what must be done for each fail, by which day and time, and under which rule.

    `file` may be left out. The status is 1 if a duty is breached or a record is rejected.
    """
    from finops_cli.files.jsonl import lines_of, write_promptly
    from finops_cli.files.line_files import reading_lines
    from finops_cli.files.safe_io import writing
    from finops_cli.pipeline.clock_lines import ClockLines
    from finops_cli.pipeline.redaction import redaction_policy

    chosen = _choose_format(format_, output)
    policy, kb = open_clock(context, as_of, calendar)
    redaction = redaction_policy(guard, False, kb)
    join = _open_join(history, events, threshold_lists, list_date)
    count, asked = _Count(), path_or_standard(source)
    with ExitStack() as stack:
        file = stack.enter_context(reading_lines(asked))
        if join is not None and join.needs_owners:
            file = _find_owners(join, file, stack)
        source_lines = lines_of(file)
        clock = ClockLines(policy=policy, join=join, explain=explain, redaction=redaction)
        fails = count.watch(clock.compute(line for line, _ in source_lines))
        parts = _render(chosen, fails, policy, within, _is_terminal(output))
        if chosen != "jsonl":
            count.refuse_without_moment()  # before an earlier output is replaced
        inputs = [asked, history, events, calendar, *(threshold_lists or ())]
        inputs += kb_dir_of(context).glob("*.toml")
        written = stack.enter_context(writing(path_or_standard(output), inputs, overwrite))
        write_promptly(written, parts, source_lines)
    if not quiet:
        is_counted = chosen != "agenda" or count.rejected == count.lines
        _report(count.render() if is_counted else None, source_lines.dropped, join)
    count.finish()


def _choose_format(given: str | None, output: str | None) -> str:
    if given is None:
        return "agenda" if _is_terminal(output) else "jsonl"
    if given not in _FORMATS:
        raise UsageError(
            f"--format is {given}. Expected {', '.join(_FORMATS)}.", "give one of them"
        )
    return given


def _is_terminal(output: str | None) -> bool:
    return output in (None, "-") and sys.stdout.isatty()


def _open_join(
    history: Path | None,
    events: Path | None,
    threshold_lists: list[Path] | None,
    list_date: str | None,
) -> FileJoin | None:
    if history is None and events is None and not threshold_lists and list_date is None:
        return None
    from finops_cli.importers.clock_files import FileJoin

    join = FileJoin(history, events, threshold_lists or [], list_date)
    for note in join.notes:
        typer.echo(f"{note.file}: {note.text}", err=True)
    return join


def _find_owners(join: FileJoin, file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """Show all records to `join`, and return a file that has them from the first one on.

    A pipe cannot be read twice, so a temporary file on disk takes its lines.
    """
    from finops_cli.files.jsonl import lines_of

    if not file.seekable():
        copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        file = copy
    start = file.tell()
    join.find_owners(line for line, _ in lines_of(file))
    file.seek(start)
    return file


def _report(counts: str | None, dropped: Counter[str], join: FileJoin | None) -> None:
    """Say on stderr what the lines came to, and what of the input and the files was not used."""
    from finops_cli.commands.run_summary import render_counts

    if counts is not None:
        typer.echo(counts, err=True)
    if dropped:
        typer.echo(render_counts("dropped", dropped), err=True)
    if join is not None:
        _report_unused(join.list_unused())
        lists = join.describe_lists()
        if lists is not None:
            typer.echo(f"{lists.file}: {lists.text}", err=True)


def _report_unused(names: list[str]) -> None:
    """Say on stderr which rows of the joined files belong to no record."""
    if names:
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        shown = ", ".join(names[:_NAMES_SHOWN])
        typer.echo(f"no record has the rows of {shown}{more}", err=True)


@dataclass(slots=True)
class _Count:
    """Counts of the lines that pass."""

    lines: int = 0
    rejected: int = 0
    without_as_of: int = 0
    breached: int = 0
    """Fails with a breach that the given facts show, or that holds if the sale was short."""
    shown: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    """Warnings by kind."""

    def watch(self, fails: Iterable[ClockedFail]) -> Iterator[ClockedFail]:
        """Count each fail and pass it on."""
        from finops_cli.domain.clock import count_warnings, find_breaches

        for each in fails:
            self.lines += 1
            if each.line.clock is None:
                self.rejected += 1
                problems = each.line.error.problems if each.line.error else []
                self.without_as_of += any(found.rule == "clock.as_of" for found in problems)
            else:
                self.warnings += count_warnings(each.line.clock)
                breaches = find_breaches(each.line.clock)
                self.breached += bool(breaches)
                self.shown += any("sale_type" not in it.assumed for it in breaches)
            yield each

    def refuse_without_moment(self) -> None:
        """Raise UsageError if no record has a moment."""
        if self.lines and self.without_as_of == self.lines:
            raise UsageError("as_of is missing in every record", "give --as-of DATE")

    def finish(self) -> None:
        """End the command with 1 if a duty is breached or a record is rejected."""
        self.refuse_without_moment()
        if self.breached or self.rejected:
            raise typer.Exit(1)

    def render(self) -> str:
        """Write the counts for stderr."""
        from finops_cli.views.wording import write_counts

        if_short = self.breached - self.shown
        warnings = f"  warnings {write_counts(self.warnings)}" if self.warnings else ""
        return (
            f"records {self.lines:,}  rejected {self.rejected:,}  breached {self.breached:,}"
            f" (shown {self.shown:,}, if short {if_short:,}){warnings}"
        )


def _render(
    chosen: str,
    fails: Iterator[ClockedFail],
    policy: ClockPolicy,
    within: int | None,
    on_terminal: bool,
) -> Iterable[bytes]:
    """Render the output: line by line for `jsonl`, as a whole for the other forms.

    An agenda is as wide as the terminal that shows it; elsewhere the same input gives equal bytes.
    """
    from finops_cli.pipeline.output import encode

    if chosen == "jsonl":
        return (encode(each.line) for each in fails)
    entries = list(_entries(fails))
    moment = _moment(policy, entries)
    if moment is None:
        return []
    if chosen == "agenda":
        from finops_cli.views.agenda import render_agenda

        columns = shutil.get_terminal_size((_WIDTH, 0)).columns if on_terminal else _WIDTH
        width = min(columns, _WIDEST)
        agenda = render_agenda(entries, moment.date(), within, width)
        return [line.encode() + b"\n" for line in agenda]
    from datetime import UTC

    from finops_cli.clock.moments import to_utc
    from finops_cli.views.ics import render_calendar

    return list(render_calendar(entries, to_utc(moment).replace(tzinfo=UTC)))


def _entries(fails: Iterable[ClockedFail]) -> Iterator[AgendaEntry | RejectedEntry]:
    from finops_cli.views.entries import AgendaEntry, RejectedEntry

    for line, fail in fails:
        if line.clock is None or fail is None:
            message = line.error.message if line.error else ""
            yield RejectedEntry(line.fail_id, message)
        else:
            symbol = fail.symbol or (fail.origin or {}).get("symbol")
            shown = symbol if isinstance(symbol, str) else None
            yield AgendaEntry(line.fail_id, fail.cusip, shown, line.clock)


def _moment(policy: ClockPolicy, entries: list[AgendaEntry | RejectedEntry]) -> Any:
    """The one moment of an agenda; None if no record has one. Raises UsageError for several."""
    from finops_cli.clock.moments import parse_moment
    from finops_cli.views.entries import AgendaEntry

    if policy.config.as_of is not None:
        return policy.config.as_of.moment
    found = sorted({each.clock.as_of for each in entries if isinstance(each, AgendaEntry)})
    if len(found) > 1:
        raise UsageError(
            f"the records have {len(found)} different as_of, from {found[0]} to {found[-1]}",
            "give --as-of DATE for one agenda",
        )
    return parse_moment(found[0]) if found else None


app.command("days", cls=CommandWithExamples)(days)
app.command("threshold", cls=CommandWithExamples)(threshold)
