"""Files of facts beside a blotter: each row as the file has it, or its problems.

A file is JSON Lines where it begins with a brace, an Excel workbook where it begins as one, else
CSV with a header, which shows by the names of its columns what stands between two cells. The first
row of a sheet is its header too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finops_cli.domain import limits
from finops_cli.domain.finding import Problem
from finops_cli.errors import UsageError
from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.jsonl import lines_of
from finops_cli.files.recognise import FileKind, recognise
from finops_cli.files.text_layout import DELIMITERS
from finops_cli.importers.tables.cell_text import write_cell
from finops_cli.importers.tables.table import CellFault, TableRow
from finops_cli.importers.tables.xlsx_table import open_workbook
from finops_cli.pipeline.parse import decode
from finops_cli.verify.schemas import unusable

_UNDECODABLE = "\ufffd"
_ZIP = b"PK\x03\x04"


class Column(NamedTuple):
    """How the cells of a column are read. `parse` raises ValueError for other text."""

    parse: Callable[[str], Any]
    accepted: str = "text"


class RowLayout(NamedTuple):
    """The columns of a file of facts."""

    columns: dict[str, Column] | None
    """None: the file is JSON Lines only."""
    required: tuple[tuple[str, ...], ...] = ()
    """The columns that a header must have: one of each tuple."""


class GivenRow(NamedTuple):
    """A row as the file has it, or its problems."""

    line: int
    fields: dict[str, Any]
    problems: list[Problem]


class RowFaults:
    """The first faults of a file, and how many there are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._shown: list[tuple[int, str]] = []

    def add(self, line: int, problems: Sequence[Problem]) -> None:
        """Count the problems of a line."""
        self._count += len(problems)
        room = limits.PROBLEMS - len(self._shown)
        self._shown += [(line, problem.message) for problem in problems[:room]]

    def refuse(self) -> None:
        """Raise UsageError that lists the faults, where there are any."""
        if self._count:
            raise UsageError(self._describe(), f"correct these lines of {self._path}")

    def _describe(self) -> str:
        if self._count == 1:
            [(line, message)] = self._shown
            return f"{self._path}:{line}: {message}"
        shown = [f"  line {line}: {message}" for line, message in self._shown]
        more = self._count - len(shown)
        rest = [f"  and {more} more"] if more else []
        return "\n".join([f"{self._path} has {self._count} faults:", *shown, *rest])


def read_rows(path: Path, layout: RowLayout) -> Iterator[GivenRow]:
    """Yield the rows of the file at `path`. Raises UsageError if it or its header is unusable."""
    try:
        with path.open("rb") as file:
            yield from _rows_of(path, file, layout)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "give a file") from error


def _rows_of(path: Path, file: BinaryIO, layout: RowLayout) -> Iterator[GivenRow]:
    head = file.read(limits.SHOWN_CHARS)
    first = head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    file.seek(0)
    if layout.columns is not None and head.startswith(_ZIP):
        yield from _sheet_rows(path, layout.columns, layout.required)
        return
    if layout.columns is not None and first != b"{":
        yield from _csv_rows(path, file, layout.columns, layout.required)
        return
    for number, (line, _) in enumerate(lines_of(file), start=1):
        if line.strip():
            yield json_row(number, line)


def json_row(number: int, line: bytes) -> GivenRow:
    """Read a line of JSON as a row."""
    given: Any = decode(line)
    if isinstance(given, Problem):
        return GivenRow(number, {}, [given])
    if not isinstance(given, dict):
        problem = unusable("schema.type", "line", str(given), "one JSON object per line")
        return GivenRow(number, {}, [problem])
    return GivenRow(number, given, [])


def _csv_rows(
    path: Path,
    file: BinaryIO,
    columns: dict[str, Column],
    required: tuple[tuple[str, ...], ...],
) -> Iterator[GivenRow]:
    delimiter = _find_delimiter(file.readline(limits.LINE_BYTES), columns)
    file.seek(0)
    text = TextIOWrapper(file, "utf-8-sig", "replace", newline="")
    try:
        rows = csv_rows(text, delimiter)
        header = next(rows, None)
        names = [] if header is None else [name.strip().casefold() for name in header.cells]
        _check_header(path, names, columns, required)
        for row in rows:
            if row.fault is not None:
                fault = unusable("schema.format", "row", row.fault, "as many cells as the header")
                yield GivenRow(row.line, {}, [fault])
            else:
                texts = zip(names, map(str.strip, row.cells), strict=True)
                yield _csv_row(row.line, dict(texts), columns)
    finally:
        text.detach()  # the caller closes the file


