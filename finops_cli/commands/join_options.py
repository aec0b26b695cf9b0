"""The options for files whose facts are joined to the records of a run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.table_options import (
    AS_OF_OPTION,
    Supplied,
    TableOptions,
    open_input,
    open_lines,
    open_several,
)
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.clock.facts import AsOf
    from finops_cli.clock.market_calendar import Calendar
    from finops_cli.importers.joins.joined_source import JoinedSource
    from finops_cli.importers.joins.record_join import RecordJoin
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.clock import ClockPolicy

CounterpartyHistory = Annotated[
    Path | None,
    typer.Option(
        "--counterparty-history",
        metavar="FILE",
        help="Trades and fails of each counterparty by day (CSV or JSON Lines: date, counterparty,"
        " trades, fails). They give the fail rate of the 15 settlement days before the moment.",
    ),
]
Inventory = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        metavar="FILE",
        help="Stock of the desk by CUSIP (JSON Lines, CSV or an Excel workbook): box, depots,"
        " recalls, borrows. A plain row of cusip and qty is the box.",
    ),
]
InventoryAsOf = Annotated[
    str | None,
    typer.Option(
        "--inventory-as-of",
        metavar="DATE",
        help="Day or moment of an inventory file that does not say when it was true.",
    ),
]
AllowStale = Annotated[
    bool,
    typer.Option(
        "--allow-stale",
        help="Use an inventory older than one settlement day (kb: book.max_age_days).",
    ),
]
Receives = Annotated[
    bool,
    typer.Option(
        "--receives/--no-receives",
        help="Let the receives of the file be sources of the deliveries in the same CUSIP."
        " A pipe cannot be read twice, so its receives stay apart.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinOptions:
    """Which facts of other files, and of other rows, a record gets."""

    counterparty_history: CounterpartyHistory = None
    inventory: Inventory = None
    inventory_as_of: InventoryAsOf = None
    allow_stale: AllowStale = False
    receives: Receives = True

    @property
    def files(self) -> tuple[Path, ...]:
        """The joined files."""
        given = (self.counterparty_history, self.inventory)
        return tuple(path for path in given if path is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """The options whose facts a mapping may lack."""
        return ("--inventory",) if self.inventory is not None else ()

    @property
    def supplied(self) -> tuple[str, ...]:
        """The fields of a record that the files give, so that a mapping may lack them."""
        rate = ("cp_fail_rate_pct",) if self.counterparty_history is not None else ()
        stock = ("inventory_coverage_pct",) if self.inventory is not None else ()
        return (*rate, *stock)


def open_join(
    options: JoinOptions,
    kb: KnowledgeBase,
    as_of: AsOf | None,
    calendar: Calendar,
    stack: ExitStack,
) -> RecordJoin | None:
    """Read the joined files; None where none is given. Raises UsageError."""
    if options.inventory is None and options.inventory_as_of is not None:
        raise UsageError("--inventory-as-of is given without --inventory", "give both or neither")
    if not options.files:
        return None
    from finops_cli.importers.joins.counterparty_history import CounterpartyHistory
    from finops_cli.importers.joins.inventory_file import InventoryFile
    from finops_cli.importers.joins.record_join import RecordJoin

    join = RecordJoin(as_of=None if as_of is None else as_of.day)
    stack.callback(join.close)
    if options.counterparty_history is not None:
        join.history = CounterpartyHistory(options.counterparty_history, kb, calendar)
    if options.inventory is not None:
        join.inventory = InventoryFile(options.inventory, options.inventory_as_of)
        if as_of is not None and not options.allow_stale:
            join.inventory.refuse_stale(as_of.day, calendar, kb.joins)
    return join


def open_joined(
    path: Path | None,
    table: TableOptions | None,
    options: JoinOptions,
    clock: ClockPolicy,
    stack: ExitStack,
    *,
    kb_dir: Path,
    quiet: bool,
    may_be_several: bool = False,
) -> JoinedSource:
    """Open the input of a run, with the facts that the options join to its records.

    `path` None is stdin; `table` None is a command whose input has no columns. `clock` has the
    moment and the calendar of the run. `may_be_several`: the input may be a folder or a pattern of
    files. Raises UsageError.
    """
    from finops_cli.importers.joins.joined_source import JoinedSource
    from finops_cli.importers.joins.receives import ReceivesIndex
    from finops_cli.importers.record_source import RecordSource
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.inputs import InputPolicy

    kb = load_kb(kb_dir)
    as_of = clock.config.as_of
    join = open_join(options, kb, as_of, clock.calendar, stack)
    supplied = Supplied(
        options=options.names if as_of is None else (AS_OF_OPTION, *options.names),
        fields=options.supplied,
        complete=None if join is None else join.apply,
    )
    given = open_several(path, table) if may_be_several and path is not None else None
    if given is None and table is not None:
        given = open_input(path, table, kb_dir, stack, quiet=quiet, supplied=supplied)
    given = given or open_lines(path)
    is_joined = isinstance(given, RecordSource)
    is_file = bool(given.parts) or (path is not None and path.is_file())
    source = JoinedSource(
        inner=given,
        inputs=InputPolicy(kb, as_of=as_of, calendar=clock.calendar),
        join=None if is_joined else join,
        counted=join,
        joined_files=options.files,
    )
    if options.receives and is_file:
        source.receives = ReceivesIndex(kb)
        stack.callback(source.receives.close)
    elif options.receives:
        source.notes.append("a pipe is read once, so its receives are not sources of deliveries")
    return source
