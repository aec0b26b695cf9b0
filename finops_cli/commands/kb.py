"""`finops kb`: the rules, with their sources."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, kb_dir_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    from finops_cli.kb.entries import AnyEntry

app = typer.Typer(
    invoke_without_command=True, rich_markup_mode=None, help="Show the rules with their sources."
)


@app.callback()
def every(context: typer.Context) -> None:
    """Show the rules with their sources. Without a subcommand, list them."""
    if context.invoked_subcommand is None:
        show_list(context)


@app.command("list")
def show_list(context: typer.Context, as_json: AsJson = False) -> None:
    """List every entry."""
    _print_list(list(_entries(context).values()), as_json)


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show one entry: a table, a number, a decision, a word list, or a rule that the checker
    names.
    """
    from difflib import get_close_matches

    from finops_cli.errors import UsageError

    entries = _entries(context)
    if id not in entries:
        near = get_close_matches(id, entries, n=3, cutoff=0.5)
        cure = f"did you mean {', '.join(near)}?" if near else "`finops kb` lists them"
        raise UsageError(f"kb has no entry {id}", cure)
    if as_json:
        _print_json(_plain(entries[id]))
    else:
        _print_entry(entries[id])


@app.command()
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORDS")],
    as_json: AsJson = False,
) -> None:
    """Find entries by words, best first."""
    from finops_cli.kb.search import search as find

    found = find(_entries(context), " ".join(words))
    _print_list(found, as_json)
    if not found:
        report(f"nothing in the knowledge base holds {' or '.join(words)}", "`finops kb` lists it")
        raise typer.Exit(1)


def _entries(context: typer.Context) -> dict[str, AnyEntry]:
    from finops_cli.kb.load import load_kb

    return dict(load_kb(kb_dir_of(context)).entries)


def _print_list(entries: list[AnyEntry], as_json: bool) -> None:
    if as_json:
        _print_json([_plain(entry) for entry in entries])
        return
    from shutil import get_terminal_size

    width = max((len(entry.id) for entry in entries), default=0)
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    for entry in entries:
        typer.echo(f"{entry.id:<{width}}  {entry.title} [{entry.source}]"[:room])


def _print_json(value: Any) -> None:
    from finops_cli.pipeline.output import encode_value

    typer.echo(encode_value(value))


def _plain(entry: AnyEntry) -> dict[str, Any]:
    """Return the entry without its unused keys."""
    from decimal import Decimal

    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(entry, builtin_types=(Decimal,))
    if "rows" in fields:
        fields["rows"] = [
            {key: value for key, value in row.items() if value is not None}
            for row in fields["rows"]
        ]
    return fields


def _print_entry(entry: AnyEntry) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(highlight=False)
    with console.capture() as captured:
        _render(entry, console, Markdown(entry.text.strip()))
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _render(entry: AnyEntry, console: Console, text: Markdown) -> None:
    console.print(f"[bold]{entry.title}[/bold]")
    console.print(f"{entry.id} | source {entry.source} | as of {entry.as_of}\n", style="dim")
    console.print(text)
    table = _table(entry)
    if table is not None:
        console.print()
        console.print(table)


def _table(entry: AnyEntry) -> Table | None:
    from rich.table import Table

    from finops_cli.kb import entries as kinds

    table = Table(box=None, pad_edge=False, header_style="dim")
    if isinstance(entry, kinds.Bands):
        table.add_column(entry.unit)
        table.add_column("value", justify="right")
        for label, value in zip(
            _band_labels(entry), (row.value for row in entry.rows), strict=True
        ):
            table.add_row(label, str(value))
    elif isinstance(entry, kinds.Lookup | kinds.Terms):
        for name, value in entry.members.items():
            table.add_row(name, str(value) or "(dropped)")
        table.show_header = False
    elif isinstance(entry, kinds.Number):
        table.add_row(f"{entry.value:,} {entry.unit}")
    elif isinstance(entry, kinds.Choice):
        table.add_row(entry.value)
    elif isinstance(entry, kinds.Regulation):
        table.add_row(f"The rules that differ: {', '.join(entry.differs)}")
    else:
        return None
    return table


def _band_labels(entry: Any) -> list[str]:
    labels, lower = [], ""
    for row in entry.rows:
        upper = (
            f"to {row.to:,}"
            if row.to is not None
            else f"below {row.below:,}"
            if row.below is not None
            else ""
        )
        between = "to " if lower and row.below is not None else ""
        labels.append(f"{lower} {between}{upper}".strip())
        lower = (
            f"over {row.to:,}"
            if row.to is not None
            else f"from {row.below:,}"
            if row.below is not None
            else ""
        )
    return labels
