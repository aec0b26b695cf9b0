"""Cells of a workbook, which have types: a number has one meaning, and a date is a date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from finops_cli.importers.mapped_rows.column_readers import ColumnReader, Notation, Reading
from finops_cli.importers.mapped_rows.mapping import Column, Mapping
from finops_cli.importers.mapped_rows.number_text import EUROPEAN_MARKS
from finops_cli.importers.mapped_rows.table_records import records_of
from finops_cli.importers.stream import FileRead
from finops_cli.importers.tables.table import (
    CellFault,
    CellValue,
    Percentage,
    Source,
    TableRow,
)

NOTATION = Notation(EUROPEAN_MARKS, ("%d.%m.%Y",), frozenset({"n/a"}))


def read(field: str, value: CellValue, **column: Any) -> Reading:
    return ColumnReader(field, Column(column="X", **column), 0, NOTATION).read([value])


@pytest.mark.parametrize(
    ("field", "value", "column", "expected"),
    [
        ("qty", Decimal("12.000"), {}, 12),
        ("qty", Decimal(-5), {"sign": "drop"}, 5),
        ("qty", Decimal("5.5"), {"scale": "1000"}, 5500),
        ("market_value", Decimal("2.100"), {}, Decimal("2.1")),
        ("cp_fail_rate_pct", Percentage("1.125"), {}, Decimal("1.125")),
        ("cp_fail_rate_pct", Decimal("0.04"), {"scale": "100"}, Decimal(4)),
        ("clock_facts.trade_date", date(2026, 11, 18), {}, "2026-11-18"),
        ("clock_facts.trade_date", datetime(2026, 11, 18, 9, 0), {}, "2026-11-18"),  # noqa: DTZ001
        ("clock_facts.as_of", datetime(2026, 11, 18, 9, 0), {}, "2026-11-18T09:00"),  # noqa: DTZ001
        ("clock_facts.as_of", datetime(2026, 11, 18), {}, "2026-11-18"),  # noqa: DTZ001
        ("clock_facts.as_of", date(2026, 11, 18), {}, "2026-11-18"),
        ("reg_sho_threshold", True, {}, True),
        ("reg_sho_threshold", Decimal(0), {}, False),
        ("reg_sho_threshold", False, {"values": {"FALSE": "Yes"}}, True),
        ("fail_id", Decimal(1001), {}, "1001"),
        ("cusip", Decimal(594918104), {}, "594918104"),
        ("cusip", Decimal(37833100), {"repairs": ["leading_zero"]}, "037833100"),
        ("counterparty", Decimal(352), {"repairs": ["pad_dtc"]}, "DTC-0352"),
        ("notes", date(2026, 11, 18), {}, "2026-11-18"),
        ("qty", None, {"default": "7"}, 7),
        ("qty", None, {}, None),
    ],
)
def test_typed_cell_is_read_by_its_type(
    field: str, value: CellValue, column: dict[str, Any], expected: object
) -> None:
    """Rule: a number of a workbook is exact whatever marks the file's texts have."""
    reading = read(field, value, **column)
    assert (reading.problem, reading.value) == (None, expected)
    assert type(reading.value) is not Percentage


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("qty", Decimal("5.5"), '"5.5", not a whole number; accepted: a whole number'),
        ("qty", True, '"TRUE"; accepted: a whole number'),
        ("qty", Percentage(4), "a number with the unit '%'"),
        ("qty", date(2026, 11, 18), '"2026-11-18"; accepted: a whole number'),
        ("clock_facts.trade_date", Decimal(46344), "a day number of a spreadsheet; accepted: "),
        ("clock_facts.trade_date", True, '"TRUE"; accepted: a date'),
        ("reg_sho_threshold", Decimal(2), '"2"; accepted: Yes, No'),
        (
            "market_value",
            CellFault("#REF!", "holds the error #REF!", "correct the formula"),
            "column 'X' (market_value) is \"#REF!\", holds the error #REF!; accepted: a number",
        ),
    ],
)
def test_typed_cell_of_another_type_is_refused(field: str, value: CellValue, message: str) -> None:
    """Rule: a value of another type is never turned into one of the field."""
    problem = read(field, value).problem
    assert problem is not None
    assert message in problem.message


class Sheet:
    """Rows of a workbook in memory."""

    name = "fails.xlsx, sheet Fails"
    source = Source("xlsx", "fails.xlsx", "Fails")
    is_pipe = False

    def __init__(self, *rows: Sequence[CellValue]) -> None:
        self._rows = rows

    def rows(self) -> Iterator[TableRow]:
        for number, cells in enumerate(self._rows, start=3):
            yield TableRow(number, cells)


def test_records_of_a_sheet_name_it_in_their_origin() -> None:
    """Rule: short rows have empty cells, and the origin names file, sheet and line."""
    fields = ["fail_id", "cusip", "side", "qty", "counterparty", "market_value"]
    columns = {field: field for field in fields}
    mapping = Mapping.model_validate(
        {
            "columns": {**columns, "reg_sho_threshold": "listed"},
            "constants": {"age_days": "3", "inventory_coverage_pct": "0", "cp_fail_rate_pct": "1"},
        }
    )
    row = ["F-1", "594918104", "Sell", Decimal(100), "DTC-0005", Decimal("5.5"), True]
    sheet = Sheet([*fields, "listed", None], row, [], ["F-2", *row[1:6]])
    first, second, end = list(records_of(sheet, mapping, "map.yaml"))
    assert isinstance(first, bytes)
    assert b'"origin":{"source":"xlsx","file":"fails.xlsx","sheet":"Fails","line":4,' in first
    assert "reg_sho_threshold is missing" in str(second)
    assert end == FileRead("fails.xlsx, sheet Fails", 2)
