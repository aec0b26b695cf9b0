"""Finds the columns of a mapping in the header of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.csv_rows import DEFAULT_DELIMITER
from finops_cli.importers.mapped_rows.column_readers import (
    ColumnReader,
    DecisionReader,
    FieldReader,
    Notation,
    text_of,
    tidy,
)
from finops_cli.importers.mapped_rows.mapping import Column, Mapping
from finops_cli.importers.tables.table import Table, TableRow

_NUMBERED = re.compile(r"#([1-9][0-9]{0,3})")
_DELIMITERS = ",;\t|"


class Header:
    """The names of the columns of a table, and the mapping that uses them."""

    def __init__(self, texts: list[str], mapping: Mapping) -> None:
        self.texts = texts
        self.names = [tidy(text) for text in texts]
        self._mapping = mapping

    def position(self, column: str) -> int:
        """Return the place of a column that the header has once, from 0."""
        found = _NUMBERED.fullmatch(column.strip())
        return int(found[1]) - 1 if found else self.names.index(tidy(column))

    def make_readers(self, notation: Notation) -> list[FieldReader]:
        """Return what reads each field of a record."""
        readers: list[FieldReader] = []
        for field, column in self._mapping.columns.items():
            if isinstance(column, Column):
                place = self.position(column.column)
                readers.append(ColumnReader(field, column, place, notation))
            else:
                rules = [(rule, [*map(self.position, rule.if_)]) for rule in column.when]
                readers.append(DecisionReader(field, rules))
        return readers

    def find_faults(self) -> list[str]:
        """Describe each column of the mapping that the header has not, or not once."""
        return [
            f"column {column!r}, {use}, {fault}"
            for column, use in _columns_in(self._mapping).items()
            if (fault := self._find_fault(column))
        ]

    def _find_fault(self, column: str) -> str:
        found = _NUMBERED.fullmatch(column.strip())
        if found is not None:
            width = len(self.names)
            return "" if int(found[1]) <= width else f"is beyond the {width} columns of the header"
        count = self.names.count(tidy(column))
        if count == 1:
            return ""
        if count:
            places = [f'"#{at}"' for at, name in enumerate(self.names, 1) if name == tidy(column)]
            return f"stands {count} times in the header; name it by its place: {', '.join(places)}"
        near = get_close_matches(tidy(column), self.names, n=1)
        return f"is not in the header{f' (did you mean {near[0]!r}?)' if near else ''}"


def _columns_in(mapping: Mapping) -> dict[str, str]:
    """Return each column that the mapping names, and its first use."""
    uses: dict[str, str] = {}
    for field, column in mapping.columns.items():
        names = (
            [column.column]
            if isinstance(column, Column)
            else [name for rule in column.when for name in rule.if_]
        )
        for name in names:
            uses.setdefault(name, f"mapped to {field}")
    for rule in mapping.rows.skip:
        uses.setdefault(rule.column, "of a rule under rows.skip")
    return uses


def find_header(rows: Iterator[TableRow], table: Table, mapping: Mapping, map_name: str) -> Header:
    """Read the rows up to the header. Raises UsageError that lists every missing column."""
    wanted = mapping.rows.header
    row = next((row for row in rows if row.line >= (wanted or 1) and _has_text(row)), None)
    if row is None or not row.cells or (wanted is not None and row.line != wanted):
        raise _refuse_header(table.name, row, wanted)
    header = Header([text_of(cell).removeprefix("\ufeff") for cell in row.cells], mapping)
    faults = header.find_faults()
    if faults:
        raise _refuse_columns(table.name, header, mapping, map_name, faults)
    return header


def _has_text(row: TableRow) -> bool:
    return row.fault is not None or any(text_of(cell) for cell in row.cells)


def _refuse_columns(
    file: str, header: Header, mapping: Mapping, map_name: str, faults: list[str]
) -> UsageError:
    cure = f"correct the names in {map_name}, or the header of {file}"
    delimiter = _guess_delimiter(header.texts, mapping)
    if delimiter:
        cure = f"write csv: {{delimiter: {json.dumps(delimiter)}}} in {map_name}"
    elif mapping.rows.header is None:
        cure += f"; or give the line of the header: rows: {{header: 4}} in {map_name}"
    lines = "\n".join(f"  {fault}" for fault in faults[: limits.PROBLEMS])
    message = (
        f"{file}: {faults[0]}"
        if len(faults) == 1
        else f"{file} lacks {len(faults)} columns of the mapping:\n{lines}"
    )
    return UsageError(f"{message}\n  the header has: {', '.join(header.names)}", cure)


def _refuse_header(file: str, header: TableRow | None, wanted: int | None) -> UsageError:
    cure = "give a file with a header"
    if wanted is not None and (header is None or header.line != wanted):
        cure = "correct rows: {header: ...} in the mapping: lines count from 1"
        return UsageError(f"{file}: line {wanted}, the header of the mapping, is not a row", cure)
    if header is None:
        return UsageError(f"{file} has no header: it is empty", cure)
    if "NUL" in str(header.fault):
        cure = (
            "the file looks like UTF-16: save it as UTF-8, or write csv: {encoding: utf-16} in the"
            " mapping"
        )
    return UsageError(f"{file} has no header: line {header.line} {header.fault}", cure)


def _guess_delimiter(texts: list[str], mapping: Mapping) -> str:
    """Return another delimiter under which the header has the columns; empty if not found."""
    header = (mapping.csv.delimiter or DEFAULT_DELIMITER).join(texts)
    wanted = {tidy(name) for name in _columns_in(mapping) if not _NUMBERED.fullmatch(name)}
    for delimiter in _DELIMITERS:
        if wanted <= {tidy(cell) for cell in header.split(delimiter)}:
            return delimiter
    return ""
