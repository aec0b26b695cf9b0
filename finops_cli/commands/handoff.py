"""`finops handoff`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.clock_options import AsOfOption, CalendarOption, read_as_of
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.join_options import JoinOptions, open_joined
from finops_cli.commands.options import Output, Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.commands.run_options import with_shared_options
from finops_cli.commands.table_options import TableOptions
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.files.jsonl import InputLine, Lines
    from finops_cli.importers.joins.joined_source import JoinedSource
    from finops_cli.pipeline.case_lines import CaseMaker

Triaged = Annotated[
    str,
    typer.Argument(
        metavar="TRIAGED.jsonl",
        help="Lines of finops triage or run, or triages of a model; - for stdin.",
    ),
]
TriagedFails = Annotated[
    str,
    typer.Option(
        "--fails",
        metavar="FAILS",
        help="The fail records that were triaged: JSON Lines, CSV or .xlsx. A record is found by"
        " its fail_id, or in order for a triage without one.",
    ),
]

_REASON = "no case: "


@show_examples(
    Example(
        "finops handoff triaged.jsonl --fails examples/monday.jsonl -o cases.jsonl",
        after=("finops triage examples/monday.jsonl -q -o triaged.jsonl",),
    ),
    Example(
        "finops handoff - --fails examples/monday.jsonl < triaged.jsonl",
        after=("finops triage examples/monday.jsonl -q -o triaged.jsonl",),
    ),
)
@with_shared_options()
def handoff(
    context: typer.Context,
    source: Triaged,
    fails: TriagedFails,
    output: Output = None,
    overwrite: Overwrite = False,
    calendar: CalendarOption = None,
    as_of: AsOfOption = None,
    quiet: Quiet = False,
    *,
    table: TableOptions,
    joins: JoinOptions,
) -> None:
    """Make the cases of triaged fails, for finops resolve."""
    from finops_cli.files.jsonl import lines_of, write_promptly
    from finops_cli.files.line_files import reading_lines
    from finops_cli.files.safe_io import refuse_unreadable, writing
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.case_lines import CaseMaker, FailLookup
    from finops_cli.pipeline.clock import ClockConfig
    from finops_cli.pipeline.inputs import InputPolicy

    triaged, asked = path_or_standard(source), path_or_standard(fails)
    if triaged is None and asked is None:
        raise UsageError("triages and --fails cannot both be stdin", "give one of them as a file")
    for path in (triaged, asked):
        if path is not None:
            refuse_unreadable(path)
    kb = load_kb(kb_dir_of(context))
    clock = ClockConfig(as_of=read_as_of(as_of), calendar_file=calendar).open(kb)
    count: Counter[str] = Counter()
    with ExitStack() as stack:
        given = open_joined(
            asked, table, joins, clock, stack, kb_dir=kb_dir_of(context), quiet=quiet
        )
        sources = [lines_of(stack.enter_context(reading_lines(triaged)))]
        lookup = FailLookup(_read_fails(given, sources))
        stack.callback(lookup.close)
        inputs = InputPolicy(kb, clock.config.as_of, clock.calendar)
        written = stack.enter_context(
            writing(path_or_standard(output), [triaged, asked, *given.other_files], overwrite)
        )
        made = _make_lines(sources[0], CaseMaker(lookup, inputs), count)
        write_promptly(written, made, *sources)
        rest = lookup.count_rest() if asked is not None and asked.is_file() else lookup.passed
    if not quiet:
        _report(count, rest, given)
    if count["rejected"]:
        raise typer.Exit(1)


def _read_fails(given: JoinedSource, sources: list[Lines]) -> Iterator[InputLine]:
    """Return the lines of the fails, one by one. A stream that they come from joins `sources`."""
    batches = given.batches(0, 1)
    if batches.lines is not None:
        sources.append(batches.lines)
    return (line for batch in batches for line in batch.lines)


def _make_lines(lines: Lines, maker: CaseMaker, count: Counter[str]) -> Iterator[bytes]:
    from finops_cli.pipeline.case_lines import NoCase, encode_case

    for number, (line, _) in enumerate(lines, start=1):
        made = maker.make(number, line)
        if isinstance(made, NoCase):
            count[made.status] += 1
            if made.status == "skipped":
                count[_REASON + made.no_case] += 1
        else:
            count["case"] += 1
        yield encode_case(made)


def _report(count: Counter[str], rest: int, given: JoinedSource) -> None:
    """Print on stderr what became of the triaged lines, and which fails have none."""
    from finops_cli.commands.run_summary import wrap_label

    total = count["case"] + count["skipped"] + count["rejected"]
    counted = (
        f"{total:,} triaged: {count['case']:,} cases, {count['skipped']:,} without one,"
        f" {count['rejected']:,} rejected"
    )
    reasons = [
        ("no case", f"{name.removeprefix(_REASON)}: {number:,}")
        for name, number in sorted(count.items())
        if name.startswith(_REASON)
    ]
    unasked = [("fails", f"{rest:,} records of --fails have no triaged line")] if rest else []
    notes = [("input", text) for text in given.report()]
    rows = [("handoff", counted), *reasons, *unasked, *notes]
    for label, text in rows:
        typer.echo(wrap_label(label, text), err=True)
