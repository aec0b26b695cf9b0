"""Finds the rows that a mapping skips: totals, footers and headers that are repeated."""

from __future__ import annotations

from finops_cli.domain.finding import Problem
from finops_cli.importers.mapped_rows.column_readers import TextMatch, text_of
from finops_cli.importers.mapped_rows.mapping import Mapping, SkipRule
from finops_cli.importers.mapped_rows.table_header import Header
from finops_cli.importers.tables.table import CellValue, TableRow
from finops_cli.verify.schemas import show_value


class SkipMatch:
    """A rule under `rows: skip`, at the place of its column.

    A text with `*` at its end is a guess: it skips no row that has a CUSIP and a quantity.
    """

    def __init__(self, rule: SkipRule, position: int) -> None:
        """Keep the rule; `position` is the place of its column in a row."""
        self._rule = rule
        self._position = position
        self._any = TextMatch(rule.is_)
        self._whole = TextMatch(text for text in rule.is_ if not text.endswith("*"))

    def fits(self, row: TableRow) -> bool:
        """Return true when the row has one of the texts, or begins with one."""
        return bool(row.cells) and self._any.fits(self._cell(row))  # else its texts are unknown

    def fits_whole(self, row: TableRow) -> bool:
        """Return true when the row has one of the texts that are given in full."""
        return self._whole.fits(self._cell(row))

    def describe_conflict(self, row: TableRow) -> Problem:
        """Describe a row that would be skipped, though it has a CUSIP and a quantity."""
        shown, column = show_value(text_of(self._cell(row))), self._rule.column
        texts = ", ".join(text for text in self._rule.is_ if text.endswith("*"))
        accepted = "a row without a CUSIP or a quantity"
        message = (
            f"column {column!r} is {shown}, which rows: skip ({texts}) takes for a total or a"
            f" footer, but the row has a CUSIP and a quantity; accepted: {accepted}; fix: write the"
            " whole texts of the rows to skip, without *, in the mapping"
        )
        return Problem(
            rule="schema.format", path="", value=shown, accepted=accepted, message=message
        )

    def _cell(self, row: TableRow) -> CellValue:
        return row.cells[self._position] if self._position < len(row.cells) else None


def find_skips(header: Header, mapping: Mapping) -> list[SkipMatch]:
    """Return what finds the rows to skip, in the order of the mapping."""
    return [SkipMatch(rule, header.position(rule.column)) for rule in mapping.rows.skip]
