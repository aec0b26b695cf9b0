"""The sheet of an .xlsx workbook as a table, by openpyxl in its streaming mode.

A number is the number that Excel shows in its formula bar, as an exact decimal. A cell in a
percent format is a Percentage: its stored value is a hundred times smaller.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from finops_cli import extras
from finops_cli.domain import limits
from finops_cli.errors import MissingPiece, UsageError
from finops_cli.files.recognise import Recognised, open_content
from finops_cli.importers.tables.table import CellFault, CellValue, Percentage, Source, TableRow
from finops_cli.importers.tables.workbook_parts import (
    Area,
    SheetFacts,
    SheetPart,
    column_letters,
    has_cells,
    inspect_sheet,
    list_sheets,
)

_NO_VALUE = "#N/A"
"""The error of a lookup that found nothing: the mapping's `blanks` decide."""
_DIGITS = ".15g"
"""Excel computes with 15 significant digits: the further digits of a double are not part of a cell,
such as the end of 1100.0000000000002.
"""
_LARGEST_WHOLE = Decimal(10) ** 18
_RECALCULATE = "open the workbook in Excel or LibreOffice, which computes it, and save it"
_UNMERGE = "unmerge the cells and fill each of them"
_UNVALUED = CellFault("(formula)", "holds a formula without a stored value", _RECALCULATE)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    NotImplementedError,
)
"""The errors of openpyxl and its parsers for a workbook that is not well formed."""


class Workbook:
    """An open workbook; `open_workbook` gives it."""

    def __init__(self, file: str, archive: zipfile.ZipFile, book: Any) -> None:
        """Keep the archive, and the workbook as openpyxl opens it (it ships no types)."""
        self.file = file
        self._archive = archive
        self._book = book
        self._sheets = list_sheets(archive, file)

    def sheets(self) -> list[SheetPart]:
        """List the sheets that hold any cell, in order. Raises UsageError for damaged ones."""
        with name_damage(self.file):
            return [sheet for sheet in self._sheets if has_cells(self._archive, sheet)]

    def table(self, name: str | None = None) -> XlsxTable:
        """Return a sheet as a table; None: the only one that holds any cell.

        Raises UsageError that lists the sheets where the choice is not clear.
        """
        used = self.sheets()
        listed = ", ".join(f"{each.name!r}{' (hidden)' * each.is_hidden}" for each in used)
        chosen = [each for each in used if name in (None, each.name)]
        if len(chosen) == 1:
            [sheet] = chosen
            shown = self.file if len(used) == 1 else f"{self.file}, sheet {sheet.name}"
            with name_damage(self.file):
                facts = inspect_sheet(self._archive, sheet, shown)
            table = XlsxTable(shown, self.file, sheet.name, self._book[sheet.name], facts)
            table.other_sheets = [each.name for each in used if each is not sheet]
            return table
        if not used:
            raise UsageError(f"{self.file}: no sheet holds any cell", "give a file with fails")
        if name is not None:
            raise UsageError(
                f"{self.file}: has no sheet {name!r} with cells; it has: {listed}",
                "correct `sheet` in the mapping",
            )
        raise UsageError(
            f"{self.file}: has {len(used)} sheets with cells: {listed}",
            f"choose one in the mapping: `sheet: {used[0].name}`",
        )


