"""Reads the rows of a table as fail records: a mapping names the column of each record field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage, Problem
from finops_cli.errors import UsageError
from finops_cli.files.seen_ids import SeenIds
from finops_cli.importers.cells import Cell, Value, cell_of, full_name
from finops_cli.importers.mapping import (
    Column,
    Mapping,
    constants_of,
    read_mapping,
)
from finops_cli.importers.stream import FileRead, Item, admit, nest
from finops_cli.importers.tables.csv_table import CsvTable
from finops_cli.importers.tables.table import Table, TableRow
from finops_cli.verify.schemas import unusable

_A_ROW = "one row per record, as many cells as the header has, quotes closed"
_UNDECODABLE = "\ufffd"


class _Place(NamedTuple):
    """The cell of a row that gives a record field."""

    field: str
    position: int
    column: Column
    cell: Cell


def import_csv(source: Path | None, mapping_file: Path) -> Iterator[Item]:
    """Yield the records and damages of a CSV file, in its order.

    `source` None means stdin. Raises UsageError.
    """
    mapping = read_mapping(mapping_file)
    table = CsvTable.of(source, delimiter=mapping.csv.delimiter, encoding=mapping.csv.encoding)
    yield from records_of(table, mapping, str(mapping_file))


def records_of(table: Table, mapping: Mapping, map_name: str) -> Iterator[Item]:
    """Yield the records and damages of a table, in its order.

    `map_name` names the mapping in a cure: `mapping.yaml`. Raises UsageError.
    """
    constants = constants_of(mapping)
    count = 0
    with SeenIds() as seen:
        rows = table.rows()
        places = _find_columns(table.name, next(rows, None), mapping, map_name)
        for row in rows:
            count += 1
            if row.fault is not None:
                yield Damage(table.name, row.line, (_describe_fault(row),))
            else:
                yield _import_row(table, row, places, constants, seen)
    yield FileRead(table.name, count)


def _describe_fault(row: TableRow) -> Problem:
    return Problem(
        rule="schema.format",
        path="",
        value=str(row.fault),
        accepted=_A_ROW,
        message=f"the row {row.fault}; accepted: {_A_ROW}",
    )


def _find_columns(
    file: str, header: TableRow | None, mapping: Mapping, map_name: str
) -> list[_Place]:
    """Find the cell of each field. Raises UsageError that lists every column without one."""
    if header is None or header.fault is not None:
        raise _refuse_header(file, header)
    names = [str(name).strip().removeprefix("\ufeff") for name in header.cells]
    faults = []
    for field, column in mapping.columns.items():
        count = names.count(column.column)
        if count != 1:
            near = get_close_matches(column.column, names, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            what = (
                f"is not in the header{hint}"
                if count == 0
                else f"stands {count} times in the header"
            )
            faults.append(f"column {column.column!r}, mapped to {field}, {what}")
    if faults:
        delimiter = _guess_delimiter(names, mapping)
        cure = f"correct the names in {map_name}, or the header of {file}"
        if delimiter:
            cure = f"write csv: {{delimiter: {json.dumps(delimiter)}}} in {map_name}"
        lines = "\n".join(f"  {fault}" for fault in faults[: limits.PROBLEMS])
        message = (
            f"{file}: {faults[0]}"
            if len(faults) == 1
            else (f"{file} lacks {len(faults)} columns of the mapping:\n{lines}")
        )
        raise UsageError(f"{message}\n  the header has: {', '.join(names)}", cure)
    return [
        _Place(
            full_name(field),
            names.index(column.column),
            column,
            cell_of(field, None if column.values else mapping.csv.dates),
        )
        for field, column in mapping.columns.items()
    ]


def _refuse_header(file: str, header: TableRow | None) -> UsageError:
    if header is None:
        return UsageError(f"{file} has no header: it is empty", "give a CSV file with a header")
    cure = "give a CSV file with a header"
    if "NUL" in str(header.fault):
        cure = (
            "the file looks like UTF-16: save it as UTF-8, or write csv: {encoding: utf-16} in the"
            " mapping"
        )
    return UsageError(f"{file} has no header: line {header.line} {header.fault}", cure)


def _guess_delimiter(names: list[str], mapping: Mapping) -> str:
    """Return another delimiter under which the header has the columns; empty if not found."""
    header = (mapping.csv.delimiter or ",").join(names)
    for delimiter in ",;\t|":
        cells = {cell.strip() for cell in header.split(delimiter)}
        if all(column.column in cells for column in mapping.columns.values()):
            return delimiter
    return ""


def _import_row(
    table: Table, row: TableRow, places: list[_Place], constants: dict[str, Value], seen: SeenIds
) -> bytes | Damage:
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for place in places:
        value = _read(place, str(row.cells[place.position]).strip())
        if isinstance(value, Problem):
            problems.append(value)
        elif value is not None:
            fields[place.field] = value
    record = nest({**fields, **constants})
    given_origin = record.pop("origin", {})  # written last, as every importer does
    record["origin"] = {
        "source": table.source.kind,
        "file": table.source.file,
        "line": row.line,
        **given_origin,
        "assumed": list(constants),
    }
    imported = admit(record, table.name, row.line, None if problems else seen)
    if isinstance(imported, Damage):
        reported = {problem.path for problem in problems}
        problems += [
            _in_column(problem, places)
            for problem in imported.problems
            if problem.path not in reported
        ]
    return (
        Damage(table.name, row.line, tuple(problems))
        if problems or isinstance(imported, Damage)
        else imported
    )


def _read(place: _Place, text: str) -> Value | Problem | None:
    """Read a cell; None when it is empty."""
    path = f"/{place.field.replace('.', '/')}"
    if _UNDECODABLE in text:
        return replace(
            unusable(
                "schema.format", _name_column(place), text, "text in the encoding of the mapping"
            ),
            path=path,
        )
    if place.column.values and (text or "" in place.column.values):
        if text not in place.column.values:
            return replace(
                unusable(
                    "schema.enum",
                    _name_column(place),
                    text,
                    ", ".join(cell or "(empty)" for cell in place.column.values),
                ),
                path=path,
            )
        text = place.column.values[text]
    try:
        return place.cell.parse(text) if text else None
    except (ValueError, ArithmeticError):
        return replace(
            unusable("schema.type", _name_column(place), text, place.cell.accepted),
            path=path,
        )


def _name_column(place: _Place) -> str:
    return f"column {place.column.column!r} ({place.field})"


def _in_column(problem: Problem, places: list[_Place]) -> Problem:
    """Add the column to the message of a problem that names a record field."""
    field = problem.path[1:].replace("/", ".")
    for place in places:
        if place.field == field:
            return replace(problem, message=f"column {place.column.column!r}: {problem.message}")
    return problem
