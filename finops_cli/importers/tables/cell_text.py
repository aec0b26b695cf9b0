"""The cells of a workbook as the text that a CSV file would have."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from finops_cli.importers.tables.table import CellFault, CellValue, Percentage


def write_cell(value: CellValue) -> str:
    """Write a cell as the text of a CSV that reads as the same value."""
    if value is None:
        return ""
    if isinstance(value, CellFault):
        return value.text
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Percentage):
        return f"{Decimal(value):f}%"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, date):
        return value.isoformat()
    return " ".join(value.split())
