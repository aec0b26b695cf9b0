"""The forms of an output that have no valid end before all of it is there: Parquet, .gz, .zst."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

from finops_cli.files.arrow import load_pyarrow

_LEVEL = 6


class OutputForm(StrEnum):
    """A form of an output that is made at the end of a run."""

    PARQUET = "Parquet"
    GZIP = "gzip"
    ZSTD = "Zstandard"


_SUFFIXES = {".parquet": OutputForm.PARQUET, ".gz": OutputForm.GZIP, ".zst": OutputForm.ZSTD}


def form_of_suffix(output: str | Path | None) -> OutputForm | None:
    """Return the form that the suffix of a file names; None for a file of plain lines."""
    return None if output is None else _SUFFIXES.get(Path(output).suffix.lower())


def refuse_without_pyarrow(form: OutputForm, output: Path) -> None:
    """Raise MissingPiece where a form needs pyarrow and it is not installed."""
    if form is not OutputForm.GZIP:
        load_pyarrow(f"-o {output}: {form} needs pyarrow")


def pack_lines(form: OutputForm, lines: Iterable[bytes], out: BinaryIO) -> None:
    """Write lines, each with its newline, packed as gzip or Zstandard.

    Equal lines give equal bytes: the packed file has no name and no time.
    """
    if form is OutputForm.GZIP:
        with gzip.GzipFile("", "wb", _LEVEL, out, mtime=0) as packed:
            packed.writelines(lines)
        return
    arrow = load_pyarrow("Zstandard needs pyarrow")
    sink = arrow.PythonFile(KeptOpen(out), "w")
    with arrow.CompressedOutputStream(sink, "zstd") as packed, io.BufferedWriter(packed) as pieces:
        pieces.writelines(lines)


class KeptOpen:
    """A file that stays open when pyarrow closes it, and keeps the error of a full disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.closed = False

    def write(self, data: object) -> int:
        """Write all of `data`, which pyarrow gives as a buffer."""
        return self._file.write(cast("bytes", memoryview(data)))  # type: ignore[arg-type]

    def flush(self) -> None:
        """Pass what was written on to the system."""
        self._file.flush()

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def close(self) -> None:
        """Mark the file as closed."""
        self.closed = True

    def readable(self) -> bool:
        """Return false."""
        return False

    def writable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return false."""
        return False
