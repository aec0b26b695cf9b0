"""Reads the rows of a CSV file with their physical line numbers.

A row that cannot be read does not affect the other rows.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from finops_cli.domain import limits

csv.field_size_limit(
    limits.TEXT_CHARS
)  # the longest text of a record; csv has one limit for all its readers


class CsvRow(NamedTuple):
    """The cells of a row, or its fault. `line` is the number of its first line."""

    line: int
    cells: list[str]
    fault: str | None = None


class _Lines:
    """Feeds csv.reader, and remembers the lines of the current row.

    After a faulty row, all its lines but the first are read again.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self._chars = 0
        self._number = 0

    def begin(self) -> int:
        """Start a row and return the number of its first line."""
        self._row, self._chars = [], 0
        return self._number + 1

    def take_back(self) -> None:
        """Read the lines of this row again, without the first."""
        self._again.extendleft(reversed(self._row[1:]))
        self._number -= len(self._row) - 1
        self._row = self._row[:1]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(limits.LINE_BYTES)
        if not line:
            raise StopIteration
        piece = line
        while len(piece) == limits.LINE_BYTES and not piece.endswith("\n"):
            piece = self._text.readline(limits.LINE_BYTES)
        self._number += 1
        self._row.append(line)
        self._chars += len(line)
        if self._chars >= limits.LINE_BYTES:
            raise csv.Error(f"is longer than {limits.LINE_BYTES:,} characters")
        if "\0" in line:
            raise csv.Error("holds a NUL byte")
        return line


_FAULTS = {
    "unexpected end of data": "ends inside a cell that is quoted",
    "field larger than": f"has a cell of more than {limits.TEXT_CHARS:,} characters",
    "expected after": "has text after the closing quote of a cell",
    "new-line character seen": "has a line break in a cell that is not quoted",
}
"""The messages of the module csv, by a part of each, in plain words."""


def _describe(error: str) -> str:
    return next((words for part, words in _FAULTS.items() if part in error), error)


def csv_rows(text: TextIO, delimiter: str) -> Iterator[CsvRow]:
    """Yield the header and the rows of `text`, which is opened with newline="".

    Blank rows are left out; rows with another number of cells have a fault.
    """
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = 0
    while True:
        start = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.take_back()
            yield CsvRow(start, [], _describe(str(error)))
            continue
        if not any(cell.strip() for cell in cells):
            continue
        width = width or len(cells)
        if len(cells) != width:
            lines.take_back()
            yield CsvRow(start, [], f"has {len(cells)} cells, and the header {width}")
            continue
        yield CsvRow(start, cells)
