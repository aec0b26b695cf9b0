"""Reads Parquet files a few rows at a time, so that memory does not grow with the file."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finops_cli.domain import limits
from finops_cli.errors import Unfinished, UsageError
from finops_cli.files.arrow import load_parquet, load_pyarrow
from finops_cli.files.terminal import printable

MAGIC = b"PAR1"
LINE = "line"
"""The column with the JSON text of each row."""
_READ_BYTES = 1024 * 1024
"""The piece of a column that is read at a time."""
_BATCH_BYTES = 4 * 1024 * 1024
"""The values of a batch that are in memory at a time, where all rows are of one size."""
_BATCH_ROWS = 256
_KEPT_BYTES = limits.LINE_BYTES + 8
_AGAIN = "write or fetch the file again"


def is_parquet(path: Path) -> bool:
    """Return true for a regular file that begins as a Parquet file does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class ParquetRows:
    """The rows of an open Parquet file."""

    def __init__(self, path: Path) -> None:
        """Read the footer. Raises MissingPiece without pyarrow, UsageError for a damaged file."""
        what = f"{path}: is a Parquet file"
        self.arrow = load_pyarrow(what)
        self._path = path
        parquet = load_parquet(what)
        with self._name_damage(UsageError):
            metadata = parquet.read_metadata(path)
            packed = _find_dictionaries(metadata)
            # a dictionary stays one: a text of megabytes that a million rows share is read once
            self._file = parquet.ParquetFile(
                path,
                metadata=metadata,
                read_dictionary=packed,
                buffer_size=_READ_BYTES,
                pre_buffer=False,
            )
            self.schema = self._file.schema_arrow
        self.count = int(metadata.num_rows)
        self._left = limits.UNPACKED_FREE_BYTES + limits.UNPACKED_TIMES * path.stat().st_size
        self._refuse_repeated_names()

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.schema.names)

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches of some columns.

        Raises Unfinished where the file is damaged, or a decompression bomb.
        """
        wanted, metadata = set(columns), self._file.metadata
        sizes = [
            part.total_uncompressed_size
            for group in range(metadata.num_row_groups)
            for at in range(metadata.num_columns)
            if (part := metadata.row_group(group).column(at)).path_in_schema.split(".")[0] in wanted
            or part.path_in_schema in wanted
        ]
        if sum(sizes) > self._left:
            raise self._refuse_bomb()
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(self.count, 1) // max(sum(sizes), 1)))
        with self._name_damage(Unfinished):
            yield from self._file.iter_batches(rows, columns=list(columns), use_threads=False)

    def count_bytes(self, size: int) -> None:
        """Count the bytes of a row that was read. Raises Unfinished for a decompression bomb."""
        self._left -= size
        if self._left < 0:
            raise self._refuse_bomb()

    def lines(self) -> Iterator[bytes | None]:
        """Yield the column `line` of each row; None is a null. Raises as `batches` does."""
        self.refuse_other_lines()
        for batch in self.batches([LINE]):
            column = batch.column(0)
            column = getattr(column, "storage", column)  # of an extension type, such as JSON
            for value in column:
                given = value.as_py()
                text = given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given
                self.count_bytes(1 if text is None else len(text))
                yield text if text is None else text[:_KEPT_BYTES]

    def refuse_other_lines(self) -> None:
        """Raise UsageError unless the column `line` holds texts."""
        if LINE not in self.names:
            listed = ", ".join(map(printable, self.names[: limits.PROBLEMS])) or "none"
            raise UsageError(
                f"{self._path}: has no column `{LINE}` with the JSON text of each row; its columns:"
                f" {listed}",
                "give the Parquet file that finops run wrote, or its lines as JSON Lines",
            )
        kind = self.schema.field(LINE).type
        kind = getattr(kind, "storage_type", kind)
        kind = kind.value_type if self.arrow.types.is_dictionary(kind) else kind
        text = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
        if str(kind) not in text:
            raise UsageError(
                f"{self._path}: the column `{LINE}` has the type {kind}; accepted: string",
                "write the JSON text of each record into it",
            )

    def _refuse_repeated_names(self) -> None:
        if not self.names:
            raise UsageError(f"{self._path}: has no columns", _AGAIN)
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise UsageError(
                f"{self._path}: {times} columns are called {printable(name)}",
                "rename or drop all but one of them",
            )

    def _refuse_bomb(self) -> Unfinished:
        return Unfinished(
            f"{self._path}: unpacks to more than {limits.UNPACKED_TIMES} times its size",
            "write it as JSON Lines yourself if that is right, and give that file",
        )

    @contextmanager
    def _name_damage(self, kind: type[Unfinished | UsageError]) -> Iterator[None]:
        """Report the errors of pyarrow for a file that is not well formed."""
        try:
            yield
        except (self.arrow.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk
                raise
            why = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
            so_far = "; what was written so far is whole" if kind is Unfinished else ""
            raise kind(
                f"{self._path}: is a Parquet file that cannot be read ({why})", f"{_AGAIN}{so_far}"
            ) from error


def _find_dictionaries(metadata: Any) -> list[str]:
    """List the columns of texts that a row group keeps in a dictionary."""
    found: dict[str, None] = {}
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            part = metadata.row_group(group).column(at)
            is_text = part.physical_type == "BYTE_ARRAY" and "." not in part.path_in_schema
            if is_text and part.has_dictionary_page:
                found[part.path_in_schema] = None
    return list(found)


class LineColumn(io.RawIOBase):
    """The column `line` of a Parquet file as a file of lines.

    A newline within a text becomes a carriage return. JSON treats both alike: between values they
    are white space, within a string neither may stand.
    """

    def __init__(self, path: Path) -> None:
        rows = ParquetRows(path)
        rows.refuse_other_lines()
        self._lines = rows.lines()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # io gives a writable buffer
        if not self._rest:
            for line in self._lines:
                self._rest = memoryview((line or b"").replace(b"\n", b"\r") + b"\n")
                break
        piece = self._rest[: len(view)]
        self._rest = self._rest[len(piece) :]
        view[: len(piece)] = piece
        return len(piece)
