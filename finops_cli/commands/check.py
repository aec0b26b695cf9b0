"""`finops check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.check_net import NetOptions, check_nets, refuse_net_options
from finops_cli.commands.clock_options import AsOfOption, CalendarOption, read_as_of
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.join_options import JoinOptions, open_joined
from finops_cli.commands.options import Output, Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.commands.output_forms import choose_verdict_writer
from finops_cli.commands.rules_choice import kb_store_of
from finops_cli.commands.run_options import with_shared_options
from finops_cli.commands.table_options import TableOptions

if TYPE_CHECKING:
    from finops_cli.checking.other_rules import RuleSets
    from finops_cli.checking.verdicts import Verdict
    from finops_cli.clock.market_calendar import Calendar
    from finops_cli.files.jsonl import InputLine, Lines
    from finops_cli.importers.joins.joined_source import JoinedSource
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.clock import ClockConfig, ClockPolicy

Outputs = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUTS.jsonl",
        help="Outputs from any source, one JSON object per line; - for stdin.",
    ),
]
Fails = Annotated[
    str | None,
    typer.Option(
        "--fails",
        metavar="FAILS",
        help="The fail records that the outputs answer, as they were run: JSON Lines, .gz, .zst,"
        " Parquet, CSV, .xlsx, a folder or a pattern of files. Each output is checked against its"
        " record.",
    ),
]


Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        help="Check the replies that `finops run --keep-raw` kept, not the final answers.",
    ),
]


Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="The proof of finops book --certificate: check it and the plan against the fails of"
        " --fails and the file of --inventory, without a solver.",
    ),
]


@show_examples(
    Example(
        "finops check out.jsonl --fails examples/monday.jsonl",
        after=("finops run examples/monday.jsonl -q -o out.jsonl",),
    ),
    Example("finops check examples/cards/published.jsonl", status=1),
)
@with_shared_options()
def check(
    context: typer.Context,
    source: Outputs,
    output: Output = None,
    overwrite: Overwrite = False,
    fails: Fails = None,
    raw: Raw = False,
    certificate: Certificate = None,
    calendar: CalendarOption = None,
    as_of: AsOfOption = None,
    quiet: Quiet = False,
    *,
    table: TableOptions,
    joins: JoinOptions,
    net: NetOptions,
) -> None:
    """Check outputs from any source; list every violated rule."""
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.pipeline.clock import ClockConfig
    from finops_cli.pipeline.output import encode

    rules = _open_rules(context)
    judged, asked = path_or_standard(source), path_or_standard(fails)
    config = ClockConfig(as_of=read_as_of(as_of), calendar_file=calendar)
    clock = config.open(rules.kb)
    _refuse_contradictions(fails, judged, asked, table)
    refuse_net_options(net, {"--fails": fails, "--certificate": certificate, "--raw": raw})
    _refuse_unusable(judged, asked, certificate, raw=raw)
    count = _Count()
    with ExitStack() as stack:
        sources = [lines_of(stack.enter_context(reading_lines(judged)))]
        lines, inputs = (line for line, _ in sources[0]), None
        read = [judged, asked, certificate, *net.files]
        proved: Iterable[Verdict] = ()
        if fails is not None:
            is_book = certificate is not None or _is_book(judged)
            given = _open_fails(
                context, asked, table, joins, clock=clock, stack=stack, is_book=is_book, quiet=quiet
            )
            read += [*given.parts, *given.other_files]
            if certificate is not None and judged is not None:
                proved = _prove(judged, certificate, given, rules.kb, kb_dir_of(context), config)
            inputs = _read_lines(given, sources)
        verdicts = _judge(lines, inputs, rules, clock.calendar, net, raw=raw)
        encoded = (encode(each) for each in count.watch(chain(verdicts, proved)))
        _write_verdicts(encoded, output, read, sources, overwrite=overwrite)
    count.report(sources, quiet=quiet)


def _open_rules(context: typer.Context) -> RuleSets:
    """Open the rules of the call, and those that were kept, for lines that they made."""
    from finops_cli.checking.other_rules import RuleSets, find_kept_rules
    from finops_cli.kb.load import load_kb

    return RuleSets(load_kb(kb_dir_of(context)), find_kept_rules(kb_store_of(context)))


def _refuse_contradictions(
    fails: str | None, judged: Path | None, asked: Path | None, table: TableOptions
) -> None:
    """Raise UsageError for options that exclude each other."""
    from finops_cli.errors import UsageError

    if fails is not None and judged is None and asked is None:
        raise UsageError("outputs and --fails cannot both be stdin", "give one of them as a file")
    if fails is None and table.names:
        raise UsageError(
            f"{table.names[0]} is for the file of --fails", "give --fails FAILS, or leave it out"
        )


def _refuse_unusable(
    judged: Path | None, asked: Path | None, certificate: Path | None, *, raw: bool
) -> None:
    """Raise UsageError where a certificate cannot be checked, or no reply was kept for --raw."""
    from finops_cli.checking.raw_replies import refuse_without_replies
    from finops_cli.errors import UsageError
    from finops_cli.pipeline.stored.patterns import is_several

    if certificate is None:
        if raw:
            refuse_without_replies(judged)
        return
    has_files = asked is not None and (asked.is_file() or is_several(asked))
    if judged is None or not judged.is_file() or not has_files:
        raise UsageError(
            "--certificate needs the outputs and --fails FAILS as files: they are read twice",
            "give both as files, and --inventory FILE where the book had one",
        )
    if raw:
        raise UsageError("--certificate and --raw contradict each other", "give one of them")


def _read_lines(given: JoinedSource, sources: list[Lines]) -> Iterator[InputLine]:
    """Return the lines of the fails. A file or a stream that they come from joins `sources`."""
    from finops_cli.files.jsonl import BATCH_LINES

    batches = given.batches(0, BATCH_LINES)
    if batches.lines is not None:
        sources.append(batches.lines)
    return (line for batch in batches for line in batch.lines)


def _open_fails(
    context: typer.Context,
    asked: Path | None,
    table: TableOptions,
    joins: JoinOptions,
    *,
    clock: ClockPolicy,
    stack: ExitStack,
    is_book: bool,
    quiet: bool,
) -> JoinedSource:
    """Open the fails that outputs answer. Those of a book share their sources."""
    joins = replace(joins, receives=joins.receives and not is_book)
    kb_dir = kb_dir_of(context)
    given = open_joined(
        asked, table, joins, clock, stack, kb_dir=kb_dir, quiet=quiet, may_be_several=True
    )
    given.share_stock(is_book)
    return given


def _is_book(judged: Path | None) -> bool:
    """Return true where the first line of a file is one of `finops book`."""
    from finops_cli.checking.book_lines import is_book_line
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.pipeline.parse import decode

    if judged is None or not judged.is_file():
        return False
    with reading_lines(judged) as file:
        given = next((decode(line) for line, _ in lines_of(file)), None)
    return isinstance(given, dict) and is_book_line(given)


def _prove(
    judged: Path,
    certificate: Path,
    given: JoinedSource,
    kb: KnowledgeBase,
    kb_dir: Path,
    clock: ClockConfig,
) -> Iterator[Verdict]:
    """Check the plan of a book and its certificate."""
    from finops_cli.book.index import BookIndex
    from finops_cli.book.reading import index_fails
    from finops_cli.book.settle import BookInput
    from finops_cli.checking.book_proofs import check_book, read_clock
    from finops_cli.pipeline.scheduler import PipelineConfig
    from finops_cli.pipeline.sequences import SEQUENCES
    from finops_cli.pipeline.stored.file_set import locate_of

    inventory = None if given.counted is None else given.counted.inventory
    config = PipelineConfig(
        sequence=SEQUENCES["book"],
        kb_dir=kb_dir,
        timed=False,
        clock=read_clock(judged, clock),
        has_rows=given.has_rows,
    )
    index = BookIndex()
    try:
        pipeline = config.open()
        index_fails(given, pipeline, index)
        name = "" if inventory is None else str(inventory.path)
        book = BookInput(
            kb=kb,
            index=index,
            inventory=inventory,
            inventory_name=name,
            locate=locate_of(given),
        )
        yield from check_book(judged, certificate, book, given, pipeline)
    finally:
        index.close()


def _judge(
    lines: Iterator[bytes],
    inputs: Iterator[InputLine] | None,
    rules: RuleSets,
    calendar: Calendar,
    net: NetOptions,
    *,
    raw: bool,
) -> Iterator[Verdict]:
    """Judge each line, against its input where there is one; `raw`: the kept replies instead."""
    from finops_cli.checking.against_input import check_run
    from finops_cli.checking.outputs import check_lines
    from finops_cli.checking.raw_replies import check_raw

    if net.legs is not None:
        return check_nets(lines, net, rules.kb)
    if raw:
        return check_raw(lines, inputs, rules.kb)
    if inputs is None:
        return check_lines(lines, rules)
    return check_run(lines, inputs, rules, calendar)


def _write_verdicts(
    lines: Iterator[bytes],
    output: str | None,
    read: Sequence[Path | None],
    sources: Sequence[Lines],
    *,
    overwrite: bool,
) -> None:
    """Write the verdicts in the form that the suffix of the output names."""
    from finops_cli.files.jsonl import write_promptly
    from finops_cli.files.safe_io import writing, writing_whole

    target, write = path_or_standard(output), choose_verdict_writer(output)
    if write is None:
        with writing(target, read, overwrite) as written:
            write_promptly(written, lines, *sources)
    else:
        with writing_whole(target, read, overwrite) as written:
            write(lines, written)


@dataclass(slots=True)
class _Count:
    """Counts of the verdicts that pass."""

    good: int = 0
    wrong: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)

    def watch(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """Count each verdict and pass it on."""
        for verdict in verdicts:
            self.good += verdict.ok
            self.wrong += not verdict.ok
            self.violations.update(finding.rule for finding in verdict.findings)
            if isinstance(verdict.notes, list):
                self.notes.update(note.rule for note in verdict.notes)
            yield verdict

    def report(self, sources: list[Lines], *, quiet: bool) -> None:
        """Print the counts, unless `quiet`. Raises Exit with 1 where a line has a finding."""
        if not quiet:
            self._print(sources)
        if self.wrong:
            raise typer.Exit(1)

    def _print(self, sources: list[Lines]) -> None:
        """Print on stderr how many lines are good, and how often each rule is violated."""
        from finops_cli.commands.run_summary import render_counts

        total = self.good + self.wrong
        typer.echo(
            f"{'checked':<12} {total:,} lines: {self.good:,} good, {self.wrong:,} with findings",
            err=True,
        )
        if self.violations:
            typer.echo(render_counts("violations", self.violations), err=True)
        if self.notes:
            typer.echo(render_counts("notes", self.notes), err=True)
        for source in sources:
            if source.dropped:
                typer.echo(render_counts("dropped", source.dropped), err=True)
