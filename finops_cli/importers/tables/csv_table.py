"""The rows of a text file whose cells a delimiter separates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.safe_io import reading
from finops_cli.importers.tables.table import Source, TableRow

DEFAULT_ENCODING = "utf-8-sig"
"""Reads UTF-8 with and without Excel's byte-order mark."""


class CsvTable:
    """A CSV file. Bytes that the encoding lacks become U+FFFD, which the reader reports."""

    def __init__(
        self,
        name: str,
        open_file: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        delimiter: str | None = None,
        encoding: str = DEFAULT_ENCODING,
        header: int | None = None,
        is_pipe: bool = False,
    ) -> None:
        """Describe the file; nothing is read yet. `is_pipe`: it can be read once only.

        `delimiter` None is the one of a first line `sep=;`, else a comma. `header` is the line of
        the header; the lines above it are left out. None is the first line that is not blank.
        """
        self.name = name
        self.source = Source("csv", Path(name).name)
        self.is_pipe = is_pipe
        self._open_file = open_file
        self.delimiter = delimiter
        self.encoding = encoding
        self._header = header

    @classmethod
    def of(
        cls,
        path: Path | None,
        *,
        delimiter: str | None = None,
        encoding: str = DEFAULT_ENCODING,
        header: int | None = None,
    ) -> CsvTable:
        """Return the table of the file at `path`; None is stdin, which can be read once."""
        return cls(
            "stdin" if path is None else str(path),
            partial(reading, path),
            delimiter=delimiter,
            encoding=encoding,
            header=header,
            is_pipe=path is None or not path.is_file(),
        )

    def below(self, header: int) -> CsvTable:
        """Return the same file with its header on the line `header`."""
        return CsvTable(
            self.name,
            self._open_file,
            delimiter=self.delimiter,
            encoding=self.encoding,
            header=header,
            is_pipe=self.is_pipe,
        )

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows; a row with another number of cells than the header has a fault.

        Raises UsageError if the file cannot be read, or has another delimiter than was given.
        """
        with self._open_file() as file:
            text = TextIOWrapper(file, self.encoding, "replace", newline="")
            try:
                rows = csv_rows(text, self.delimiter, name=self.name, header=self._header)
                for line, cells, fault in rows:
                    yield TableRow(line, cells, fault)
            finally:
                text.detach()  # stdin stays open
