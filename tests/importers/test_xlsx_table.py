"""Workbooks as tables: files that openpyxl writes, and the same with parts changed by hand."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from finops_cli.errors import UsageError
from finops_cli.files.recognise import FileKind, recognise
from finops_cli.importers.tables import xlsx_table
from finops_cli.importers.tables.table import CellFault, Percentage, TableRow
from finops_cli.importers.tables.xlsx_table import open_workbook

openpyxl = pytest.importorskip("openpyxl")

SHEET = "xl/worksheets/sheet1.xml"
TIME = CellFault("08:30:00", "holds a time without a day", "write the day into the cell too")


def error_cell(error: str) -> CellFault:
    return CellFault(error, f"holds the error {error}", "correct the formula, and save it")


def write_book(path: Path, *rows: list[Any], change: Callable[[Any], None] | None = None) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Fails"
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(book)
    book.save(path)
    return path


def change_part(path: Path, part: str, change: Callable[[str], str]) -> None:
    """Rewrite one part of a workbook, as another program might have written it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = change(parts[part].decode())
    assert changed.encode() != parts[part]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, changed if name == part else content)


def read(path: Path, sheet: str | None = None) -> tuple[list[TableRow], str, list[str]]:
    with open_workbook(recognise(path)) as book:
        table = book.table(sheet)
        rows = list(table.rows())
        assert list(table.rows()) == rows  # a table can be read twice
        return rows, table.describe(), table.notes()


def cells(path: Path) -> list[Any]:
    """The cells of the second row: the first is a header."""
    return read(path)[0][1].cells


@pytest.mark.parametrize(
    ("given", "number_format", "expected"),
    [
        ("594918104", "General", "594918104"),
        (" x ", "General", " x "),
        (5000, "General", Decimal(5000)),
        (12000.0, "General", Decimal(12000)),
        (37833100, "000000000", Decimal(37833100)),
        (0.1, "General", Decimal("0.1")),
        (0.29, "General", Decimal("0.29")),
        (0.1 + 0.2, "General", Decimal("0.3")),
        (1000 * 1.1, "General", Decimal(1100)),
        (-6720.5, "#,##0.00_);(#,##0.00)", Decimal("-6720.5")),
        (2100000, '#,##0,"K"', Decimal(2100000)),
        (0.04, "0%", Percentage(4)),
        (1, "0.00%", Percentage(100)),
        (0.0375, "0.0%", Percentage("3.75")),
        (8.8888e112, "General", Decimal("8.8888E+112")),
        (True, "General", True),
        (False, "General", False),
        (datetime(2026, 11, 18), "mm/dd/yyyy", date(2026, 11, 18)),  # noqa: DTZ001 - a sheet has none
        (datetime(2026, 11, 18, 8, 30), "yyyy-mm-dd h:mm", datetime(2026, 11, 18, 8, 30)),  # noqa: DTZ001
        (
            time(8, 30),
            "h:mm",
            TIME,
        ),
        (44.5, "General", Decimal("44.5")),
    ],
)
def test_xlsx_cell_of_each_type_gives_its_value(
    given: Any, number_format: str, expected: Any, tmp_path: Path
) -> None:
    """A number is exact and as the formula bar shows it; a date is a date."""

    def set_format(book: Any) -> None:
        book.active["B2"].number_format = number_format

    path = write_book(tmp_path / "f.xlsx", ["Ref", "X"], ["F-1", given], change=set_format)
    found = cells(path)[1]
    assert (type(found), found, str(found)) == (type(expected), expected, str(expected))