class XlsxTable:
    """The rows of one sheet."""

    def __init__(
        self, name: str, file: str, sheet_name: str, sheet: Any, facts: SheetFacts
    ) -> None:
        """Keep the sheet as openpyxl opens it, and what the inspect_sheet found."""
        self.name = name
        self.is_pipe = False
        self.source = Source("xlsx", Path(file).name, sheet_name)
        self.facts = facts
        self.other_sheets: list[str] = []
        """The sheets with cells that are not read."""
        self._file = file
        self._sheet = sheet

    def describe(self) -> str:
        """Describe the table in a message: `Excel workbook, sheet 'Fails', 40 rows`."""
        return f"Excel workbook, sheet {self.source.sheet!r}, {self.facts.used.count:,} rows"

    def notes(self) -> list[str]:
        """List what a reader of the sheet does not see, or sees otherwise than finops."""
        notes = []
        if self.other_sheets:
            noun = "sheet" if len(self.other_sheets) == 1 else "sheets"
            notes.append(f"not read: {noun} {', '.join(map(repr, self.other_sheets))}")
        if self.facts.hidden.count:
            rows = (
                "1 hidden row is"
                if self.facts.hidden.count == 1
                else (f"{self.facts.hidden.count:,} hidden rows are")
            )
            notes.append(f"{rows} read too, row {next(iter(self.facts.hidden))} first")
        if hidden := [column_letters(column) for column in self.facts.hidden_columns]:
            columns = (
                "1 hidden column is" if len(hidden) == 1 else f"{len(hidden)} hidden columns are"
            )
            notes.append(f"{columns} read too: {', '.join(hidden[:5])}{' ...' * bool(hidden[5:])}")
        if self.facts.merged:
            areas = [area.text for area in self.facts.merged]
            shown = ", ".join(areas[:5]) + (f" and {len(areas) - 5:,} more" if areas[5:] else "")
            notes.append(f"merged cells {shown}: only the first cell of each has the value")
        for column, rows_of in self.facts.unvalued.items():
            cells = "1 formula" if rows_of.count == 1 else f"{rows_of.count:,} formulas"
            letters = column_letters(column)
            first = f"{letters}{next(iter(rows_of))} first"
            notes.append(f"{cells} without a stored value in column {letters}, {first}")
        return notes

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows that hold a value, with the row numbers of the sheet.

        Raises UsageError where the workbook turns out to be damaged.
        """
        merged = _Merged(self.facts.merged)
        self._sheet.reset_dimensions()  # some programs write a wrong size into the sheet
        # without max_col, a row is as wide as its own last cell
        cells_of = self._sheet.iter_rows(min_row=1, max_row=self.facts.last_row)
        with name_damage(self._file):
            for number, row in enumerate(cells_of, start=1):
                if not row or number not in self.facts.used:
                    continue
                cells = [
                    None if cell.value is None else _cell_value(cell.value, cell)
                    for cell in row[: self.facts.last_column]
                ]
                self._mark_faults(number, cells, merged.covering(number))
                while cells and cells[-1] is None:
                    cells.pop()
                if any(not _is_blank(value) for value in cells):
                    yield TableRow(number, cells)

    def _mark_faults(self, row: int, cells: list[CellValue], covered: list[Area]) -> None:
        """Put a fault into each empty cell that a formula or a merge would fill."""
        width = self.facts.last_column
        for column, rows_of in self.facts.unvalued.items():
            if row in rows_of:
                _fill(cells, range(column, column + 1), _UNVALUED)
        for area in covered:
            columns = range(area.first_column, min(area.last_column, width) + 1)
            place = f"{column_letters(area.first_column)}{area.first_row}"
            why = f"is part of the merged cells {area.text}, whose value is in {place}"
            _fill(cells, columns, CellFault("", why, _UNMERGE))


def _fill(cells: list[CellValue], columns: range, fault: CellFault) -> None:
    """Put a fault into the empty ones of some cells of a row; columns count from 1."""
    cells += [None] * (columns.stop - 1 - len(cells))
    for column in columns:
        if cells[column - 1] is None:
            cells[column - 1] = fault


class _Merged:
    """The merged areas by row, for rows that are read in order."""

    def __init__(self, areas: list[Area]) -> None:
        self._waiting = list(reversed(areas))
        self._open: list[Area] = []

    def covering(self, row: int) -> list[Area]:
        """Return the areas that cover a row. The rows are asked for in rising order."""
        while self._waiting and self._waiting[-1].first_row <= row:
            self._open.append(self._waiting.pop())
        if self._open:
            self._open = [area for area in self._open if area.last_row >= row]
        return self._open


def _is_blank(value: CellValue) -> bool:
    if isinstance(value, CellFault):
        return not value.text  # only a cell under a merge has no text
    return value is None or (isinstance(value, str) and not value.strip())


def _cell_value(given: Any, cell: Any) -> CellValue:
    if cell.data_type == "e" and given != _NO_VALUE:
        return CellFault(str(given), f"holds the error {given}", "correct the formula, and save it")
    if isinstance(given, str | bool):
        return given
    if isinstance(given, int | float):
        return _number(given, cell.number_format)
    if isinstance(given, datetime):
        return given.date() if given.time() == time() else given
    if isinstance(given, date):
        return given
    if isinstance(given, time | timedelta):
        why = "holds a time without a day"
        return CellFault(str(given), why, "write the day into the cell too")
    return CellFault(str(given)[: limits.SHOWN_CHARS], "holds no plain value", _RECALCULATE)


def _number(given: float, number_format: str) -> CellValue:
    """Return the number that Excel shows in the formula bar; 4 in percent for 4%."""
    number = Decimal(given) if isinstance(given, int) else Decimal(format(given, _DIGITS))
    if not number.is_finite():
        return CellFault(str(given), "holds a number that is out of range", "correct the cell")
    if "%" in (number_format or ""):
        return Percentage(_plain(number * 100))
    return _plain(number)


def _plain(number: Decimal) -> Decimal:
    """Return 12000 for 12000.0 and 0.5 for 0.50; 8.8E+112 keeps its exponent."""
    if number == number.to_integral_value() and abs(number) < _LARGEST_WHOLE:
        return number.quantize(Decimal(1))
    return number.normalize()


@contextmanager
def open_workbook(recognised: Recognised) -> Iterator[Workbook]:
    """Open a workbook, which may be packed in a .gz or .zip file.

    Raises MissingPiece without openpyxl, UsageError for a workbook that cannot be read.
    """
    file = str(recognised.path)
    load_workbook = _find_openpyxl(file)
    with ExitStack() as stack:
        content = stack.enter_context(open_content(recognised))
        if recognised.packing is not None:  # openpyxl reads the parts in another order
            spooled = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(content, spooled, limits.UNPACKING_BYTES)
            content = spooled
        with name_damage(file):
            archive = stack.enter_context(zipfile.ZipFile(content))
            _refuse_bomb(archive, content, file)
            book = load_workbook(content, read_only=True, data_only=True, keep_links=False)
            stack.callback(book.close)
            workbook = Workbook(file, archive, book)
        yield workbook


def _find_openpyxl(file: str) -> Any:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingPiece(
            f"{file}: is an Excel workbook, and openpyxl is not installed",
            f"{extras.cure('xlsx')}; or save the sheet as CSV",
        ) from error
    # it warns of parts that play no role here: charts, validations, styles
    warnings.filterwarnings("ignore", module="openpyxl")
    return load_workbook


@contextmanager
def name_damage(file: str) -> Iterator[None]:
    """Report the errors of a workbook that is not well formed as a UsageError."""
    try:
        yield
    except _DAMAGED as error:
        raise UsageError(
            f"{file}: the workbook is damaged ({type(error).__name__}: {error})",
            "open it in Excel or LibreOffice, which may repair it, and save it as .xlsx",
        ) from error


def _refuse_bomb(archive: zipfile.ZipFile, content: BinaryIO, file: str) -> None:
    """Raise UsageError for parts that are far longer than the file. Reading stops at their size."""
    packed_bytes = content.seek(0, 2)
    content.seek(0)
    parts = sum(each.file_size for each in archive.infolist())
    if parts > limits.UNPACKED_FREE_BYTES + limits.UNPACKED_TIMES * packed_bytes:
        raise UsageError(
            f"{file}: unpacks to more than {limits.UNPACKED_TIMES} times its size",
            "save the sheet as CSV if that is right",
        )
