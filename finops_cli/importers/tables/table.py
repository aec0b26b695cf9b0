"""The rows of a file with columns: a CSV file or the sheet of a workbook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from msgspec import Struct


class CellFault(Struct, frozen=True):
    """A cell whose value cannot be known, such as a formula without a stored value."""

    text: str
    """The cell as the file shows it: `=B2*C2`, `#REF!`; shortened."""
    why: str
    """The fault, as the rest of a sentence about the cell: `holds the error #REF!`."""
    cure: str
    """How to get a value into the cell."""


class Percentage(Decimal):
    """The number of a cell in a percent format, in percent: 4 where the sheet shows 4%."""


CellValue = str | Decimal | date | datetime | bool | CellFault | None
"""A CSV file gives text. A workbook gives typed values, with each number as an exact Decimal."""


class TableRow(NamedTuple):
    """The cells of a row, or the fault of the whole row. `line` counts from 1."""

    line: int
    cells: Sequence[CellValue]
    """May be fewer than the header has. With a fault: those that could be read."""
    fault: str | None = None
    """Why the row cannot be used; it completes "the row ..."."""


class Source(NamedTuple):
    """Where the rows come from, as the `origin` of each record says it."""

    kind: str
    """csv or xlsx."""
    file: str
    """The name of the file without its folder; or stdin."""
    sheet: str | None = None


class Table(Protocol):
    """A file with columns."""

    @property
    def name(self) -> str:
        """The name in messages: `blotter.csv`, or `fails.xlsx, sheet Fails`."""

    @property
    def source(self) -> Source:
        """The file in the `origin` of its records."""

    @property
    def is_pipe(self) -> bool:
        """Return true where the rows can be read once only."""

    def rows(self) -> Iterator[TableRow]:
        """Yield every row that is not blank, in order, the header included.

        It can be called again, where the file is not a pipe.
        """
