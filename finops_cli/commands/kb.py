"""`finops kb`: the rules, with their sources."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finops_cli.commands.help_examples import CommandWithExamples, GroupWithExamples, show_examples
from finops_cli.commands.kb_sets import diff, save, saved
from finops_cli.commands.messages import report
from finops_cli.commands.options import AsJson, kb_dir_of
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.confidence import CONFIDENCE_MEANINGS, CONFIDENCES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    from finops_cli.kb.entries import AnyEntry

app = typer.Typer(cls=GroupWithExamples, invoke_without_command=True, rich_markup_mode=None)


def _check_confidence(word: str | None) -> str | None:
    if word is not None and word not in CONFIDENCES:
        raise BadChoice(word, CONFIDENCES)
    return word


def _complete_confidence(incomplete: str) -> list[str]:
    return [word for word in CONFIDENCES if word.startswith(incomplete)]


ConfidenceOption = Annotated[
    str | None,
    typer.Option(
        "--confidence",
        metavar="WORD",
        callback=_check_confidence,
        autocompletion=_complete_confidence,
        help=(
            "List only the entries on the law with this confidence, and their citations.\n\n"
            "\b\n"
            + "\n".join(f"{word}: {meaning}" for word, meaning in CONFIDENCE_MEANINGS.items())
        ),
    ),
]


@app.callback()
@show_examples("finops kb", "finops kb glossary FTD")
def every(context: typer.Context) -> None:
    """Show the rules, their sources and the glossary.

    Without a subcommand, list the rules. `finops kb glossary FTD` explains a word, and
    `finops kb show card-1` the document that rules come from.
    """
    if context.invoked_subcommand is None:
        show_list(context)


@app.command("list", cls=CommandWithExamples)
@show_examples("finops kb list --json", "finops kb list --confidence unverified")
def show_list(
    context: typer.Context, confidence: ConfidenceOption = None, as_json: AsJson = False
) -> None:
    """List all entries, or the entries on the law with one confidence."""
    entries = list(_entries(context).values())
    if confidence is not None:
        entries = [entry for entry in entries if entry.confidence == confidence]
    _print_list(entries, as_json, with_citation=confidence is not None)
    if not entries:
        report(f"the knowledge base has no entry with the confidence {confidence}")


@app.command(cls=CommandWithExamples)
@show_examples("finops kb show score.base", "finops kb show card-1")
def show(
    context: typer.Context,
    id: Annotated[
        str, typer.Argument(metavar="ID", help="The id, such as score.base; `finops kb` lists all.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show one entry: a rule, a table, a number or a list.

    The checker names a rule by its id.
    """
    from difflib import get_close_matches

    from finops_cli.errors import UsageError

    entries = _entries(context)
    if id not in entries:
        near = get_close_matches(id, entries, n=3, cutoff=0.5)
        cure = f"did you mean {', '.join(near)}?" if near else "`finops kb` lists them"
        if _find_terms(_glossary(entries), id):
            cure = f"`finops kb glossary {id}` explains the word"
        raise UsageError(f"kb has no entry {id}", cure)
    if as_json:
        _print_json(_plain(entries[id]))
    else:
        _print_entry(entries[id])


