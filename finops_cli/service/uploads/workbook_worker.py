"""The process that writes the sheet of a workbook as CSV: the workbook on stdin, CSV on stdout.

Line N of the CSV is row N of the sheet. The sheet is the one of which finops reads most. A fault
of the workbook goes to stderr, as JSON with `what` and `fix`, and ends with status 2.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from finops_cli.errors import FinopsError, MissingPiece, UsageError
from finops_cli.files.recognise import FileKind, recognise
from finops_cli.importers.mapped_rows.mapping import Mapping
from finops_cli.importers.table_input import TableFile
from finops_cli.importers.tables.cell_text import write_cell
from finops_cli.importers.tables.table import Table
from finops_cli.importers.tables.xlsx_table import XlsxTable
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase

REFUSED = 2
_STDIN = Path("/dev/stdin")


class Refusal(msgspec.Struct):
    """Why a workbook cannot be read, and the fix."""

    what: str
    fix: str
    is_packed: bool = False
    """The file is an archive of another kind."""
    is_missing: bool = False
    """A package is missing where the service runs."""


def list_lines(table: Table) -> Iterator[str]:
    """Yield the rows of a sheet as lines of CSV; a blank line for each row that it leaves out."""
    line = 0
    # each row is as wide as the sheet: a row of a CSV with fewer cells than its header is damaged
    width = table.facts.last_column if isinstance(table, XlsxTable) else 0
    for row in table.rows():
        yield "\n" * (row.line - line - 1)
        line = row.line
        out = io.StringIO()
        cells = [write_cell(each) for each in row.cells]
        csv.writer(out, lineterminator="\n").writerow(cells + [""] * (width - len(cells)))
        yield out.getvalue()


def convert(path: Path, kb: KnowledgeBase) -> Iterator[str]:
    """Yield the lines of the sheet of a workbook. Raises UsageError and MissingPiece."""
    recognised = recognise(path)
    if recognised.kind is not FileKind.WORKBOOK or recognised.packing is not None:
        raise UsageError("the file is packed (ZIP)", "unpack it: JSON Lines, CSV or .xlsx")
    with ExitStack() as stack:
        file = TableFile(recognised, stack)
        yield from list_lines(file.open(_choose(file, kb)))


def _choose(file: TableFile, kb: KnowledgeBase) -> Mapping:
    """Return the mapping whose sheet is read. Raises UsageError where no sheet has a header."""
    return file.propose(kb).mapping


def main(kb_dir: str) -> int:
    """Write the workbook on stdin as CSV; return the exit status."""
    try:
        for text in convert(_STDIN, load_kb(Path(kb_dir))):
            sys.stdout.write(text)
        sys.stdout.flush()
    except FinopsError as error:
        what = str(error).replace(str(_STDIN), "the workbook")
        refusal = Refusal(
            what=what,
            fix=error.cure or "",
            is_packed="(ZIP)" in what,
            is_missing=isinstance(error, MissingPiece),
        )
        sys.stderr.buffer.write(msgspec.json.encode(refusal))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main(*sys.argv[1:]))
