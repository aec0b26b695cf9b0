"""A letter: its words and its table, with a visible blank for each fact that is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from string import Formatter
from textwrap import fill
from typing import NamedTuple

from msgspec import Struct

from finops_cli.kb.chapters.wording.letters import LetterKind, LetterRules, LetterTemplate
from finops_cli.letters.rows import Cell, LetterRow
from finops_cli.views.wording import clean


class Addressee(Struct, frozen=True, kw_only=True):
    """Whom a letter is for, as far as it is known."""

    participant: str | None = None
    name: str | None = None
    contact: str | None = None
    email: str | None = None


class Letter(Struct, frozen=True, kw_only=True):
    """A letter as text and as HTML."""

    kind: LetterKind
    addressee: Addressee
    subject: str
    text: str
    html: str
    blanks: int
    """The facts that somebody has to fill in."""


class _Table(NamedTuple):
    """The table of a letter as texts; `rights`: the columns of numbers."""

    heads: list[str]
    cells: list[list[str]]
    rights: list[bool]


class Composer:
    """Fills the templates of the letters with facts."""

    def __init__(self, rules: LetterRules) -> None:
        self._rules = rules
        self._blanks = 0

    def compose(
        self,
        kind: LetterKind,
        addressee: Addressee,
        facts: Mapping[str, str | None],
        rows: Sequence[LetterRow],
    ) -> Letter:
        """Write a letter. `facts` are the values of the places that are not the addressee's."""
        template = self._rules.templates[kind]
        self._blanks = 0
        known = dict(facts) | {
            "recipient": addressee.name,
            "participant": addressee.participant,
            "contact": addressee.contact,
            "delivery_time": self._rules.delivery_time,
        }
        subject = self._fill(template.subject, known)
        before, after = self._fill(template.before, known), self._fill(template.after, known)
        table = self._table(template, rows)
        texts = (_wrap(before), "\n".join(_text_table(table)), _wrap(after))
        return Letter(
            kind=kind,
            addressee=addressee,
            subject=subject,
            text="\n\n".join(texts) + "\n",
            html="".join(self._write_html(subject, before, table, after)),
            blanks=self._blanks,
        )

    def _fill(self, template: str, known: Mapping[str, str | None]) -> str:
        """Fill the places of a text; a value is text, whatever braces it has."""
        parts = []
        for text, name, _, _ in Formatter().parse(template):
            parts.append(text)
            if name is not None:
                value = known.get(name)
                parts.append(self._blank_of(name) if value is None else clean(value))
        return "".join(parts)

    def _blank_of(self, place: str) -> str:
        self._blanks += 1
        return self._rules.blank_text.format(what=self._rules.places[place])

    def _table(self, template: LetterTemplate, rows: Sequence[LetterRow]) -> _Table:
        """Make a table of the columns that are required, or that a row has a fact for."""
        heads = [
            column
            for column in template.columns
            if column.is_required or any(row.cells.get(column.name) is not None for row in rows)
        ]
        cells = [[self._cell(row.cells.get(head.name)) for head in heads] for row in rows]
        rights = [any(isinstance(row.cells.get(head.name), int) for row in rows) for head in heads]
        return _Table([head.head for head in heads], cells, rights)

    def _cell(self, value: Cell) -> str:
        if value is None:
            self._blanks += 1
            return self._rules.blank_cell
        return f"{value:,}" if isinstance(value, int) else clean(value)

    def _write_html(self, subject: str, before: str, table: _Table, after: str) -> Iterator[str]:
        yield _HEAD.format(title=escape(subject))
        yield from self._paragraphs(before)
        yield "<table><thead><tr>"
        yield "".join(f"<th scope=col>{escape(head)}" for head in table.heads)
        yield "</thead><tbody>\n"
        for row in table.cells:
            sides = (" class=n" if right else "" for right in table.rights)
            shown = zip(sides, row, strict=True)
            yield "<tr>" + "".join(f"<td{side}>{self._mark(cell)}" for side, cell in shown) + "\n"
        yield "</tbody></table>\n"
        yield from self._paragraphs(after)
        yield "</body></html>\n"

    def _paragraphs(self, text: str) -> Iterator[str]:
        for paragraph in text.split("\n\n"):
            lines = "<br>\n".join(self._mark(line) for line in paragraph.split("\n"))
            yield f"<p>{lines}</p>\n"

    def _mark(self, text: str) -> str:
        """Escape a text, and mark its blanks."""
        shown = escape(text)
        if text == self._rules.blank_cell:
            return f"<mark>{shown}</mark>"
        for what in self._rules.places.values():
            blank = escape(self._rules.blank_text.format(what=what))
            shown = shown.replace(blank, f"<mark>{blank}</mark>")
        return shown


def _wrap(text: str) -> str:
    """Break the long lines of a text; a line that somebody broke stays one."""
    lines = text.split("\n")
    return "\n".join(
        fill(line, _LINE_CHARS, break_long_words=False, break_on_hyphens=False) for line in lines
    )


def _text_table(table: _Table) -> Iterator[str]:
    """Yield the lines of a table; numbers are to the right, as in a ledger."""
    columns = list(zip(table.heads, *table.cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    yield _line(table.heads, widths, table.rights)
    yield _line(["-" * width for width in widths], widths, table.rights)
    for row in table.cells:
        yield _line(row, widths, table.rights)


def _line(row: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    placed = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(row, widths, rights, strict=True)
    ]
    return "  ".join(placed).rstrip()


_LINE_CHARS = 78
_HEAD = """<!doctype html>
<html lang=en><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 11pt/1.45 Georgia, serif; max-width: 46em; margin: 3em auto; padding: 0 1em; }}
table {{ border-collapse: collapse; font: 10pt/1.4 system-ui, sans-serif; }}
th, td {{ border-bottom: 1px solid #bbb; padding: .25em .7em; text-align: left; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
mark {{ background: #ffe58a; color: #000; }}
</style></head>
<body>
"""
