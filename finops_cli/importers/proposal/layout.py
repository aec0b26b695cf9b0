"""Find the header of a table, the sample below it, and the rows that are not fails."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from finops_cli.importers.proposal.columns import Cell, clean_header, show_cell
from finops_cli.importers.proposal.headers import HeaderIndex
from finops_cli.importers.proposal.values.identifiers import is_isin, is_scientific, read_security
from finops_cli.importers.tables.csv_table import CsvTable
from finops_cli.importers.tables.table import Table, TableRow
from finops_cli.kb.chapters.imports import ImportSettings

_HEADER_ROWS = 100
"""The header of a file is among its first rows."""
_TAIL_ROWS = 12
_FEWEST_KNOWN = 2
_SEP = "sep="
_FEWEST_COLUMNS = 4
"""In a table of so many columns, a row with one filled cell is not a fail."""
_TOTAL = ("total", "sub", "count")
_SECTION = re.compile(r"\b(deliver|receive)", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d]{2,}[^\d*]*")


class SkippedRow(NamedTuple):
    """A row that is not a fail: a total, a footer, or the header once more."""

    line: int
    place: int
    """The column of its first text, from 0."""
    text: str
    pattern: str
    """The text that the mapping skips; `*` at its end matches a beginning."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the fails of a table are."""

    header_line: int
    is_first: bool
    """The header is the first row that is not blank, so that the mapping need not name it."""
    header: tuple[Cell, ...]
    preamble: tuple[tuple[int, str], ...]
    """The rows above the header: line, and the texts of their cells."""
    sample: tuple[tuple[Cell, ...], ...]
    lines: tuple[int, ...]
    """The line of each row of the sample."""
    skipped: tuple[SkippedRow, ...]
    faults: tuple[tuple[int, str], ...]
    """The rows of the sample that could not be read: line, and why."""

    def section(self) -> SkippedRow | None:
        """Return the first row among the fails that names who delivers from there on."""
        last = max(self.lines, default=0)
        found = (row for row in self.skipped if _SECTION.search(row.text) and row.line < last)
        return next((row for row in found if not row.text.casefold().startswith(_TOTAL)), None)


def find_layout(table: Table, words: ImportSettings, index: HeaderIndex) -> Layout | None:
    """Read a table and find its parts; None where it has no header that finops knows."""
    top = list(islice(table.rows(), _HEADER_ROWS))
    place = _find_header(top, index)
    if place is None:
        return None
    header = top[place]
    above = [row for row in top[:place] if not _is_blank(row) and not _is_sep(row)]
    if above and isinstance(table, CsvTable):
        table = table.below(header.line)  # each row is as wide as the header
    source = (row for row in table.rows() if row.line > header.line and not _is_blank(row))
    finder = _SkipFinder(header.cells, words)
    found = [(row, finder.find(row)) for row in islice(source, words.sample_rows)]
    skipped = [skip for _, skip in found if skip]
    skipped += [skip for row in deque(source, maxlen=_TAIL_ROWS) if (skip := finder.find(row))]
    kept = [row for row, skip in found if skip is None and row.fault is None]
    return Layout(
        header_line=header.line,
        is_first=not above,
        header=tuple(header.cells),
        preamble=tuple((row.line, _join(row.cells)) for row in above),
        sample=tuple(tuple(row.cells) for row in kept),
        lines=tuple(row.line for row in kept),
        skipped=tuple(_narrow(skip, kept) for skip in skipped),
        faults=tuple(
            (row.line, row.fault) for row, skip in found if skip is None and row.fault is not None
        ),
    )


def _find_header(top: Sequence[TableRow], index: HeaderIndex) -> int | None:
    """Return the place of the row that has most known headers, the first of several."""
    best, place = _FEWEST_KNOWN - 1, None
    for number, row in enumerate(top):
        known = sum(index.knows(clean_header(cell)) for cell in row.cells if isinstance(cell, str))
        if known > best:
            best, place = known, number
    return place


def _is_blank(row: TableRow) -> bool:
    return row.fault is None and not any(show_cell(cell) for cell in row.cells)


def _is_sep(row: TableRow) -> bool:
    """Return true for the line `sep=;`, whose delimiter may have split it."""
    return bool(row.cells) and show_cell(row.cells[0]).casefold().startswith(_SEP)


def _join(cells: Sequence[Cell]) -> str:
    return " ".join(text for cell in cells if (text := show_cell(cell)))


class _SkipFinder:
    """Recognises totals, footers and repeated headers."""

    def __init__(self, header: Sequence[Cell], words: ImportSettings) -> None:
        self._header = [clean_header(cell) for cell in header]
        self._words = words.skipped_rows

    def find(self, row: TableRow) -> SkippedRow | None:
        """Return how a mapping skips the row; None where it may be a fail."""
        texts = [show_cell(cell) for cell in row.cells]
        place = next((place for place, text in enumerate(texts) if text), None)
        if place is None or place >= len(self._header):
            return None
        text = texts[place]
        if _strip([clean_header(cell) for cell in row.cells]) == _strip(self._header):
            return SkippedRow(row.line, place, text, text)
        filled = sum(bool(each) for each in texts)
        if any(_is_security(each, filled * 2 > len(self._header)) for each in texts):
            return None
        for word in self._words:
            rest = text[len(word) :]
            if text.casefold().startswith(word.casefold()) and not rest[:1].isalnum():
                return SkippedRow(row.line, place, text, f"{text[: len(word)]}*" if rest else text)
        if filled == 1 and len(self._header) >= _FEWEST_COLUMNS:
            words = _WORDS.match(text)
            return SkippedRow(row.line, place, text, f"{words[0].strip()}*" if words else text)
        return None


def _narrow(skip: SkippedRow, kept: Sequence[TableRow]) -> SkippedRow:
    """Skip only the exact text where a fail begins alike, such as TOTAL SYSTEM SERVICES."""
    start = skip.pattern.removesuffix("*").casefold()
    texts = (show_cell(row.cells[skip.place]) for row in kept if skip.place < len(row.cells))
    is_shared = any(text.casefold().startswith(start) for text in texts)
    return skip._replace(pattern=skip.text) if is_shared else skip


def _strip(names: Sequence[str]) -> list[str]:
    """Leave out the empty names at the end of a row."""
    last = max((place for place, name in enumerate(names) if name), default=-1)
    return list(names[: last + 1])


def _is_security(text: str, is_full_row: bool) -> bool:
    """Return true for the number of a security; digits alone are one only in a full row."""
    number = read_security(text)
    if number is not None and not {"check_digit", "leading_zero"}.isdisjoint(number.repairs):
        return is_full_row
    return number is not None or is_isin(text) or is_scientific(text)
