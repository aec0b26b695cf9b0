"""Proposals for the typed cells of a workbook."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from finops_cli.importers.proposal.proposal import propose
from finops_cli.importers.tables.table import CellFault, CellValue
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.tables import RowsTable

HEADER: list[CellValue] = [
    *("CUSIP", "Side", "Fail Qty", "Contra", "Settle Date", "As Of", "Market Value", "Reg SHO"),
    *("Coverage", "Box"),
]
AS_OF = datetime(2026, 11, 25, 8, 0)  # noqa: DTZ001 - a cell of a workbook has no time zone


def _row(
    cusip: CellValue, side: str, qty: int, day: int, coverage: str, box: int
) -> list[CellValue]:
    value = Decimal(qty) * 3
    cells = (cusip, side, Decimal(qty), Decimal(352), date(2026, 11, day), AS_OF, value)
    return [*cells, qty == 5000, Decimal(coverage), Decimal(box)]


ROWS = [
    _row(Decimal(37833100), "S", 5000, 13, "0.2", 1000),
    _row("594918104", "B", 300, 19, "0", 0),
    _row("00165C104", "S", 800, 20, "1", 800),
    _row("36467W109", "S", 600, 20, "0.5", 300),
]


def test_typed_cells_need_no_format_and_no_marks(kb: KnowledgeBase) -> None:
    """Dates, numbers and booleans of a workbook are not ambiguous; a number lost its zero."""
    proposal = propose(RowsTable([HEADER, *ROWS], "fails.xlsx"), kb)
    assert proposal.is_complete
    assert proposal.mapping.csv.dates == ()
    assert proposal.mapping.numbers is None
    assert proposal.mapping.columns["cusip"].repairs == ("leading_zero",)
    assert str(proposal.mapping.columns["inventory_coverage_pct"].scale) == "100"
    assert len(proposal.trial.records) == len(ROWS)


def test_formula_without_a_value_does_not_hide_its_column(kb: KnowledgeBase) -> None:
    """A cell whose value is not known is refused; the column stays the market value."""
    broken = [*ROWS[3]]
    broken[6] = CellFault("=C5*3", "has no stored value", "open the workbook and save it")
    proposal = propose(RowsTable([HEADER, *ROWS[:3], broken], "fails.xlsx"), kb)
    assert "market_value" in proposal.mapping.columns
    assert len(proposal.trial.refused) == 1
