"""Sheets of a workbook by openpyxl, written row by row: memory does not grow with the rows.

Each cell is typed. A text is a text whatever it begins with; nothing here can write a formula.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import wrap
from typing import Any, BinaryIO, Literal, NamedTuple

from finops_cli import extras
from finops_cli.errors import MissingPiece
from finops_cli.files.terminal import printable

Value = str | int | Decimal | date | datetime | bool | None
Look = Literal["plain", "CRITICAL", "HIGH", "MEDIUM", "LOW"]
MAX_ROWS = 1_048_576
"""The rows of a sheet in Excel; a longer table goes on in another sheet."""
_MAX_CHARS = 32_767
"""The characters of a cell in Excel."""
_FIRST_YEAR = 1901
"""Excel and LibreOffice disagree about the days of 1900, and know none before."""
_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
"""What Excel would read as the code of a character."""
_A4 = 9
_MARGIN = 0.4
"""Inches."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of each part of the archive, so that equal lists are equal bytes."""
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
    """False for a column whose numbers are names, such as that of a step."""
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
        with _Archive(out, "w", zipfile.ZIP_DEFLATED) as archive:
            ExcelWriter(self.book, archive).save()


class Sheet:
    """A table: a head that stays in view, a filter, rows."""

    def __init__(self, book: Any, name: str, columns: Sequence[SheetColumn], max_rows: int) -> None:
        """Make the first sheet of the table, and its head."""
        self._book, self._name, self._columns, self._max_rows = book, name, columns, max_rows
        self._parts = 0
        self._begin()

    def append(self, values: Sequence[Value], look: Look = "plain") -> None:
        """Write a row; `look` colours its tier, the cell whose text it is."""
        if self._rows == self._max_rows:
            self._close_part()
            self._begin()
        self._append([self._style(place, value, look) for place, value in enumerate(values)])

    def finish(self) -> None:
        """Close the table; its filter then covers each row."""
        self._close_part()

    def _begin(self) -> None:
        from openpyxl.utils import get_column_letter

        self._parts += 1
        title = self._name if self._parts == 1 else f"{self._name} {self._parts}"
        part = self._book.create_sheet(title)
        part.freeze_panes = "A2"
        part.print_title_rows = "1:1"
        part.sheet_properties.pageSetUpPr = _fit_to_page()
        part.page_setup.orientation = "landscape"
        part.page_setup.paperSize = _A4
        part.page_setup.fitToHeight = 0  # as many pages as the rows need
        part.print_options.gridLines = True
        part.page_margins.left = part.page_margins.right = _MARGIN
        for place, column in enumerate(self._columns, start=1):
            shape = part.column_dimensions[get_column_letter(place)]
            shape.width, shape.hidden = column.width, column.is_hidden
        self._part, self._rows = part, 0
        self._templates: dict[tuple[int, str, str], Any] = {}
        self._append([self._make_head(column) for column in self._columns])

    def _append(self, cells: Sequence[Any]) -> None:
        self._rows += 1
        lines = max(
            _count_lines(cell.value, column)
            for cell, column in zip(cells, self._columns, strict=True)
            if cell is not None
        )
        # without customHeight: a program measures the row again when somebody writes into it
        self._part.row_dimensions[self._rows] = {"ht": f"{lines * _LINE_POINTS}"}
        self._part.append(list(cells))
        del self._part.row_dimensions[self._rows]

    def _close_part(self) -> None:
        from openpyxl.utils import get_column_letter

        last = get_column_letter(len(self._columns))
        printed = sum(column.is_printed for column in self._columns)
        self._part.print_area = f"A1:{get_column_letter(printed)}{self._rows}"
        self._part.auto_filter.ref = f"A1:{last}{self._rows}"
        self._part.close()

    def _style(self, place: int, value: Value, look: Look) -> Any:
        """Return the cell for a value. It is written at once, and the next row uses it again."""
        column = self._columns[place]
        if value is None and not column.is_filled_in:
            return None
        value = _fit(value)
        tint = look if value == look else "plain"
        kind = type(value).__name__
        cell = self._templates.get((place, kind, tint))
        if cell is None:
            cell = self._make_cell(column, value, tint)
            self._templates[place, kind, tint] = cell
        cell.value = value
        if isinstance(value, str):
            cell.data_type = "s"  # openpyxl takes =... for a formula
        return cell

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


class _Archive(zipfile.ZipFile):
    """An archive whose parts have one time."""

    def writestr(
        self,
        zinfo_or_arcname: Any,
        data: Any,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        """Write a part from memory."""
        super().writestr(_make_info(str(zinfo_or_arcname)), data, compress_type, compresslevel)

    def write(self, filename: Any, arcname: Any = None, *_: Any, **__: Any) -> None:
        """Write a part from a file."""
        info = _make_info(str(arcname))
        info.file_size = Path(filename).stat().st_size
        with Path(filename).open("rb") as part, self.open(info, "w") as target:
            while piece := part.read(1 << 20):
                target.write(piece)


def _make_info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o600 << 16
    return info


def _fit(value: Value) -> Value:
    """Return what a sheet can hold of a value."""
    if isinstance(value, str):
        text = _ESCAPE.sub("_x005F_", printable(value))
        if len(text) > _MAX_CHARS:
            said = f" ... (cut: {len(text):,} characters)"
            return text[: _MAX_CHARS - len(said)] + said
        return text
    if isinstance(value, date) and value.year < _FIRST_YEAR:
        return value.isoformat()
    return value


def _count_lines(value: Value, column: SheetColumn) -> int:
    """Count the lines of a cell, from the width of its column."""
    if not isinstance(value, str) or not (column.wraps or value == column.title):
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
