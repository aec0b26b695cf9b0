"""`finops import swift`: market messages of custodians and depositories."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Optional

import typer

from finops_cli.commands.clock_options import AsOfOption, CalendarOption, open_clock
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.import_items import write_items
from finops_cli.commands.join_options import JoinOptions, open_join
from finops_cli.commands.options import MinRecords, Output, Overwrite, Quiet, kb_dir_of
from finops_cli.commands.run_options import with_shared_options

Messages = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Files of MT548 or MT537 (ISO 15022), sese.024 or semt.018 (ISO 20022), one or several"
        " messages in a file, also packed as .gz.",
    ),
]
MessageParties = Annotated[
    Optional[Path],  # noqa: UP045 - Typer needs it
    typer.Option(
        "--counterparties",
        metavar="FILE",
        help="DTC number of each BIC (CSV or JSON Lines: counterparty, bic, name, contact, email).",
    ),
]


@show_examples(
    "finops import swift examples/swift/mt537.txt examples/swift/sese024.xml",
    "finops import swift examples/swift/sese024.xml -o fails.jsonl",
)
@with_shared_options("receives")
def swift(
    context: typer.Context,
    files: Messages,
    counterparties: MessageParties = None,
    output: Output = None,
    overwrite: Overwrite = False,
    min_records: MinRecords = 0,
    as_of: AsOfOption = None,
    calendar: CalendarOption = None,
    quiet: Quiet = False,
    *,
    joins: JoinOptions,
) -> None:
    """Convert market messages of custodians and depositories to fail records.

    The last status of each instruction counts. A message that is no settlement status, and an
    instruction that has not failed, is named on stderr and skipped.
    """
    from finops_cli.importers.counterparties import CounterpartyFile
    from finops_cli.importers.messages.importing import MessageImport, import_messages
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.inputs import InputPolicy

    kb = load_kb(kb_dir_of(context))
    with ExitStack() as stack:
        clock, _ = open_clock(context, as_of, calendar)
        moment = clock.config.as_of
        known = None if counterparties is None else CounterpartyFile(counterparties)
        if known is not None:
            stack.callback(known.close)
        join = open_join(joins, kb, moment, clock.calendar, stack)
        given = MessageImport(
            inputs=InputPolicy(kb, as_of=moment, calendar=clock.calendar),
            counterparties=known,
            moment=None if moment is None else str(moment.day),
            complete=None if join is None else join.apply,
        )
        read = [*files, *joins.files, *([counterparties] if counterparties is not None else [])]
        items = import_messages(files, given)
        write_items(items, read, output, overwrite=overwrite, min_records=min_records, quiet=quiet)
        for note in () if quiet or join is None else join.report():
            typer.echo(note, err=True)
