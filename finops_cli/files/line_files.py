"""Opens a file of lines however it is stored: plain, packed, or the column `line` of Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from finops_cli.domain import limits
from finops_cli.files.parquet_rows import LineColumn, is_parquet
from finops_cli.files.safe_io import reading
from finops_cli.files.unpacking import Packing, packing_of, unpacked

_HEAD_BYTES = 8


@contextmanager
def reading_lines(source: Path | None) -> Iterator[BinaryIO]:
    """Open `source`, or stdin when None, as lines: JSON Lines, also as .gz or .zst, or Parquet.

    The content decides, not the name. Raises UsageError when it cannot be read, MissingPiece where
    pyarrow is missing; reading raises Unfinished for packed data that is damaged.
    """
    if source is not None and is_parquet(source):
        with io.BufferedReader(LineColumn(source), limits.UNPACKING_BYTES) as file:
            yield cast("BinaryIO", file)
        return
    packing = None
    if source is not None and source.is_file():
        with source.open("rb") as file:
            packing = packing_of(file.read(_HEAD_BYTES))
    if source is not None and packing in (Packing.GZIP, Packing.ZSTD):
        with unpacked(source, packing) as file:
            yield file
        return
    with reading(source) as file:
        yield file