def test_xlsx_dates_of_1904_are_the_days_shown(tmp_path: Path) -> None:
    """A workbook whose days count from 1904 gives the days that Excel shows."""
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    def count_from_1904(book: Any) -> None:
        book.epoch = CALENDAR_MAC_1904

    day = date(2026, 11, 18)
    path = write_book(tmp_path / "f.xlsx", ["A"], [day], change=count_from_1904)
    assert cells(path) == [day]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("#N/A", "#N/A"),
        ("#REF!", error_cell("#REF!")),
        (
            "#DIV/0!",
            error_cell("#DIV/0!"),
        ),
    ],
)
def test_xlsx_error_cell_is_named(error: str, expected: Any, tmp_path: Path) -> None:
    """An error is a fault of its cell; #N/A is text, for the mapping's blanks to decide."""
    path = write_book(tmp_path / "f.xlsx", ["A", "B"], [error, 1])
    assert cells(path) == [expected, Decimal(1)]


def test_xlsx_formula_without_stored_value_is_a_fault(tmp_path: Path) -> None:
    """A formula that no program has computed has no value: it is not an empty cell."""
    path = write_book(tmp_path / "f.xlsx", ["A", "B"], ["=1+1", 2], ["=1+2", 3])
    rows, _, notes = read(path)
    assert isinstance(rows[1].cells[0], CellFault)
    assert "formula without a stored value" in rows[1].cells[0].why
    assert notes == ["2 formulas without a stored value in column A, A2 first"]


def test_xlsx_formula_with_stored_value_gives_the_value(tmp_path: Path) -> None:
    """A stored value counts, an empty text too."""
    path = write_book(tmp_path / "f.xlsx", ["A", "B", "C"], ["=1+1", '=""', 7])
    change_part(
        path,
        SHEET,
        lambda xml: (
            xml.replace("<f>1+1</f><v />", "<f>1+1</f><v>2</v>")
            .replace("<f>1+1</f><v></v>", "<f>1+1</f><v>2</v>")
            .replace('<c r="B2">', '<c r="B2" t="str">')
        ),
    )
    assert cells(path) == [Decimal(2), None, Decimal(7)]
    assert read(path)[2] == []


def test_xlsx_merged_cells_are_faults_but_the_first(tmp_path: Path) -> None:
    """The value of merged cells stands in the first: the others are not taken for empty ones."""

    def merge(book: Any) -> None:
        book.active.merge_cells("B2:B3")
        book.active.merge_cells("A1:B1")

    path = write_book(
        tmp_path / "f.xlsx", ["Fails"], ["F-1", "DTC-0352"], ["F-2", None], change=merge
    )
    rows, _, notes = read(path)
    fault = rows[2].cells[1]
    assert isinstance(fault, CellFault)
    assert fault.why == "is part of the merged cells B2:B3, whose value is in B2"
    assert notes == ["merged cells A1:B1, B2:B3: only the first cell of each has the value"]


def test_xlsx_hidden_rows_are_read_and_counted(tmp_path: Path) -> None:
    """A row that a filter hides is read like another one; a note says so."""

    def hide(book: Any) -> None:
        for row in (2, 4, 9):
            book.active.row_dimensions[row].hidden = True

    path = write_book(tmp_path / "f.xlsx", ["A"], [1], [2], [3], change=hide)
    rows, _, notes = read(path)
    assert [row.cells[0] for row in rows[1:]] == [1, 2, 3]
    assert notes == ["2 hidden rows are read too, row 2 first"]


def test_xlsx_hidden_columns_are_read_and_named(tmp_path: Path) -> None:
    """A column that Excel does not show is read; a note names it."""

    def hide(book: Any) -> None:
        for letter in "BD":
            book.active.column_dimensions[letter].hidden = True

    path = write_book(tmp_path / "f.xlsx", ["A", "B", "C"], [1, 2, 3], change=hide)
    rows, _, notes = read(path)
    assert rows[1].cells == [1, 2, 3]
    assert notes == ["1 hidden column is read too: B"]


