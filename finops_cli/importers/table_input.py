"""Opens a file with columns as a table, and as the input of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from finops_cli.errors import UsageError
from finops_cli.files.recognise import FileKind, Recognised, open_content
from finops_cli.files.text_layout import UTF_16
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.importers.mapped_rows.table_records import Completion, records_of
from finops_cli.importers.proposal.proposal import Proposal, propose
from finops_cli.importers.record_source import RecordSource
from finops_cli.importers.stream import Item
from finops_cli.importers.tables.csv_table import CsvTable
from finops_cli.importers.tables.table import Table
from finops_cli.importers.tables.xlsx_table import Workbook, XlsxTable, open_workbook
from finops_cli.kb.rulebook import KnowledgeBase


class ChosenMapping(NamedTuple):
    """The mapping of a call, and where it stands."""

    mapping: Mapping
    name: str
    """The mapping in a message: its file, or `the proposed mapping`."""
    file: Path | None


class TableFile:
    """A file with columns whose mapping may not be known yet.

    A workbook stays open until `stack` is closed.
    """

    def __init__(self, recognised: Recognised, stack: ExitStack) -> None:
        """Open the file. Raises UsageError, and MissingPiece for a workbook without openpyxl."""
        self.recognised = recognised
        self._book: Workbook | None = None
        if recognised.kind is FileKind.WORKBOOK:
            self._book = stack.enter_context(open_workbook(recognised))

    def describe(self, table: Table) -> str:
        """Describe the file in a message, without the number of its rows."""
        what = self.recognised.describe()
        if isinstance(table, XlsxTable):
            what += f", sheet {table.source.sheet!r}"
        return f"{self.recognised.path}: {what}"

    def open(self, mapping: Mapping) -> Table:
        """Open the table as a mapping says. Raises UsageError for a sheet that is not there."""
        if self._book is not None:
            return self._book.table(mapping.sheet)
        return _text_table(self.recognised, mapping)

    def propose(self, kb: KnowledgeBase) -> Proposal:
        """Propose a mapping; of several sheets, for the one of which it reads most.

        Raises UsageError where no table has a header.
        """
        if self._book is not None:
            return _propose_sheet(self._book, kb)
        layout = self.recognised.layout
        assert layout is not None  # noqa: S101 - a text file with columns has one
        table = CsvTable(
            str(self.recognised.path),
            partial(open_content, self.recognised),
            delimiter=layout.delimiter,
            encoding=layout.encoding,
        )
        return propose(table, kb)


def _text_table(recognised: Recognised, mapping: Mapping) -> CsvTable:
    layout, given = recognised.layout, mapping.csv
    encoding = given.encoding
    if layout is not None and "encoding" not in given.model_fields_set:
        # UTF-16 shows itself; Windows-1252 is a guess, which the mapping has to make
        encoding = layout.encoding if layout.encoding.startswith(UTF_16) else encoding
    return CsvTable(
        str(recognised.path),
        partial(open_content, recognised),
        delimiter=given.delimiter or (layout.delimiter if layout else None),
        encoding=encoding,
        header=mapping.rows.header,
    )


def _propose_sheet(book: Workbook, kb: KnowledgeBase) -> Proposal:
    sheets = book.sheets()
    if len(sheets) <= 1:
        return propose(book.table(), kb)
    found: list[Proposal] = []
    refused: list[UsageError] = []
    for sheet in sheets:
        try:
            found.append(propose(book.table(sheet.name), kb))
        except UsageError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return max(found, key=lambda each: (each.is_complete, len(each.mapping.columns)))


def record_source(
    file: TableFile, chosen: ChosenMapping, kb: KnowledgeBase, complete: Completion | None = None
) -> RecordSource:
    """Return the records of a file as the input of a run. Raises UsageError.

    `complete` adds the facts of other files to each record.
    """
    table = file.open(chosen.mapping)
    shown = file.describe(table)
    source = _source(table, chosen, kb, file.recognised.path, described=shown, complete=complete)
    if isinstance(table, XlsxTable):
        source.file_notes = tuple(table.notes())
    return source


def piped_source(
    chosen: ChosenMapping,
    kb: KnowledgeBase,
    path: Path | None,
    complete: Completion | None = None,
) -> RecordSource:
    """Return the records of CSV from a pipe as the input of a run."""
    given = chosen.mapping
    table = CsvTable.of(
        path,
        delimiter=given.csv.delimiter,
        encoding=given.csv.encoding,
        header=given.rows.header,
    )
    shown = f"{table.name}: CSV"
    return _source(table, chosen, kb, path, described=shown, complete=complete)


def _source(
    table: Table,
    chosen: ChosenMapping,
    kb: KnowledgeBase,
    path: Path | None,
    *,
    described: str,
    complete: Completion | None,
) -> RecordSource:
    read: Callable[[], Iterator[Item]] = partial(
        records_of,
        table,
        chosen.mapping,
        chosen.name,
        blanks=kb.imports.blanks,
        complete=complete,
    )
    return RecordSource(
        path=path,
        kind=table.source.kind,
        open_items=read,
        mapping=chosen.mapping.model_dump_json(),
        mapping_files=() if chosen.file is None else (chosen.file,),
        described=described,
    )
