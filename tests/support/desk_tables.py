"""A blotter as desks have it, in each kind of file, with its mapping."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from typing import Any

import pytest

from finops_cli.domain.cusip import check_digit
from tests.support.program import EXAMPLES

HEADER = ["Ref", "CUSIP", "B/S", "Qty", "Broker", "Age", "MV", "CNS", "Rate", "Box", "Note"]
MAPPING = """
columns:
  fail_id: Ref
  cusip: CUSIP
  side: {column: B/S, values: {B: Buy, S: Sell}}
  qty: Qty
  counterparty: {column: Broker, repairs: [pad_dtc]}
  age_days: Age
  market_value: MV
  cns_direction: {column: CNS, values: {D: FTD, R: FTR, "": N_A}}
  cp_fail_rate_pct: Rate
  inventory.box_qty: {column: Box, default: "0"}
  notes: Note
constants:
  reg_sho_threshold: "No"
  inventory.stock_loan_available: "0"
  inventory.recall_outstanding: "0"
  inventory.pending_receives: "0"
rows:
  skip: [{column: Ref, is: [Total]}]
"""
BLOTTER = EXAMPLES / "csv/blotter.csv"
SEC_FILE = EXAMPLES / "sec-fails/cnsfails_202212a_202303a_excerpt.txt"
SEC = SEC_FILE.read_bytes()[:4000]
FIXED = ("--backend", "engine", "--no-timing")


def a_row(number: int, **other: Any) -> list[Any]:
    """A row of an export. Each eighth row has no name, each tenth a quantity of none."""
    issue = f"{number:06d}10"
    cells = {
        "Ref": "" if number % 8 == 5 else f"R-{number}",
        "CUSIP": issue + str(check_digit(issue)),
        "B/S": "S",
        "Qty": 0 if number % 10 == 7 else 100 * number,
        "Broker": str(number % 90 + 1),
        "Age": number % 20,
        "MV": 1000 * number,
        "CNS": "D" if number % 3 else "",
        "Rate": "4%",
        "Box": "" if number % 4 == 1 else 50 * number,
        "Note": "",
    }
    return list({**cells, **other}.values())


def as_csv(table: list[list[Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(table)
    return text.getvalue().encode()


def as_workbook(table: list[list[Any]]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in table:
        book.active.append([None if cell == "" else cell for cell in row])
    for row in book.active.iter_rows(min_row=2, min_col=9, max_col=9):
        if row[0].value is not None:
            row[0].value, row[0].number_format = 0.04, "0%"
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def as_zip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/fails.csv", content)
    return packed.getvalue()


TABLE = [HEADER, *(a_row(number) for number in range(1, 41)), ["Total", *[""] * 10]]
KINDS = {
    "csv": as_csv(TABLE),
    "semicolons": as_csv(TABLE, ";"),
    "gz": gzip.compress(as_csv(TABLE)),
    "zip": as_zip(as_csv(TABLE)),
}