@pytest.mark.parametrize("place", ["A30000", "XFD3000"])
def test_xlsx_far_cell_does_not_expand_the_sheet(place: str, tmp_path: Path) -> None:
    """Blank rows and places between the fails and a far cell cost no call each."""

    def add(book: Any) -> None:
        book.active[place] = "x"

    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        is_here = frame.f_code.co_filename == xlsx_table.__file__
        calls += is_here and event == "call" and frame.f_code.co_name != "rows"

    path = write_book(tmp_path / "f.xlsx", ["A", "B"], [1, 2], change=add)
    sys.setprofile(count)
    try:
        rows, _, _ = read(path)
    finally:
        sys.setprofile(None)
    assert [(row.line, len(row.cells)) for row in rows[:2]] == [(1, 2), (2, 2)]
    assert rows[2].cells[-1] == "x"
    assert calls < 100_000  # a few for each place of the far row, and none for other rows


@pytest.mark.parametrize("dimension", ["A1", "A1:B2", "A1:XFD1048576", "C3:C3", ""])
def test_xlsx_wrong_dimension_loses_no_row(dimension: str, tmp_path: Path) -> None:
    """The size that a program wrote into the sheet does not decide which cells are read."""
    path = write_book(tmp_path / "f.xlsx", ["A", "B", "C"], [1, 2, 3], [4, 5, 6])
    tag = f'<dimension ref="{dimension}"/>' if dimension else ""
    change_part(path, SHEET, lambda xml: re.sub(r"<dimension[^>]*/>", tag, xml))
    rows, described, _ = read(path)
    assert [row.cells for row in rows[1:]] == [[1, 2, 3], [4, 5, 6]]
    assert described == "Excel workbook, sheet 'Fails', 3 rows"


def test_xlsx_empty_edges_are_left_out(tmp_path: Path) -> None:
    """Rows and columns that only have a format are not read; row numbers are the sheet's own."""

    def format_far_cells(book: Any) -> None:
        sheet = book.active
        for place in ("A900", "ZZ2", "C7"):
            sheet[place].number_format = "0.00"
        sheet["B5"] = "last"

    path = write_book(tmp_path / "f.xlsx", ["A", "B"], [1, 2], ["", " "], change=format_far_cells)
    rows, _, _ = read(path)
    assert [(row.line, row.cells) for row in rows] == [
        (1, ["A", "B"]),
        (2, [1, 2]),
        (5, [None, "last"]),
    ]


def add_sheets(book: Any) -> None:
    book.create_sheet("Notes").append(["x"])
    hidden = book.create_sheet("Old")
    hidden.append(["y"])
    hidden.sheet_state = "hidden"
    book.create_sheet("Empty")


def test_xlsx_sheets_that_are_not_read_are_named(tmp_path: Path) -> None:
    """The fails of another sheet are not lost in silence: a note names the sheet."""
    path = write_book(tmp_path / "fails.xlsx", ["CUSIP"], ["594918104"], change=add_sheets)
    assert read(path, "Fails")[2] == ["not read: sheets 'Notes', 'Old'"]


def test_xlsx_several_sheets_are_named_and_chosen(tmp_path: Path) -> None:
    """finops does not guess a sheet: it lists those with cells, and the mapping chooses."""
    path = write_book(tmp_path / "f.xlsx", ["A"], [1], change=add_sheets)
    with pytest.raises(UsageError) as refused:
        read(path)
    assert "3 sheets with cells: 'Fails', 'Notes', 'Old' (hidden)" in str(refused.value)
    assert refused.value.cure == "choose one in the mapping: `sheet: Fails`"
    assert read(path, "Notes")[0] == [TableRow(1, ["x"])]
    with pytest.raises(UsageError, match="has no sheet 'Empty' with cells"):
        read(path, "Empty")


