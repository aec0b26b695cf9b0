"""The columns of a table: header, meaning of the header, and the values of the sample."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TypeAlias

from finops_cli.domain import money
from finops_cli.importers.proposal.headers import HeaderIndex, Meaning
from finops_cli.importers.tables.table import CellFault, CellValue

Cell: TypeAlias = CellValue
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the sample."""

    index: int
    name: str
    """As a mapping names it: the header, or `#3` where the header is empty or repeated."""
    header: str
    meaning: Meaning
    cells: tuple[Cell, ...]
    texts: tuple[str, ...]
    """The cells as trimmed text; empty where a cell is blank."""

    @cached_property
    def filled(self) -> tuple[str, ...]:
        """The texts that are not blank."""
        return tuple(text for text in self.texts if text)

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """The different texts that are not blank, in the order of the rows."""
        return tuple(dict.fromkeys(self.filled))

    @cached_property
    def untyped(self) -> tuple[str, ...]:
        """The filled cells that the file gives as text, not as a number of a workbook."""
        return tuple(
            text
            for text, cell in zip(self.texts, self.cells, strict=True)
            if text and isinstance(cell, str)
        )

    def describe(self) -> str:
        """Name the column in a message, with its header where the mapping names its place."""
        is_place = self.header not in ("", self.name)
        return f"{self.name!r} (header {self.header!r})" if is_place else repr(self.name)

    @property
    def is_blank(self) -> bool:
        """Return true when every cell of the sample is blank."""
        return not self.filled

    @property
    def is_constant(self) -> bool:
        """Return true when two rows or more all have one text."""
        return len(self.distinct) == 1 and len(self.filled) == len(self.texts) > 1


def clean_header(cell: Cell) -> str:
    """Return the text of a header, trimmed, with inner white space as one blank."""
    return _SPACE.sub(" ", show_cell(cell)).strip().removeprefix("\ufeff").strip()


def show_cell(cell: Cell) -> str:
    """Return a cell as text. The numbers of a workbook are written without an exponent."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "Yes" if cell else "No"
    if isinstance(cell, Decimal):
        return money.plain(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat()
    if isinstance(cell, CellFault):
        return cell.text
    return cell.isoformat() if isinstance(cell, date) else cell.strip()


def make_columns(
    header: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    index: HeaderIndex,
    blanks: Iterable[str],
) -> list[Column]:
    """Make the columns of a sample. Cells that a short row lacks are blank.

    A place beyond the header that is blank in all rows makes no column.
    """
    empty = {text.casefold() for text in blanks}
    headers = [clean_header(cell) for cell in header]
    named = len(headers)
    width = max([named, *(len(row) for row in rows)])
    headers += [""] * (width - len(headers))
    columns = []
    for place in range(width):
        cells = tuple(row[place] if place < len(row) else None for row in rows)
        texts = tuple("" if (text := show_cell(c)).casefold() in empty else text for c in cells)
        text = headers[place]
        if place >= named and not any(texts):
            continue  # one far cell of a sheet does not make a column of each place before it
        is_sole = text != "" and headers.count(text) == 1 and not text.startswith("#")
        name = text if is_sole else f"#{place + 1}"
        columns.append(Column(place, name, text, index.find(text), cells, texts))
    return columns
