"""Sheets of a workbook by openpyxl, written row by row: memory does not grow with the rows.

Each cell is typed. A text is a text whatever it begins with; nothing here can write a formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from textwrap import wrap
from typing import Any, BinaryIO, Literal, NamedTuple

from finops_cli import extras
from finops_cli.errors import MissingPiece
from finops_cli.views.exports.sheet_rows import Archive, SheetRows, Value, fit, write_cell

Look = Literal["plain", "CRITICAL", "HIGH", "MEDIUM", "LOW"]
MAX_ROWS = 1_048_576
"""The rows of a sheet in Excel; a longer table goes on in another sheet."""
_A4 = 9
_MARGIN = 0.4
"""Inches."""
_CREATED = datetime(1980, 1, 1)  # noqa: DTZ001 - a constant; a workbook has no time zones

_FONT, _POINTS = "Calibri", 11
_LINE_POINTS = 15
_MOST_LINES = 27
"""Excel has rows of at most 409 points."""
DAY, MOMENT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm"
WHOLE, MONEY, SCORE, PERCENT = "#,##0_)", "#,##0.00_)", "0.0_)", "0.00_)"
_TINTS = {
    "head": ("1F3A5F", "FFFFFF"),
    "fill_in": ("FFFBE6", "1C2430"),
    "CRITICAL": ("F8D7D3", "7A1A10"),
    "HIGH": ("FCE5C8", "6B3F00"),
    "MEDIUM": ("FFF6CC", "5A4B00"),
    "LOW": ("DFF0E0", "1E4D25"),
}
"""Background and ink."""


class SheetColumn(NamedTuple):
    """A column of a sheet. The width is in characters."""

    title: str
    width: int
    number_format: str = "General"
    wraps: bool = False
    is_number: bool = True
    """False for a column whose numbers are names, such as the number of a step."""
    is_filled_in: bool = False
    """True for a column that the desk fills in."""
    is_hidden: bool = False
    is_printed: bool = True


def refuse_without_openpyxl() -> None:
    """Raise MissingPiece where no workbook can be written."""
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise MissingPiece(
            "a workbook needs openpyxl, which is not installed",
            f"{extras.cure('xlsx')}; or write --format csv",
        ) from error


class Book:
    """A workbook that is written to a file when it is complete."""

    def __init__(self) -> None:
        """Start a workbook. Raises MissingPiece without openpyxl."""
        refuse_without_openpyxl()
        from openpyxl import Workbook

        self.book: Any = Workbook(write_only=True)
        self._sheets: list[Sheet] = []

    def add_sheet(
        self, name: str, columns: Sequence[SheetColumn], max_rows: int = MAX_ROWS
    ) -> Sheet:
        """Add a table with `columns` as the next sheet."""
        sheet = Sheet(self.book, name, columns, max_rows)
        self._sheets.append(sheet)
        return sheet

    def save(self, out: BinaryIO, moment: str | None) -> None:
        """Write the workbook. `moment` is its date of creation; None: 1980-01-01.

        Equal rows and moments give equal bytes.
        """
        from openpyxl.writer.excel import ExcelWriter

        for sheet in self._sheets:
            sheet.finish()
        properties = self.book.properties
        properties.creator = "finops"
        properties.created = properties.modified = _read_moment(moment)
        rows = [each for sheet in self._sheets for each in sheet.rows]
        names = (f"xl/worksheets/sheet{place}.xml" for place in range(1, len(rows) + 1))
        with Archive(out, dict(zip(names, rows, strict=True))) as archive:
            ExcelWriter(self.book, archive).save()


class Sheet:
    """A table: a head that stays in view, a filter, rows."""

    def __init__(self, book: Any, name: str, columns: Sequence[SheetColumn], max_rows: int) -> None:
        """Make the first sheet of the table, and its head."""
        from openpyxl.utils import get_column_letter

        self._book, self._name, self._columns, self._max_rows = book, name, columns, max_rows
        self._letters = [get_column_letter(place) for place in range(1, len(columns) + 1)]
        self.rows: list[SheetRows] = []
        """The rows of each sheet of the table."""
        self._begin()

    def append(self, values: Sequence[Value], look: Look = "plain") -> None:
        """Write a row; `look` colours its tier, the cell whose text it is."""
        if self._last == self._max_rows:
            self._close_part()
            self._begin()
        self._last += 1
        lines, cells = 1, []
        for place, (column, given) in enumerate(zip(self._columns, values, strict=True)):
            if given is None and not column.is_filled_in:
                continue
            value = fit(given)
            if column.wraps:
                lines = max(lines, _count_lines(value, column))
            style = self._find_style(place, value, look if value == look else "plain")
            cells.append(write_cell(f"{self._letters[place]}{self._last}", style, value))
        self.rows[-1].append(self._last, lines * _LINE_POINTS, cells)

    def finish(self) -> None:
        """Close the table; its filter then covers each row."""
        self._close_part()

    def _begin(self) -> None:
        self.rows.append(SheetRows())
        number = len(self.rows)
        title = self._name if number == 1 else f"{self._name} {number}"
        part = self._book.create_sheet(title)
        part.freeze_panes = "A2"
        part.print_title_rows = "1:1"
        part.sheet_properties.pageSetUpPr = _fit_to_page()
        part.page_setup.orientation = "landscape"
        part.page_setup.paperSize = _A4
        part.page_setup.fitToHeight = 0  # as many pages as the rows need
        part.print_options.gridLines = True
        part.page_margins.left = part.page_margins.right = _MARGIN
        for letters, column in zip(self._letters, self._columns, strict=True):
            shape = part.column_dimensions[letters]
            shape.width, shape.hidden = column.width, column.is_hidden
        self._part, self._last = part, 1
        self._styles: dict[tuple[int, str, str], int] = {}
        lines = max(_count_lines(column.title, column) for column in self._columns)
        part.row_dimensions[1].height = lines * _LINE_POINTS
        part.append([self._make_head(column) for column in self._columns])

    def _close_part(self) -> None:
        printed = sum(column.is_printed for column in self._columns)
        self._part.print_area = f"A1:{self._letters[printed - 1]}{self._last}"
        self._part.auto_filter.ref = f"A1:{self._letters[-1]}{self._last}"
        self._part.close()

    def _find_style(self, place: int, value: Value, tint: str) -> int:
        """Return the number of the style of a value in a column."""
        key = (place, type(value).__name__, tint)
        if key not in self._styles:
            self._styles[key] = self._make_cell(self._columns[place], value, tint).style_id
        return self._styles[key]

    def _make_cell(self, column: SheetColumn, value: Value, tint: str) -> Any:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment, Font

        cell = WriteOnlyCell(self._part)
        is_text = isinstance(value, str | date) or not column.is_number
        cell.font = Font(name=_FONT, size=_POINTS)
        cell.alignment = Alignment(
            vertical="top",
            wrap_text=column.wraps,
            horizontal="left" if is_text else "right",
        )
        if isinstance(value, datetime):
            cell.number_format = MOMENT
        elif isinstance(value, date):
            cell.number_format = DAY
        elif not isinstance(value, str | bool) and value is not None:
            cell.number_format = column.number_format
        else:
            cell.number_format = "@" if isinstance(value, str) else "General"
        if column.is_filled_in:
            _tint(cell, "fill_in")
        elif tint != "plain":
            _tint(cell, tint, is_bold=True)
        return cell

    def _make_head(self, column: SheetColumn) -> Any:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment

        cell = WriteOnlyCell(self._part, column.title)
        cell.data_type = "s"
        cell.alignment = Alignment(vertical="center", wrap_text=True)
        _tint(cell, "head", is_bold=True)
        return cell


def _count_lines(value: Value, column: SheetColumn) -> int:
    """Count the lines of a cell, from the width of its column."""
    if not isinstance(value, str):
        return 1
    width = max(column.width - 2, 1)
    lines = sum(len(wrap(line, width)) or 1 for line in value.split("\n"))
    return min(lines, _MOST_LINES)


def _tint(cell: Any, name: str, is_bold: bool = False) -> None:
    from openpyxl.styles import Border, Font, PatternFill, Side

    background, ink = _TINTS[name]
    cell.fill = PatternFill("solid", start_color=background, end_color=background)
    cell.font = Font(name=_FONT, size=_POINTS, color=ink, bold=is_bold)
    line = Side(style="thin", color="D7DCE3")
    cell.border = Border(bottom=line, right=line)


def _fit_to_page() -> Any:
    from openpyxl.worksheet.properties import PageSetupProperties

    return PageSetupProperties(fitToPage=True)


def _read_moment(moment: str | None) -> datetime:
    try:
        return _CREATED if moment is None else datetime.fromisoformat(moment).replace(tzinfo=None)
    except ValueError:
        return _CREATED
