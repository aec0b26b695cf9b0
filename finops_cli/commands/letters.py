"""`finops letters`: chasers, recalls, notices and claims as files; nothing is sent."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from finops_cli.commands.bad_lines import report_bad_lines
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import Overwrite, Quiet, kb_dir_of, path_or_standard
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finops_cli.files.jsonl import InputLine
    from finops_cli.kb.chapters.wording.letters import LetterKind
    from finops_cli.letters.collect import Collected
    from finops_cli.letters.write import LetterFiles, Written

Source = Annotated[
    str, typer.Argument(metavar="OUT.jsonl", help="Output of finops run or book; - for stdin.")
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the letters.")
]
Fails = Annotated[
    Path | None,
    typer.Option(
        "--fails",
        metavar="FAILS.jsonl",
        help="The fails of the run. They give facts that an output line lacks: the age of a"
        " receive, the reason of a DK, the parties of chases that the plan has in one step.",
    ),
]
Desk = Annotated[
    Path | None,
    typer.Option(
        "--desk",
        metavar="FILE",
        help="Sender of the letters (YAML): firm, desk, dtc, signed_by, phone, email, clears_for.",
    ),
]
Counterparties = Annotated[
    Path | None,
    typer.Option(
        "--counterparties",
        metavar="FILE",
        help="Names and addresses (CSV or JSON Lines): counterparty (DTC number), bic, name,"
        " contact, email.",
    ),
]
Loans = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        metavar="FILE",
        help="Inventory of finops book. Its RECALL lines name the loan and the borrower.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=(
            "Write this kind only. Repeat the option for more.\n\n\b\n"
            "chaser:           shares that are owed to us\n"
            "net_settlement:   proposal in a gridlock\n"
            "recall:           return of lent shares\n"
            "buy_in:           notice, FINRA Rule 11810\n"
            "dk:               a trade is not known\n"
            "rule_204c:        open fail, to whom we clear for\n"
            "corporate_action: claim or proposal\n"
        ),
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Date of the letters (default: the moment of the run, else a blank).",
    ),
]


@show_examples(
    "finops letters examples/monday.expected.jsonl --fails examples/monday.jsonl",
    "finops letters examples/book/fails.expected.jsonl --kind recall -o recalls",
)
def letters(
    context: typer.Context,
    source: Source,
    output: Folder = Path("letters"),
    fails: Fails = None,
    desk: Desk = None,
    counterparties: Counterparties = None,
    inventory: Loans = None,
    kinds: Kinds = None,
    as_of: AsOf = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write letters to counterparties as files; nothing is sent."""
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.kb.load import load_kb
    from finops_cli.letters.collect import collect
    from finops_cli.letters.spool import Spool
    from finops_cli.letters.write import prepare_folder, write_letters

    wanted = _choose_kinds(kinds)
    kb = load_kb(kb_dir_of(context))
    day = _read_day(as_of)
    with ExitStack() as stack:
        files = _open_files(desk, counterparties, inventory, stack)
        records = None if fails is None else _open_records(fails)
        spool = stack.enter_context(closing(Spool()))
        file = stack.enter_context(reading_lines(path_or_standard(source)))
        found = collect((line for line, _ in lines_of(file)), records, wanted, kb, spool)
        _refuse_other_file(source, found)
        prepare_folder(output, overwrite)
        written = write_letters(spool, output, kb, files, day or found.as_of)
    if not quiet:
        _report(output, written)
    report_bad_lines(source, found)


def _choose_kinds(given: list[str] | None) -> frozenset[LetterKind]:
    from finops_cli.kb.chapters.wording.letters import LetterKind

    kinds: tuple[LetterKind, ...] = get_args(LetterKind)
    for kind in given or ():
        if kind not in kinds:
            accepted = ", ".join(kinds)
            raise UsageError(f"--kind is {kind}. Expected one of: {accepted}.", "give one of them")
    return frozenset(kind for kind in kinds if not given or kind in given)


def _read_day(as_of: str | None) -> str | None:
    from finops_cli.clock.moments import parse_moment

    try:
        return None if as_of is None else parse_moment(as_of).isoformat(timespec="minutes")
    except ValueError as error:
        raise UsageError(f"--as-of: {error}", "give a day, such as 2026-11-30") from error


def _open_files(
    desk: Path | None, counterparties: Path | None, inventory: Path | None, stack: ExitStack
) -> LetterFiles:
    from finops_cli.importers.counterparties import CounterpartyFile
    from finops_cli.importers.joins.inventory_file import InventoryFile
    from finops_cli.letters.parties import DeskDetails, read_desk
    from finops_cli.letters.write import LetterFiles

    known = stock = None
    if counterparties is not None:
        known = stack.enter_context(closing(CounterpartyFile(counterparties)))
    if inventory is not None:
        stock = stack.enter_context(closing(InventoryFile(inventory)))
    return LetterFiles(DeskDetails() if desk is None else read_desk(desk), known, stock)


def _open_records(fails: Path) -> Iterator[InputLine]:
    from finops_cli.commands.table_options import open_lines
    from finops_cli.files.jsonl import BATCH_LINES

    batches = open_lines(fails, has_cases=False).batches(0, BATCH_LINES)
    return (line for batch in batches for line in batch.lines)


def _refuse_other_file(source: str, found: Collected) -> None:
    if found.bad_lines and found.bad_lines == found.lines:
        first = found.bad[0]
        raise UsageError(
            f"{source}:{first.number}: is not an output line of finops ({first.reason})",
            "give the output of finops run or finops book, such as out.jsonl",
        )


def _report(folder: Path, written: Written) -> None:
    from finops_cli.commands.run_summary import wrap_label
    from finops_cli.letters.write import INDEX

    counts = ", ".join(f"{kind.replace('_', ' ')} {n:,}" for kind, n in written.letters.items())
    typer.echo(wrap_label("letters", counts or "none: no fail asks for one"), err=True)
    if written.with_blanks:
        text = f"{written.with_blanks:,} letters have blanks to fill in before they are sent"
        typer.echo(wrap_label("blanks", text), err=True)
    if written.without:
        text = f"{written.without:,} times a fail gets none; the index says why"
        typer.echo(wrap_label("no letter", text), err=True)
    typer.echo(wrap_label("index", str(folder / INDEX)), err=True)
