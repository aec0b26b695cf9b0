"""Reads the rows of a CSV file with their physical line numbers.

A row that cannot be read does not affect the other rows.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from finops_cli.domain import limits
from finops_cli.errors import UsageError

csv.field_size_limit(
    limits.TEXT_CHARS
)  # the longest text of a record; csv has one limit for all its readers


class CsvRow(NamedTuple):
    """The cells of a row, or its fault. `line` is the number of its first line."""

    line: int
    cells: list[str]
    fault: str | None = None


DEFAULT_DELIMITER = ","
_SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


class _Lines:
    """Feeds csv.reader, and remembers the lines of the current row.

    After a faulty row, all its lines but the first are read again. A file whose faulty rows span
    many lines could be read once for each of its lines; behind `limits.CSV_REREAD_TIMES` its size,
    a cell may have no line break.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self._chars = 0
        self._chars_left = limits.CSV_REREAD_CHARS
        """How many characters may still be read again after faulty rows."""
        self.number = 0
        """How many lines were read."""

    def begin(self) -> int:
        """Start a row and return the number of its first line."""
        self._row, self._chars = [], 0
        return self.number + 1

    def take_back(self) -> bool:
        """Read the lines of this row again, without the first; false where it has only one."""
        again = len(self._row) - 1
        self._chars_left -= self._chars - len(self._row[0])
        self._again.extendleft(reversed(self._row[1:]))
        self.number -= again
        self._row = self._row[:1]
        return again > 0

    def peek(self) -> str:
        """Return the next line and leave it in its place; empty at the end."""
        line = self._text.readline(limits.LINE_BYTES)
        self._again.append(line)
        return line

    def skip(self) -> bool:
        """Leave the next line out; false at the end."""
        try:
            next(self)
        except StopIteration:
            return False
        except csv.Error:
            pass  # a line that is too long, or that has a NUL byte
        self._row, self._chars = [], 0
        return True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._row and self._chars_left < 0:  # each line is a row of its own from here on
            raise csv.Error(_ENDS_INSIDE)
        if self._again:
            line = self._again.popleft()
        else:
            line = self._text.readline(limits.LINE_BYTES)
            self._chars_left += limits.CSV_REREAD_TIMES * len(line)
        if not line:
            raise StopIteration
        piece = line
        while len(piece) == limits.LINE_BYTES and not piece.endswith("\n"):
            piece = self._text.readline(limits.LINE_BYTES)
        self.number += 1
        self._row.append(line)
        self._chars += len(line)
        if self._chars >= limits.LINE_BYTES:
            raise csv.Error(f"is longer than {limits.LINE_BYTES:,} characters")
        if "\0" in line:
            raise csv.Error("holds a NUL byte")
        return line


_ENDS_INSIDE = "unexpected end of data"
_FAULTS = {
    _ENDS_INSIDE: "ends inside a cell that is quoted",
    "field larger than": f"has a cell of more than {limits.TEXT_CHARS:,} characters",
    "expected after": "has text after the closing quote of a cell",
    "new-line character seen": "has a line break in a cell that is not quoted",
}
"""The messages of the module csv, by a part of each, in plain words."""


def _describe(error: str) -> str:
    return next((words for part, words in _FAULTS.items() if part in error), error)


def csv_rows(
    text: TextIO, delimiter: str | None, *, name: str = "the file", header: int | None = None
) -> Iterator[CsvRow]:
    """Yield the header and the rows of `text`, which is opened with newline="".

    Blank rows are left out, and so are empty cells beyond the header. A row with another number of
    cells has a fault, and its cells where it is one line. `delimiter` None is the one of a first
    line `sep=;`, as Excel writes it, else a comma. `header` is the line of the header, and the
    lines above it are left out; None is the first line that is not blank.

    Raises UsageError, with `name`, if a line `sep=` contradicts `delimiter`.
    """
    lines = _Lines(text)
    delimiter = _read_separator(lines, delimiter, name)
    while header is not None and lines.number < header - 1 and lines.skip():
        pass
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = named = 0
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
        last = _count_filled(cells)
        if not last:
            continue
        if not width:
            width, named = len(cells), last
        if len(cells) != width:
            if last > width or len(cells) < named:
                fault = f"has {len(cells)} cells, and the header {width}"
                yield CsvRow(start, [] if lines.take_back() else cells, fault)
                continue
            cells = [*cells[:width], *[""] * (width - len(cells))]
        yield CsvRow(start, cells)


def _count_filled(cells: list[str]) -> int:
    """Count the cells up to the last one that is not blank."""
    for number in range(len(cells), 0, -1):
        if cells[number - 1] and not cells[number - 1].isspace():
            return number
    return 0


def _read_separator(lines: _Lines, delimiter: str | None, name: str) -> str:
    """Read a first line `sep=;`, where there is one, and return the delimiter."""
    found = _SEPARATOR.fullmatch(lines.peek())
    if found is None:
        return delimiter or DEFAULT_DELIMITER
    lines.skip()
    if delimiter is not None and delimiter != found[1]:
        raise UsageError(
            f"{name}:1: the line {found[0].strip()} names another delimiter than the mapping,"
            f" {delimiter!r}",
            f"write csv: {{delimiter: {json.dumps(found[1])}}} in the mapping, or leave it out",
        )
    return found[1]
