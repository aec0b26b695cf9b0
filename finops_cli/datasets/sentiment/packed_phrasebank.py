"""Copies of financial_phrasebank in a ZIP file or in Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import BadZipFile, ZipFile

from finops_cli import extras
from finops_cli.errors import MissingPiece, UsageError

OpenFile = Callable[[], BinaryIO]
_PREFERRED = "sentences_50agree.txt"
"""The file of the authors with every sentence; the others are parts of it."""
_MOST_BYTES = 256 * 1024 * 1024
_LABEL_COLUMNS, _SENTENCE_COLUMNS = ("label", "sentiment"), ("sentence", "text")
_NUMBERED = {"0": "negative", "1": "neutral", "2": "positive"}
"""The labels of the copy on Hugging Face."""


class LabelledRow(NamedTuple):
    """A row as the file has it."""

    line: int
    sentence: str
    label: str


def open_member(path: Path) -> tuple[str, OpenFile]:
    """Return the name and the content of the file in an archive that has the sentences.

    It is read into memory. Raises UsageError if it is not clear which file that is.
    """
    try:
        with ZipFile(path) as archive:
            members = [
                each
                for each in archive.infolist()
                if each.filename.lower().endswith((".txt", ".csv"))
                and not each.filename.startswith("__MACOSX/")
                and "readme" not in each.filename.lower()
                and "license" not in each.filename.lower()
            ]
            preferred = [
                each for each in members if each.filename.lower().endswith(_PREFERRED)
            ] or members
            if len(preferred) != 1:
                shown = ", ".join(each.filename for each in members) or "none"
                raise UsageError(
                    f"{path}: expected one file of sentences, found {shown}",
                    "unpack it and give the file",
                )
            [chosen] = preferred
            if chosen.file_size > _MOST_BYTES:
                raise UsageError(f"{path}: {chosen.filename} is too large", "unpack it first")
            content = archive.read(chosen)
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{path}: cannot be unpacked ({error})", "unpack it first") from error
    return f"{path} ({chosen.filename})", lambda: BytesIO(content)


def parquet_rows(path: Path) -> Iterator[LabelledRow]:
    """Yield the rows of a Parquet file, one block in memory at a time.

    Raises MissingPiece without pyarrow, UsageError for a file without the two columns.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingPiece(f"{path}: Parquet needs pyarrow", extras.cure("data")) from error
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            label = _column(path, names, _LABEL_COLUMNS)
            sentence = _column(path, names, _SENTENCE_COLUMNS)
            number = 0
            for block in file.iter_batches(columns=[sentence, label]):
                for row in block.to_pylist():
                    number += 1
                    word = str(row[label])
                    yield LabelledRow(number, str(row[sentence] or ""), _NUMBERED.get(word, word))
    except pa.ArrowException as error:
        raise UsageError(f"{path}: cannot be read ({error})", "write it again") from error


def _column(path: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    found = next((name for name in names if name.lower() in wanted), None)
    if found is None:
        raise UsageError(
            f"{path}: has no column {' or '.join(wanted)}; its columns are {', '.join(names)}",
            "rename the columns to sentence and label",
        )
    return found
