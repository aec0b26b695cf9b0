"""The list as a CSV file that a spreadsheet opens, and in which no cell is a formula.

UTF-8 with a byte-order mark, a comma, CRLF. Numbers without grouping, days as 2026-11-18, null as
an empty cell. A text that a spreadsheet could take for a formula has an apostrophe before it, which
is how a person types such a text into a cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import BinaryIO

from finops_cli.views.answers import Answer
from finops_cli.views.changes import Change
from finops_cli.views.exports.cells import Cell, read_cell

BOM = "\ufeff"
_SIGNS = r"[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""The beginning of a formula; the last four signs are the wide forms of = + - @."""
_FORMULA = re.compile(rf"^(?={_SIGNS}|[\t\r\n])|(?<=;)(?={_SIGNS})")
"""Where a formula could begin: at the start, or after the separator of other countries, behind
which a spreadsheet may see a cell of its own.
"""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def write_csv(answers: Iterable[Answer], columns: Sequence[str], out: BinaryIO) -> None:
    """Write a row of `columns` for each answer, in the order given."""
    write = csv.writer(_Utf8(out)).writerow
    write([f"{BOM}{columns[0]}", *columns[1:]])
    for answer in answers:
        write([write_plain(read_cell(answer, name)) for name in columns])


def write_changes_csv(changes: Iterable[Change], columns: Sequence[str], out: BinaryIO) -> None:
    """Write a row for each change: its kinds, what is different, and `columns` of the fail."""
    write = csv.writer(_Utf8(out)).writerow
    write([f"{BOM}change", "what_changed", *columns])
    for change in changes:
        told = [neutralize(" ".join(change.kinds)), neutralize("; ".join(change.said))]
        write([*told, *(write_plain(read_cell(change.answer, name)) for name in columns)])


def write_plain(value: Cell) -> str:
    """Write a value so that each program reads it back as it was."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    return neutralize(value) if isinstance(value, str) else str(value)


def neutralize(text: str) -> str:
    """Put an apostrophe before each part of `text` that could be read as a formula."""
    if _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub("'", text)


class _Utf8:
    """Takes the rows of csv.writer."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        self._out.write(text.encode())
