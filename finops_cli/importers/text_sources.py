"""The input of `finops sentiment`: texts that are lines, and texts of a column."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from finops_cli.domain import exact_json, limits
from finops_cli.domain.finding import Damage
from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import Batches, InputLine, group
from finops_cli.files.recognise import Recognised, open_content
from finops_cli.files.safe_io import reading
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.importers.table_input import TableFile
from finops_cli.importers.tables.table import CellFault, CellValue, Table, TableRow
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import (
    InputDigest,
    JsonLines,
    PlainSource,
    default_fail_id,
    require_path,
)
from finops_cli.pipeline.sentiment.parse import ID_FIELDS
from finops_cli.verify.schemas import unusable

_LABEL_COLUMNS = ("expected", "label", "sentiment")


@dataclass(frozen=True, slots=True)
class PlainLines(JsonLines):
    """Lines that are texts: their content is not looked at before they are read."""

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if self.recognised is not None and self.recognised.packing is not None:
            with open_content(self.recognised) as file:
                yield file
            return
        with reading(self.path) as file:
            yield file

    def digest(self) -> InputDigest:
        """Return the length and the SHA-256 of the file, as it is stored."""
        return InputDigest(*resume.digest(require_path(self)), kind="lines")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTexts(PlainSource):
    """The texts of one column of a CSV file or a sheet, in order."""

    path: Path | None
    """None: stdin."""
    table: Table
    column: str
    described: str = ""

    @property
    def length(self) -> None:
        """Not known: the ends of the batches count the bytes of texts, not of the file."""
        return

    @property
    def has_rows(self) -> bool:
        """Return true: a line names its row in the file."""
        return True

    def report(self) -> list[str]:
        """Describe the file."""
        return [f"{self.described or self.table.name}, column {self.column}"]

    def digest(self) -> InputDigest:
        """Describe the file, for `--resume`."""
        kind = f"{self.table.source.kind} column {self.column}"
        return InputDigest(*resume.digest(require_path(self)), kind=kind)

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the texts after the first `skip`. Raises UsageError for a missing column."""
        lines = ((line, len(line) if isinstance(line, bytes) else 1) for line in self.lines())
        return group(lines, skip, at_most)

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield an object with the text of each row; a row without its cells is a Damage."""
        rows = self.table.rows()
        header = next(rows, None)
        names = [] if header is None else [str(cell or "").strip() for cell in header.cells]
        place = self._find(names)
        id_place = _first_place(names, ID_FIELDS)
        label_place = _first_place(names, _LABEL_COLUMNS)
        for row in rows:
            yield self._line(row, place, id_place, label_place)

    def _find(self, names: list[str]) -> int:
        found = _first_place(names, (self.column,))
        if found is None:
            shown = ", ".join(name for name in names if name)
            raise UsageError(
                f"{self.table.name}: has no column {self.column}; its columns are {shown}",
                "name the column of the texts with --field COLUMN",
            )
        return found

    def _line(
        self, row: TableRow, place: int, id_place: int | None, label_place: int | None
    ) -> InputLine:
        if row.fault is not None:
            problem = unusable("schema.format", "row", row.fault, "as many cells as the header")
            return Damage(self.table.name, row.line, (problem,))
        value = _cell(row, place)
        if isinstance(value, CellFault):
            accepted = "a text; " + value.cure
            problem = unusable("schema.type", self.column, value.text, accepted)
            return Damage(self.table.name, row.line, (problem,))
        name = str(_cell(row, id_place) or "").strip()[: limits.ID_CHARS]
        given = {
            "id": name or default_fail_id(row.line),
            "text": "" if value is None else str(value),
        }
        label = str(_cell(row, label_place) or "").strip().lower()
        if label in LABELS:
            given["expected"] = label
        return exact_json.encode(given)


def open_column(recognised: Recognised, column: str, stack: ExitStack) -> ColumnTexts:
    """Open a column of a file with columns; a workbook is closed with `stack`."""
    file = TableFile(recognised, stack)
    table = file.open(Mapping.model_construct(columns={}))
    return ColumnTexts(
        path=recognised.path, table=table, column=column, described=file.describe(table)
    )


def _first_place(names: list[str], wanted: tuple[str, ...]) -> int | None:
    lower = [name.casefold() for name in names]
    found = [lower.index(name.casefold()) for name in wanted if name.casefold() in lower]
    return found[0] if found else None


def _cell(row: TableRow, place: int | None) -> CellValue:
    return row.cells[place] if place is not None and place < len(row.cells) else None
