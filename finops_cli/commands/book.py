"""`finops book`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.book_follow import Follow, follow_changes, refuse_unusable
from finops_cli.commands.book_options import BorrowBudget, Certificate, Delta, Prefer, Sent
from finops_cli.commands.clock_options import ClockOptions
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.join_options import JoinOptions, open_joined
from finops_cli.commands.options import kb_dir_of, path_or_standard, refuse_too_few
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import (
    open_clock,
    read_clock,
    refuse_terminal,
    run_config,
    run_pipeline,
)
from finops_cli.commands.run_view import open_view
from finops_cli.commands.table_options import TableOptions
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.book.budget import Budget
    from finops_cli.book.copying import Selection
    from finops_cli.book.follow import Follower
    from finops_cli.book.lone_fails import LoneFails
    from finops_cli.book.sent import SentPlan
    from finops_cli.book.settle import BookInput
    from finops_cli.book.source import BookSource
    from finops_cli.book.summary import BookSummary
    from finops_cli.domain.allotment import InventoryOrigin
    from finops_cli.importers.joins.inventory_file import InventoryFile
    from finops_cli.importers.joins.joined_source import JoinedSource
    from finops_cli.pipeline.clock import ClockConfig
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.run import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """The options of a book alone."""

    certificate: Path | None
    sent: Path | None
    delta: Path | None
    budget: str | None
    prefer: str | None
    follow: bool


@show_examples(
    Example(
        "finops book examples/book/fails.jsonl --inventory examples/book/inventory.csv",
        needs="networkx",
    ),
    Example("finops book examples/monday.jsonl -o book.jsonl", status=1),
)
@with_shared_options("backend", "receives", "stats_json")
def book(
    context: typer.Context,
    options: RunOptions,
    *,
    certificate: Certificate = None,
    sent: Sent = None,
    delta: Delta = None,
    borrow_budget: BorrowBudget = None,
    prefer: Prefer = None,
    follow: Follow = False,
    clock: ClockOptions,
    table: TableOptions,
    joins: JoinOptions,
) -> None:
    """Plan all fails at once: each share is promised once."""
    _refuse_options(options, prefer, joins)
    if follow:
        refuse_unusable(options, certificate, joins.inventory)
        options = replace(options, format_="jsonl")
    mine = _Options(
        certificate=certificate,
        sent=sent,
        delta=delta,
        budget=borrow_budget,
        prefer=prefer,
        follow=follow,
    )
    with ExitStack() as stack:
        path = _spool(options, stack)
        moment = read_clock(options, clock)
        given = _open_lines(context, path, table, joins, options, moment, stack)
        if not _run(context, replace(options, source=str(path)), mine, moment, given, stack):
            raise typer.Exit(1)


def _spool(options: RunOptions, stack: ExitStack) -> Path:
    """Return the file of the fails, or their folder or pattern; a pipe is copied to a file."""
    from finops_cli.book.source import make_folder, spool
    from finops_cli.pipeline.stored.patterns import is_several

    path = path_or_standard(options.source)
    if path is not None and is_several(path):
        return path
    _refuse_resumed_pipe(options, path)
    return spool(path, Path(stack.enter_context(make_folder())))


def _run(
    context: typer.Context,
    options: RunOptions,
    mine: _Options,
    moment: ClockConfig,
    given: JoinedSource,
    stack: ExitStack,
) -> bool:
    """Plan a book and write its lines; returns true if every record is verified."""
    from finops_cli.pipeline.run import refuse_impossible

    planned = _open_book(context, given, mine, stack)
    config = run_config(
        context, "book", options, ModelOptions(), clock=moment, given=planned.source,
        inventory=planned.origin,
    )  # fmt: skip
    refuse_impossible(config)
    view = stack.enter_context(open_view(options, kb_dir_of(context), "book"))
    summary = _plan(config, planned, mine, options, stack)
    result = run_pipeline(
        context, "book", replace(options, backend="engine"), ModelOptions(), clock=moment,
        given=planned.source, view=view, inventory=planned.origin,
        on_lines=None if options.quiet else planned.source.count_into(summary),
    )  # fmt: skip
    if not options.quiet:
        _report(summary, planned)
    refuse_too_few(result.summary.records, options.min_records, options.output)
    is_verified = result.is_verified
    if mine.follow:
        follower = _open_follower(config, planned)
        is_verified &= follow_changes(follower, is_quiet=options.quiet)
    return is_verified


@dataclass(frozen=True, slots=True, kw_only=True)
class _Book:
    """The parts of a book that is about to be planned."""

    source: BookSource
    given: BookInput
    inventory: InventoryFile | None
    budget: Budget | None
    origin: InventoryOrigin | None
    notes: tuple[str, ...]
    settings: str
    """SHA-256 of the inventory and of the options that the plan depends on."""
    touched: frozenset[str]
    """The securities that `--delta` changes."""


def _refuse_options(options: RunOptions, prefer: str | None, joins: JoinOptions) -> None:
    refuse_terminal(options)
    if prefer not in (None, "file"):
        raise UsageError(f"--prefer is {prefer}; accepted: file", "give --prefer file")
    if prefer is not None and joins.inventory is None:
        raise UsageError("--prefer file is given without --inventory", "give both or neither")


def _refuse_resumed_pipe(options: RunOptions, path: Path | None) -> None:
    if options.resume and (path is None or not path.is_file()):
        raise UsageError(
            "--resume needs a file as input and -o FILE as output: a pipe cannot be read again",
            "give the input as a file and the output with -o, or leave --resume out",
        )


def _open_lines(
    context: typer.Context,
    path: Path,
    table: TableOptions,
    joins: JoinOptions,
    options: RunOptions,
    moment: ClockConfig,
    stack: ExitStack,
) -> JoinedSource:
    """Open the fails. They get no stock of the inventory file: they share it."""
    given = open_joined(
        path,
        table,
        replace(joins, receives=False),
        open_clock(context, moment),
        stack,
        kb_dir=kb_dir_of(context),
        quiet=options.quiet,
        may_be_several=True,
    )
    given.share_stock(True)
    return given


def _open_book(
    context: typer.Context, given: JoinedSource, options: _Options, stack: ExitStack
) -> _Book:
    from finops_cli.book.budget import read_budget
    from finops_cli.book.index import BookIndex
    from finops_cli.book.settle import BookInput
    from finops_cli.book.source import BookSource, digest_plan
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline import resume
    from finops_cli.pipeline.stored.file_set import locate_of

    kb = load_kb(kb_dir_of(context))
    index = BookIndex()
    stack.callback(index.close)
    inventory = None if given.counted is None else given.counted.inventory
    touched: frozenset[str] = frozenset()
    if options.delta is not None:
        if inventory is None:
            raise UsageError("--delta is given without --inventory", "give both or neither")
        touched = frozenset(inventory.apply_delta(options.delta))
    files = [path for path in (options.sent, options.delta) if path is not None]
    origin = None if inventory is None else _origin_of(inventory)
    settings = ["" if origin is None else f"{origin.sha256} {origin.as_of}"]
    settings += [options.budget or "", options.prefer or ""]
    parts = [resume.digest(path)[1] for path in files] + settings
    budget = None if options.budget is None else read_budget(options.budget, kb.book)
    return _Book(
        source=BookSource(
            inner=given, index=index, digest_of_plan=digest_plan(*parts), other=tuple(files)
        ),
        given=BookInput(
            kb=kb,
            index=index,
            inventory=inventory,
            inventory_name="" if inventory is None else str(inventory.path),
            locate=locate_of(given),
            prefers_file=options.prefer == "file",
            needs_price=budget is not None,
        ),
        inventory=inventory,
        budget=budget,
        origin=origin,
        notes=() if inventory is None else (inventory.describe(),),
        settings=digest_plan(*settings),
        touched=touched,
    )


def _origin_of(inventory: InventoryFile) -> InventoryOrigin:
    from finops_cli.domain.allotment import InventoryOrigin
    from finops_cli.pipeline import resume

    snapshot = inventory.snapshot
    return InventoryOrigin(
        resume.digest(inventory.path)[1], None if snapshot is None else snapshot.as_of
    )


def _plan(
    config: RunConfig,
    planned: _Book,
    options: _Options,
    run_options: RunOptions,
    stack: ExitStack,
) -> BookSummary:
    """Read the fails, plan them, and write the certificate."""
    from finops_cli.book.copying import Copier, make_note
    from finops_cli.book.planning import plan_book
    from finops_cli.book.reading import index_fails
    from finops_cli.files.safe_io import writing_whole
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.run import read_files

    pipeline = config.pipeline.open()
    assert isinstance(pipeline, Pipeline)  # noqa: S101 - the book has no other
    selection = _select(config, pipeline, planned, options)
    sent = _open_sent(options.sent, selection, stack)
    source, given = planned.source, replace(planned.given, sent=sent)
    source.lone = _find_lone(planned, options, run_options, pipeline)
    lone_lines = None if source.lone is None else source.lone.lines
    index_fails(source.inner, pipeline, given.index, selection, lone_lines)
    if options.certificate is None:
        summary = plan_book(given, planned.budget)
    else:
        read = [*read_files(config), config.output]
        replaces = run_options.overwrite or run_options.resume
        with writing_whole(options.certificate, read, replaces) as file:
            summary = plan_book(given, planned.budget, file)
    if selection is not None:
        source.copier = Copier(selection.before, summary)
    source.note = make_note(planned.settings, planned.touched, summary)
    return summary


def _find_lone(
    planned: _Book, options: _Options, run_options: RunOptions, pipeline: Pipeline
) -> LoneFails | None:
    """Return what plans lone fails when they are answered; None where every plan is needed before.

    Money and a certificate concern the whole book, an earlier plan is read by fail, and a resumed
    run answers only some of the lines.
    """
    from finops_cli.book.lone_fails import LoneFails

    is_whole = planned.budget is not None or options.certificate is not None
    has_earlier = options.sent is not None or options.follow or run_options.resume
    if is_whole or has_earlier:
        return None
    by_law = pipeline.clock is not None and pipeline.clock.is_regulation
    return LoneFails(planned.given, by_law=by_law)


def _open_follower(config: RunConfig, planned: _Book) -> Follower:
    from finops_cli.book.follow import Follower
    from finops_cli.pipeline.pipeline import Pipeline

    pipeline, inventory = config.pipeline.open(), planned.inventory
    assert isinstance(pipeline, Pipeline)  # noqa: S101 - the book has no other
    assert inventory is not None  # noqa: S101 - refused before
    return Follower(
        given=planned.given,
        sources=inventory,
        source=planned.source.inner,
        pipeline=pipeline,
        start=planned.budget,
    )


def _select(
    config: RunConfig, pipeline: Pipeline, planned: _Book, options: _Options
) -> Selection | None:
    """Select the securities that a change of the inventory touches; None: all are planned.

    Money and a certificate concern the whole book.
    """
    from finops_cli.book.copying import Selection, find_again, find_worst
    from finops_cli.book.sent import SentPlan
    from finops_cli.pipeline.run import describe_lines

    before = options.sent
    has_files = before is not None and before.is_file() and planned.source.path is not None
    if before is None or not has_files or options.delta is None:
        return None
    if planned.budget is not None or options.certificate is not None:
        return None
    now = describe_lines(pipeline, planned.source.digest(), timed=config.pipeline.timed)
    again = find_again(before, now, planned.settings)
    if again is None:
        return None
    again |= planned.touched
    shown = find_worst(before, again)
    return Selection(again.union(shown), before, SentPlan(before, reads=False))


def _open_sent(path: Path | None, selection: Selection | None, stack: ExitStack) -> SentPlan | None:
    from finops_cli.book.sent import SentPlan

    sent = selection.sent if selection is not None else None if path is None else SentPlan(path)
    if sent is not None:
        stack.callback(sent.close)
    return sent


def _report(summary: BookSummary, planned: _Book) -> None:
    from finops_cli.commands.book_summary import render_book

    for text in planned.notes:
        typer.echo(text, err=True)
    typer.echo(render_book(summary, planned.budget), err=True)