def test_xlsx_only_sheet_with_cells_needs_no_choice(tmp_path: Path) -> None:
    """Empty sheets do not count."""
    path = write_book(
        tmp_path / "f.xlsx", ["A"], [1], change=lambda book: book.create_sheet("Sheet2")
    )
    assert len(read(path)[0]) == 2


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", SHEET])
def test_xlsx_damaged_part_is_refused(part: str, tmp_path: Path) -> None:
    """A part that is cut off is an error of the file, not of finops."""
    path = write_book(tmp_path / "f.xlsx", ["A"], [1])
    change_part(path, part, lambda xml: xml[: len(xml) * 2 // 3])
    with pytest.raises(UsageError, match="the workbook is damaged"):
        read(path)


def test_xlsx_rows_out_of_order_are_refused(tmp_path: Path) -> None:
    """openpyxl passes over a row that stands after a later one: such a sheet is refused."""
    path = write_book(tmp_path / "f.xlsx", ["A"], [1], [2])
    change_part(path, SHEET, lambda xml: xml.replace('<row r="3"', '<row r="1"'))
    with pytest.raises(UsageError, match="row 1 comes after row 2"):
        read(path)


def test_xlsx_strict_workbook_is_refused(tmp_path: Path) -> None:
    """The names of Strict Open XML are others: such a workbook would look empty."""
    path = write_book(tmp_path / "f.xlsx", ["A"], [1])
    transitional = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    change_part(
        path,
        "xl/workbook.xml",
        lambda xml: xml.replace(transitional, "http://purl.oclc.org/ooxml/spreadsheetml/main"),
    )
    with pytest.raises(UsageError, match="Strict Open XML"):
        read(path)


def test_xlsx_bomb_is_refused(tmp_path: Path) -> None:
    """A workbook that unpacks to far more than its size is not opened."""
    path = write_book(tmp_path / "f.xlsx", ["A"], [1])
    change_part(
        path, SHEET, lambda xml: xml.replace("<sheetData>", " " * 110_000_000 + "<sheetData>")
    )
    with pytest.raises(UsageError, match="250 times its size"):
        read(path)


def test_xlsx_entity_bomb_is_refused(tmp_path: Path) -> None:
    """Entities that stand for each other grow without bound: the parser stops them."""
    entities = "".join(
        f'<!ENTITY e{level} "{f"&e{level - 1};" * 10 if level else "x" * 1000}">'
        for level in range(9)
    )
    path = write_book(tmp_path / "f.xlsx", ["A"], [1])
    change_part(
        path,
        SHEET,
        lambda xml: f"<!DOCTYPE worksheet [{entities}]>" + xml.replace("<v>1</v>", "<v>&e8;</v>"),
    )
    with pytest.raises(UsageError, match="the workbook is damaged"):
        read(path)


@pytest.mark.parametrize("packing", ["gzip", "zip"])
def test_xlsx_inside_a_packed_file_is_read(packing: str, tmp_path: Path) -> None:
    """A workbook may be packed once more, as mail programs do."""
    content = write_book(tmp_path / "f.xlsx", ["A"], [1]).read_bytes()
    path = tmp_path / "packed"
    if packing == "gzip":
        path.write_bytes(gzip.compress(content))
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("f.xlsx", content)
        path.write_bytes(packed.getvalue())
    assert recognise(path).kind is FileKind.WORKBOOK
    assert cells(path) == [Decimal(1)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from Linux")
def test_xlsx_rows_stream_in_flat_memory(tmp_path: Path) -> None:
    """Reading four times as many rows takes about as much memory."""
    program = (
        "import sys; from pathlib import Path\n"
        "from finops_cli.files.recognise import recognise\n"
        "from finops_cli.importers.tables.xlsx_table import open_workbook\n"
        "with open_workbook(recognise(Path(sys.argv[1]))) as book:\n"
        "    print(sum(1 for _ in book.table().rows()))\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    peaks = []  # VmHWM: ru_maxrss of a child begins with the peak of its parent
    for count in (2_000, 8_000):
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("Fails")
        for number in range(count):
            sheet.append([number, 0.5, 594918104, 1, 2])
        book.save(tmp_path / "f.xlsx")
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "f.xlsx")],
            capture_output=True,
            check=True,
            text=True,
        )
        rows, peak = map(int, done.stdout.split())
        assert rows == count
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 4_000, peaks  # KiB
