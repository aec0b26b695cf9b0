"""`finops show`: one fail of an output, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import Output, Overwrite, kb_dir_of, path_or_standard
from finops_cli.commands.show_pool import (
    Certificate,
    Inventory,
    find_pool,
    read_queue,
    write_pool_page,
)
from finops_cli.commands.terminal_width import table_paint, table_width
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.views.fail_page.search import FoundLine, Search

_FORMATS = ("table", "json", "html")
_WIDEST = 120
"""Columns of a page in a terminal that is wider."""

Source = Annotated[
    str,
    typer.Argument(
        metavar="OUT.jsonl", help="Output of finops run, book, triage or resolve; - for stdin."
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The fail: its fail_id, line-7 for the record on line 7 without one, or the CUSIP or"
        " symbol of a security with one fail.",
    ),
]


def _check_format(given: str | None) -> str | None:
    if given is not None and given not in _FORMATS:
        raise BadChoice(given, _FORMATS)
    return given


Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(_FORMATS),
        callback=_check_format,
        help="Form of the page (default: html where -o names such a file, else table). table: for"
        " people. json: the whole line. html: the pool of its security in a plan of the whole book,"
        " with a picture.",
        show_default=False,
    ),
]


@show_examples(
    "finops show examples/monday.expected.jsonl F-1001",
    "finops show examples/monday.expected.jsonl F-1001 --format json",
)
def show(
    context: typer.Context,
    source: Source,
    name: Name,
    format_: Format = None,
    output: Output = None,
    overwrite: Overwrite = False,
    inventory: Inventory = None,
    certificate: Certificate = None,
) -> None:
    """Show one fail of an output: what to do, and why.

    The page has the facts, the queue of its security, the score, the plan, the dates of the law,
    what finops corrected, and the rules that decided.
    """
    from finops_cli.files.jsonl import lines_of
    from finops_cli.files.line_files import reading_lines
    from finops_cli.files.safe_io import writing
    from finops_cli.kb.load import load_kb
    from finops_cli.views.fail_page.search import Search

    kb = load_kb(kb_dir_of(context))
    path, target = path_or_standard(source), path_or_standard(output)
    with reading_lines(path) as file:
        search = Search((line for line, _ in lines_of(file)), name)
    is_html = target is not None and target.suffix in (".html", ".htm")
    format_ = format_ or ("html" if is_html else "table")
    if format_ == "html":
        if path is None or not path.is_file():
            raise UsageError("the page of a pool needs the output as a file", "give it by its name")
        write_pool_page(
            path,
            find_pool(search, source),
            target,
            overwrite=overwrite,
            inventory=inventory,
            certificate=certificate,
        )
        return
    found = _choose(search, source)
    with writing(target, [path], overwrite) as written:
        for line in _render(found, kb, format_, path):
            written.write(f"{line}\n".encode())
    more = search.count_named - len(search.named)
    if more > 0:
        typer.echo(f"and {more:,} more lines are called {name}", err=True)


def _choose(search: Search, source: str) -> list[FoundLine]:
    """Return the lines to show. Raises UsageError where the name means no fail, or several."""
    if search.named:
        return search.named
    if search.count_of_security == 1:
        return search.of_security
    if search.count_of_security:
        raise _refuse_several(search, source)
    if not search.lines:
        raise UsageError(
            f"{source}: has no output line of finops",
            "give the output of finops run, finops triage or finops resolve, such as out.jsonl",
        )
    near = search.near_names()
    cure = f"did you mean {' or '.join(near)}?" if near else f"`finops list {source}` lists them"
    raise UsageError(f"{source}: has no fail {search.name}", cure)


def _refuse_several(search: Search, source: str) -> UsageError:
    from finops_cli.views.answers import Answer, read_answer

    rows = []
    for each in search.of_security:
        answer = read_answer(each.line, each.number)
        if isinstance(answer, Answer):
            shares = "" if answer.qty is None else f"{answer.qty:,} shares"
            parts = (each.fail_id, answer.tier, answer.side, shares, answer.counterparty)
            rows.append("  " + "  ".join(part for part in parts if part))
    more = search.count_of_security - len(search.of_security)
    if more:
        rows.append(f"  and {more:,} more")
    listed = "\n".join(rows)
    return UsageError(
        f"{source}: {search.count_of_security:,} fails are of {search.name}:\n{listed}",
        f"give the first word of one of these lines; `finops list {source} --security"
        f" {search.name}` says what to do about each",
    )


def _render(
    found: list[FoundLine], kb: KnowledgeBase, format_: str, path: Path | None
) -> Iterator[str]:
    import msgspec

    from finops_cli.domain.exact_json import UNREADABLE
    from finops_cli.views.fail_page.line import read_fail_line
    from finops_cli.views.fail_page.page import render_page

    paint, width = table_paint(None), table_width(None, _WIDEST)
    for place, each in enumerate(found):
        if format_ == "json":
            yield msgspec.json.format(each.line).decode()
            continue
        if place:
            yield ""
        if len(found) > 1:
            yield f"Line {each.number:,}, one of {len(found):,} lines with this name"
        try:
            line = read_fail_line(each.line)
            if line.book is not None and path is not None and path.is_file():
                line = read_fail_line(each.line, read_queue(path, line.book.cusip))
        except UNREADABLE as error:
            raise UsageError(
                f"line {each.number} ({each.fail_id}) is not an output line: {error}",
                "make the output again with this version of finops, or show it with --format json",
            ) from error
        yield from render_page(line, kb, width, paint)