@app.command(cls=CommandWithExamples)
@show_examples("finops kb glossary", "finops kb glossary FTD")
def glossary(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Word to explain (default: all).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain the words that the rules use, or one of them."""
    from difflib import get_close_matches

    from finops_cli.errors import UsageError

    word = " ".join(words or [])
    terms = _glossary(_entries(context))
    found = _find_terms(terms, word) if word else terms
    if not found:
        near = get_close_matches(word, terms, n=3, cutoff=0.5)
        cure = f"did you mean {', '.join(near)}?" if near else "`finops kb glossary` lists them"
        raise UsageError(f"the glossary has no word {word or 'at all'}", cure)
    if as_json:
        _print_json(found)
    else:
        _print_terms(found)


@app.command(cls=CommandWithExamples)
@show_examples("finops kb search recall notice", "finops kb search threshold --json")
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="Words to look for.")],
    as_json: AsJson = False,
) -> None:
    """Find entries by words, best first."""
    from finops_cli.kb.search import search as find

    entries = _entries(context)
    found = find(entries, " ".join(words))
    if _find_terms(_glossary(entries), " ".join(words)):
        glossary = entries["glossary"]
        found = [glossary, *(entry for entry in found if entry is not glossary)]
    _print_list(found, as_json)
    if not found:
        report(f"nothing in the knowledge base holds {' or '.join(words)}", "`finops kb` lists it")
        raise typer.Exit(1)


for _sets in (save, saved, diff):
    app.command(cls=CommandWithExamples)(_sets)


def _entries(context: typer.Context) -> dict[str, AnyEntry]:
    from finops_cli.kb.load import load_kb

    return dict(load_kb(kb_dir_of(context)).entries)


def _glossary(entries: dict[str, AnyEntry]) -> dict[str, str]:
    from finops_cli.kb.entries import Terms

    entry = entries.get("glossary")
    return entry.members if isinstance(entry, Terms) else {}


def _find_terms(terms: dict[str, str], word: str) -> dict[str, str]:
    """Find a word of the glossary in any case, also in the plural."""
    wanted = {word.casefold(), word.casefold().removesuffix("s")}
    return {term: text for term, text in terms.items() if term.casefold() in wanted}


def _print_terms(terms: dict[str, str]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for term, text in terms.items():
        table.add_row(term, Markdown(text))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _print_list(entries: list[AnyEntry], as_json: bool, with_citation: bool = False) -> None:
    if as_json:
        _print_json([_plain(entry) for entry in entries])
        return
    from shutil import get_terminal_size

    width = max((len(entry.id) for entry in entries), default=0)
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    for entry in entries:
        origin = (entry.citation or entry.source) if with_citation else entry.source
        typer.echo(f"{entry.id:<{width}}  {entry.title} [{origin}]"[:room])


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
    for label, told in _origin_of(entry):
        console.print()
        console.print(f"{label}: {told}" if told else f"{label}.", markup=False)
    for table in (_table(entry), _law_table(entry)):
        if table is not None:
            console.print()
            console.print(table)


def _origin_of(entry: AnyEntry) -> Iterator[tuple[str, str]]:
    """Yield when a decision was taken and why, and where a source is."""
    from finops_cli.kb import entries as kinds

    if "decision" in entry.source.split(", ") and not isinstance(entry, kinds.Source):
        yield f"Decided on {entry.as_of}", entry.reason or ""
    if isinstance(entry, kinds.Source):
        for link in entry.links:
            yield "See", link


def _law_table(entry: AnyEntry) -> Table | None:
    """The provision behind the entry, how well it is confirmed, and when it is in force."""
    from rich.table import Table

    fields = {
        "citation": entry.citation,
        "confidence": entry.confidence,
        "evidence": entry.evidence,
        "effective from": entry.effective_from,
        "effective to": entry.effective_to,
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for name, value in fields.items():
        if value is not None:
            table.add_row(name, value)
    return table if table.row_count else None


def _table(entry: AnyEntry) -> Table | None:
    from rich.table import Table

    from finops_cli.kb import entries as kinds
    from finops_cli.kb.bands import label_bands

    table = Table(box=None, pad_edge=False, header_style="dim")
    if isinstance(entry, kinds.Bands):
        table.add_column(entry.unit)
        table.add_column("value", justify="right")
        for label, row in zip(label_bands(entry), entry.rows, strict=True):
            table.add_row(label, str(row.value))
    elif isinstance(entry, kinds.Lookup | kinds.Terms):
        table.add_column(no_wrap=True)
        table.add_column()
        for name, value in entry.members.items():
            table.add_row(name, str(value) or "(dropped)")
        table.show_header = False
    elif isinstance(entry, kinds.Number):
        table.add_row(f"{entry.value:,} {entry.unit}")
    elif isinstance(entry, kinds.Choice):
        table.add_row(entry.value)
    elif isinstance(entry, kinds.Switch):
        table.add_row("on" if entry.value else "off")
    elif isinstance(entry, kinds.Regulation | kinds.Source) and entry.differs:
        table.add_row(f"The rules that differ: {', '.join(entry.differs)}")
        table.show_header = False
    else:
        return None
    return table
