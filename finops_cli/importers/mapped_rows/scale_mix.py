"""Finds a column that has fractions below 1 beside percentages: 0.04 in one row and 4 in another.

Both may mean 4 percent. A mapping without `scale` reads all of them as percent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from finops_cli.importers.mapped_rows.cells import Kind, Value, cell_of
from finops_cli.importers.mapped_rows.mapping import Column
from finops_cli.importers.tables.table import CellValue, Percentage

_ONE = Decimal(1)


class SeenNumber(NamedTuple):
    """A number of the column, and its line."""

    line: int
    text: str


class ScaleMix:
    """Watches the percentages of one column that have no sign of percent."""

    def __init__(self, field: str, column: Column, position: int) -> None:
        """Keep the field and the column, whose cells stand at `position` of a row."""
        self._field = field
        self._column = column.column
        self.position = position
        self._fraction: SeenNumber | None = None
        self._percentage: SeenNumber | None = None

    @staticmethod
    def concerns(field: str, column: Column) -> bool:
        """Return true for a percentage whose scale the mapping does not give."""
        return cell_of(field).kind is Kind.PERCENT and column.scale is None

    def add(self, line: int, cell: CellValue, value: Value) -> None:
        """Note a cell and the percentage that was read from it."""
        if not isinstance(value, Decimal) or isinstance(cell, Percentage):
            return
        text = str(cell).strip()
        if "%" in text:
            return
        if 0 < value < _ONE:
            self._fraction = self._fraction or SeenNumber(line, text)
        elif value > _ONE:
            self._percentage = self._percentage or SeenNumber(line, text)

    def note(self) -> str:
        """Describe the mix, and the key that settles it; empty without a mix."""
        low, high = self._fraction, self._percentage
        if low is None or high is None:
            return ""
        return (
            f"{self._field}: column {self._column!r} has {low.text} in line {low.line} and"
            f" {high.text} in line {high.line}: all cells were read as percent. If 0.04 is 4"
            ' percent in some rows, correct the file; if all are percent, write scale: "1" for'
            " this column in the mapping"
        )
