"""Tables in memory, as importers read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finops_cli.importers.tables.table import CellValue, Source, TableRow


@dataclass(frozen=True)
class RowsTable:
    """A table of given rows, the first of which is the header."""

    given: Sequence[Sequence[CellValue]]
    name: str = "fails.csv"

    @property
    def source(self) -> Source:
        """The table as a CSV file."""
        return Source("csv", self.name)

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows with their numbers."""
        for line, cells in enumerate(self.given, start=1):
            yield TableRow(line, list(cells))
