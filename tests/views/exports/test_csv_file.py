"""Lists as CSV files: typed values, and no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.views.exports.csv_file import neutralize, write_changes_csv, write_csv, write_plain
from finops_cli.views.ranked_list import COLUMNS
from tests.views.exports.reports import report_of
from tests.views.test_answer_index import line
from tests.views.test_changes import CLOCK

SIGNS = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"


def read_csv(data: bytes) -> list[list[str]]:
    """Read a CSV file as a spreadsheet does."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def csv_of(lines: list[bytes], columns: tuple[str, ...] = tuple(COLUMNS)) -> bytes:
    """Return the CSV file of output lines."""
    out = io.BytesIO()
    with report_of(lines) as report:
        write_csv(report.answers(), columns, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Deliver it.", "Deliver it."),
        ("=1+1", "'=1+1"),
        ("+1-1", "'+1-1"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("  =1", "'  =1"),
        ('"=1', "'\"=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a;=1+1", "a;'=1+1"),
        ("a; -x", "a;' -x"),
        ("a; b", "a; b"),
        ("-5", "-5"),
        ("+3.25", "+3.25"),
        ("-5 shares", "'-5 shares"),
        ("T+6", "T+6"),
        ("", ""),
    ],
)
def test_formula_sign_at_the_start_is_neutralized(text: str, written: str) -> None:
    """An apostrophe stands before what could be a formula; a plain number stays a number."""
    assert neutralize(text) == written


@given(st.text(alphabet=st.sampled_from(SIGNS + "; '\"a1,\n.")))
def test_no_text_gives_a_formula_cell(text: str) -> None:
    """No cell begins with a formula sign, in a file with commas or with semicolons."""
    written = neutralize(text)
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        return
    assert written[:1] not in tuple("\t\r\n")
    for cell in [written, *written.split(";")]:
        assert re.match(r'[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20]', cell) is None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (32_000, "32000"),
        (-1, "-1"),
        (Decimal("13400000.50"), "13400000.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.1"), "-0.1"),
        (date(2026, 11, 18), "2026-11-18"),
    ],
)
def test_values_are_written_plainly(value: object, written: str) -> None:
    """Numbers have no grouping and no exponent, days are ISO dates, null is an empty cell."""
    assert write_plain(value) == written  # type: ignore[arg-type]


def test_csv_has_a_mark_and_the_names_of_columns() -> None:
    """The file is UTF-8 with a mark and CRLF; its head has the names that --columns takes."""
    data = csv_of([line("F-\u00e9", clock=CLOCK, counterparty_name="=cmd")])
    assert data.startswith(b"\xef\xbb\xbftier,score,fail_id,")
    assert data.endswith(b"\r\n")
    head, row = read_csv(data)
    cells = dict(zip(head, row, strict=True))
    assert tuple(head) == tuple(COLUMNS)
    assert cells["fail_id"] == "F-\u00e9"
    assert cells["qty"] == "500"
    assert cells["market_value"] == "1000.5"
    assert cells["counterparty_name"] == "'=cmd"
    assert cells["settlement_date"] == "2026-11-16"
    assert cells["error"] == ""


def test_line_breaks_of_texts_stay_out_of_csv() -> None:
    """Each fail is one physical line: control characters of a text are escaped or spaces."""
    data = csv_of([line("a\nb\x00c", counterparty_name="x\r\n=1")], ("fail_id", "symbol"))
    assert data.decode("utf-8-sig").split("\r\n")[1:] == ["a b\\x00c,MSFT", ""]


def test_changes_in_csv_name_what_changed() -> None:
    """With an earlier output each row is a change: its kinds, what is different, the fail."""
    out = io.BytesIO()
    today = [line("A", qty=200), line("N", cusip="037833100")]
    with report_of(today, [line("A"), line("C", cusip="36467W109")]) as report:
        assert report.changes is not None
        write_changes_csv(report.changes.list(), ("fail_id", "qty"), out)
    assert read_csv(out.getvalue()) == [
        ["change", "what_changed", "fail_id", "qty"],
        ["part_delivered", "300 of 500 shares are gone, 200 left", "A", "200"],
        ["new", "not in the earlier file", "N", "500"],
        ["cleared", "not in today's file", "C", "500"],
    ]