def _find_delimiter(header: bytes, columns: dict[str, Column]) -> str | None:
    """Return what separates most names of columns in a header; None where it names none of them.

    A first line `sep=;` names none: then the next line is the header.
    """
    text = header.decode("utf-8-sig", "replace").casefold()
    known = {
        delimiter: sum(cell.strip(' "\r\n') in columns for cell in text.split(delimiter))
        for delimiter in DELIMITERS
    }
    best = max(known, key=lambda each: known[each])
    return best if known[best] else None


def _sheet_rows(
    path: Path, columns: dict[str, Column], required: tuple[tuple[str, ...], ...]
) -> Iterator[GivenRow]:
    """Yield the rows of the only sheet of a workbook that holds any cell."""
    recognised = recognise(path)
    if recognised.kind is not FileKind.WORKBOOK or recognised.packing is not None:
        raise UsageError(f"{path}: is packed (ZIP)", "unpack it: JSON Lines, CSV or .xlsx")
    with open_workbook(recognised) as book:
        used = [sheet.name for sheet in book.sheets()]
        if len(used) > 1:
            listed = ", ".join(map(repr, used))
            raise UsageError(
                f"{path}: has {len(used)} sheets with cells: {listed}; accepted: one",
                "save the sheet with the rows as a workbook of its own, or as CSV",
            )
        rows = book.table().rows()
        header = next(rows, None)
        names = (
            [] if header is None else [write_cell(each).strip().casefold() for each in header.cells]
        )
        while names and not names[-1]:
            names.pop()
        _check_header(path, names, columns, required)
        for row in rows:
            yield _sheet_row(row, names, columns)


def _sheet_row(row: TableRow, names: list[str], columns: dict[str, Column]) -> GivenRow:
    if row.fault is not None:
        fault = unusable("schema.format", "row", row.fault, "a row that can be read")
        return GivenRow(row.line, {}, [fault])
    if any(each is not None for each in row.cells[len(names) :]):
        fault = unusable(
            "schema.format", "row", "has a cell beyond the header", "as many cells as the header"
        )
        return GivenRow(row.line, {}, [fault])
    cells = dict(zip(names, row.cells, strict=False))
    faults = [
        unusable("schema.format", name, f"{cell.text}, which {cell.why}", cell.cure)
        for name, cell in cells.items()
        if isinstance(cell, CellFault)
    ]
    if faults:
        return GivenRow(row.line, {}, faults)
    texts = {name: write_cell(cell).strip() for name, cell in cells.items()}
    return _csv_row(row.line, texts, columns)


def _csv_row(line: int, texts: dict[str, str], columns: dict[str, Column]) -> GivenRow:
    """Read the cells of a row; an empty cell leaves its field out."""
    fields: dict[str, Any] = {}
    problems = []
    for name, text in texts.items():
        if _UNDECODABLE in text:
            problems.append(unusable("schema.format", name, text, "text in UTF-8"))
            continue
        try:
            if text:
                fields[name] = columns[name].parse(text)
        except ValueError:
            problems.append(unusable("schema.type", name, text, columns[name].accepted))
    return GivenRow(line, fields, problems)


def _check_header(
    path: Path,
    names: list[str],
    columns: dict[str, Column],
    required: tuple[tuple[str, ...], ...],
) -> None:
    """Raise UsageError for a header with an unknown, repeated or missing column."""
    accepted = f"the columns {', '.join(columns)}, separated by commas or semicolons"
    cure = f"write the names of the columns into the first line of {path}"
    for name in names:
        shown = name[: limits.SHOWN_CHARS]
        if name not in columns:
            raise UsageError(f"{path}:1: column {shown!r} is not known; accepted: {accepted}", cure)
        if names.count(name) > 1:
            raise UsageError(f"{path}:1: column {shown!r} stands twice; accepted: {accepted}", cure)
    for one_of in required:
        if not any(name in names for name in one_of):
            missing = " or ".join(one_of)
            raise UsageError(f"{path}:1: column {missing} is missing; accepted: {accepted}", cure)
