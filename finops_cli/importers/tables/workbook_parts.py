"""The parts of an .xlsx workbook that openpyxl does not show while it streams rows.

Hidden rows, merged cells and formulas without a stored value decide how a cell may be read.
"""

from __future__ import annotations

import re
import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from finops_cli.domain import limits
from finops_cli.errors import UsageError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/spreadsheetml/main}"
_REL_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_REL = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_ROW, _CELL, _DATA, _MERGE = (f"{_MAIN}{tag}" for tag in ("row", "c", "sheetData", "mergeCell"))
_COLUMNS = f"{_MAIN}col"
_VALUE, _FORMULA, _INLINE = (f"{_MAIN}{tag}" for tag in ("v", "f", "is"))
_PLACE = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})")
_TRUE = ("1", "true")
_SAVE_AGAIN = "open it in Excel or LibreOffice and save it as .xlsx"


class Area(NamedTuple):
    """A rectangle of cells; rows and columns count from 1, both ends included."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int
    text: str
    """The rectangle as a workbook writes it: `B5:B9`."""


class SheetPart(NamedTuple):
    """A sheet of the workbook, and where the archive holds it."""

    name: str
    is_hidden: bool
    path: str


class SheetFacts(NamedTuple):
    """The findings of the first reading of a sheet."""

    used: RowSet
    """The rows that hold a value."""
    last_row: int
    last_column: int
    """The last column that holds a value."""
    hidden: RowSet
    """Rows that hold a value and that Excel does not show."""
    hidden_columns: list[int]
    """Columns that hold a value and that Excel does not show."""
    merged: list[Area]
    unvalued: dict[int, RowSet]
    """By column: rows with a formula whose value is not stored."""


class _Around(NamedTuple):
    """The facts of a sheet outside its rows."""

    merged: list[Area]
    hidden_columns: list[range]


class RowSet:
    """Row numbers, added in rising order, kept as ranges: neighbours take no memory."""

    def __init__(self) -> None:
        self.count = 0
        self._ends: list[int] = []
        """The first row of a range and the row after it, in turn."""

    def add(self, row: int) -> None:
        """Add a row after those that are there."""
        self.count += 1
        if self._ends and self._ends[-1] == row:
            self._ends[-1] = row + 1
        else:
            self._ends += [row, row + 1]

    def __contains__(self, row: int) -> bool:
        return bisect_right(self._ends, row) % 2 == 1

    def __iter__(self) -> Iterator[int]:
        for first, end in zip(self._ends[::2], self._ends[1::2], strict=True):
            yield from range(first, end)


def list_sheets(archive: zipfile.ZipFile, file: str) -> list[SheetPart]:
    """List the worksheets in the order of the workbook. Raises UsageError for another format."""
    book = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314 - expat bounds entities
    if book.tag.startswith(_STRICT):
        raise UsageError(
            f"{file}: is a workbook in the format Strict Open XML",
            "save it as Excel Workbook (.xlsx), without Strict",
        )
    links = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314 - the same
    targets = {
        link.get("Id"): link.get("Target", "")
        for link in links.iter(_REL)
        if link.get("Type", "").endswith("/worksheet")
    }
    return [
        SheetPart(sheet.get("name", ""), sheet.get("state", "visible") != "visible", path)
        for sheet in book.iter(f"{_MAIN}sheet")
        if (path := _part_path(targets.get(sheet.get(_REL_ID), ""))) is not None
    ]


def has_cells(archive: zipfile.ZipFile, sheet: SheetPart) -> bool:
    """Return true when any cell of a sheet holds a value or a formula."""
    return any(_columns_in_use(row) for row in _rows_of(archive, sheet, _Around([], [])))


def inspect_sheet(archive: zipfile.ZipFile, sheet: SheetPart, name: str) -> SheetFacts:
    """Read a sheet once and note what decides how its cells are read.

    `name` is the sheet in messages. Raises UsageError for rows that are not in order.
    """
    used, hidden, unvalued = RowSet(), RowSet(), dict[int, RowSet]()
    around, filled = _Around([], []), set[int]()
    number = last_row = 0
    for row in _rows_of(archive, sheet, around):
        before, number = number, int(row.get("r", number + 1))
        if number <= before:
            raise UsageError(f"{name}: row {number} comes after row {before}", _SAVE_AGAIN)
        columns = _columns_in_use(row)
        if not columns:
            continue
        used.add(number)
        filled |= columns.keys()
        last_row = number
        if row.get("hidden") in _TRUE:
            hidden.add(number)
        for column, is_unvalued in columns.items():
            if is_unvalued:
                unvalued.setdefault(column, RowSet()).add(number)
    merged = sorted(around.merged)
    if len(merged) > limits.MERGED_CELLS:
        raise UsageError(
            f"{name}: has more than {limits.MERGED_CELLS:,} merged cells",
            "select the sheet, choose Unmerge Cells, and save it",
        )
    return SheetFacts(
        used=used,
        last_row=last_row,
        last_column=max(filled, default=0),
        hidden=hidden,
        hidden_columns=sorted(
            c for c in filled if any(c in each for each in around.hidden_columns)
        ),
        merged=merged,
        unvalued=unvalued,
    )


def _part_path(target: str) -> str | None:
    """Return the place in the archive of a part that the workbook links to."""
    if not target:
        return None
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _rows_of(archive: zipfile.ZipFile, sheet: SheetPart, around: _Around) -> Iterator[Element]:
    """Yield each row element of a sheet, and collect what stands before and after the rows."""
    merged = around.merged
    with archive.open(sheet.path) as part:
        data = None
        for event, element in ET.iterparse(part, ("start", "end")):  # noqa: S314 - the same
            if event == "start":
                data = element if element.tag == _DATA else data
            elif element.tag == _ROW:
                yield element
                if data is not None:
                    data.clear()  # a row that is read takes no memory
            elif element.tag == _COLUMNS and element.get("hidden") in _TRUE:
                columns = range(int(element.get("min", 0)), int(element.get("max", 0)) + 1)
                around.hidden_columns.append(columns)
            elif element.tag == _MERGE and len(merged) <= limits.MERGED_CELLS:
                area = _area(element.get("ref", ""))
                if area is not None:
                    merged.append(area)


def _columns_in_use(row: Element) -> dict[int, bool]:
    """Return the columns that hold a value or a formula; true: only a formula."""
    columns: dict[int, bool] = {}
    column = 0
    for cell in row.iter(_CELL):
        place = _PLACE.fullmatch(cell.get("r", ""))
        column = column + 1 if place is None else column_number(place[1])
        value = cell.findtext(_VALUE)
        if value or cell.find(_INLINE) is not None:
            columns[column] = False
        # the stored value of a formula that gives an empty text is an empty text
        elif cell.find(_FORMULA) is not None and cell.get("t") != "str":
            columns[column] = True
    return columns


def column_number(letters: str) -> int:
    """Return the number of a column: 1 for A, 27 for AA."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """Return the letters of a column: A for 1, AA for 27."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _area(text: str) -> Area | None:
    places = [_PLACE.fullmatch(part) for part in text.split(":")]
    first, last = places[0], places[-1]
    if first is None or last is None:
        return None
    return Area(int(first[2]), int(last[2]), column_number(first[1]), column_number(last[1]), text)
