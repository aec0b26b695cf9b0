"""Read a user's own copy of financial_phrasebank (Malo and others, 2014) as sentences.

finops neither ships nor downloads it.

Four formats are accepted: the original text files (such as `Sentences_50Agree.txt`), with
`sentence@label` on each line; CSV, `label,sentence` without a header, or with a header that names
both columns in any order; the ZIP file of the authors; and Parquet with the same columns, whose
labels may be the numbers 0, 1 and 2. The originals are ISO 8859-1; a copy that is valid UTF-8 is
read as UTF-8. No script of a data set is ever run.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.datasets.sentiment.examples import Sentence
from finops_cli.datasets.sentiment.packed_phrasebank import (
    LabelledRow,
    OpenFile,
    open_member,
    parquet_rows,
)
from finops_cli.domain.finding import Damage
from finops_cli.domain.sentiment import LABELS, Label
from finops_cli.errors import UsageError
from finops_cli.files.csv_rows import csv_rows
from finops_cli.files.jsonl import lines_of
from finops_cli.verify.schemas import unusable

_CURE = "give financial_phrasebank as text, CSV, Parquet or the ZIP file of its authors"
_LABEL_COLUMNS, _SENTENCE_COLUMNS = ("label", "sentiment"), ("sentence", "text")
_A_LINE = "sentence@label, or in a CSV file label,sentence"
_ACCEPTED = f"one of {', '.join(LABELS)}"
_CHUNK = 1024 * 1024
_ZIP_MAGIC, _PARQUET_MAGIC = b"PK", b"PAR1"


class PhrasebankRead(Struct, frozen=True, kw_only=True):
    """The totals of a file.

    Rows are sentences, damaged lines and duplicates. A duplicate repeats text and label of an
    earlier row.
    """

    file: str
    rows: int
    sentences: int
    damaged: int
    duplicates: int


Item = Sentence | Damage | PhrasebankRead


class _First(NamedTuple):
    line: int
    label: Label


def read_phrasebank(path: Path) -> Iterator[Item]:
    """Yield sentences and damaged lines, then PhrasebankRead.

    `sentiment.text_split` gives their splits. Texts that differ only in case and spaces are the
    same text. Raises UsageError if `path` cannot be read, MissingPiece for Parquet without pyarrow.
    """
    try:
        file, rows = _open_rows(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", _CURE) from error
    seen: dict[str, _First] = {}
    counts = {Sentence: 0, Damage: 0, type(None): 0}
    for row in rows:
        item = row if isinstance(row, Damage) else _read(file, row, seen)
        counts[type(item)] += 1
        if item is not None:
            yield item
    sentences, damaged, duplicates = counts.values()
    yield PhrasebankRead(
        file=file,
        rows=sum(counts.values()),
        sentences=sentences,
        damaged=damaged,
        duplicates=duplicates,
    )


def _open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_rows(path: Path) -> tuple[str, Iterator[LabelledRow | Damage]]:
    """Return the name of the file in messages, and its rows, by its kind."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == _PARQUET_MAGIC:
        return str(path), parquet_rows(path)
    name = str(path)
    open_file: OpenFile = partial(_open_file, path)
    if head.startswith(_ZIP_MAGIC):
        name, open_file = open_member(path)
    encoding = _encoding(open_file)
    is_csv = name.lower().removesuffix(")").endswith(".csv")
    return name, (_csv if is_csv else _lines)(name, open_file, encoding)


def _read(file: str, row: LabelledRow, seen: dict[str, _First]) -> Sentence | Damage | None:
    """Return the sentence or the damage of a row; None for a duplicate."""
    text, word = " ".join(row.sentence.split()), row.label.strip().lower()
    try:
        label = msgspec.convert(word, Label)
    except msgspec.ValidationError:
        return Damage(
            file, row.line, (unusable("schema.enum", "label", row.label.strip(), _ACCEPTED),)
        )
    if not text or not text.isprintable():
        return Damage(
            file,
            row.line,
            (unusable("schema.format", "sentence", text, "a sentence of printable characters"),),
        )
    first = seen.setdefault(text.casefold(), _First(row.line, label))
    if first.line == row.line:
        return Sentence(text, label, "phrasebank", "")
    if first.label == label:
        return None
    accepted = f"each sentence with one label; line {first.line} has it as {first.label}"
    return Damage(file, row.line, (unusable("input.duplicate", "label", label, accepted),))


def _lines(name: str, open_file: OpenFile, encoding: str) -> Iterator[LabelledRow | Damage]:
    with open_file() as file:
        for number, (raw, _) in enumerate(lines_of(file), start=1):
            line = raw.decode(
                encoding, "replace"
            ).strip()  # replace: an over-long line is cut, maybe within a letter
            if not line:
                continue
            sentence, at, label = line.rpartition("@")
            yield LabelledRow(number, sentence, label) if at else _no_row(name, number, line)


def _csv(name: str, open_file: OpenFile, encoding: str) -> Iterator[LabelledRow | Damage]:
    """Read a CSV file.

    The first row gives the columns: by their names, or `label,sentence` if it has no names.
    """
    columns: tuple[int, int] | None = None
    with TextIOWrapper(open_file(), encoding, newline="") as text:
        for number, cells, fault in csv_rows(text, ","):
            if fault is not None:
                yield _no_row(name, number, fault)
                continue
            if columns is None:
                columns = _header(cells)
                if columns is not None:
                    continue
                columns = (0, 1)
            if len(cells) > max(columns):
                yield LabelledRow(number, cells[columns[1]], cells[columns[0]])
            else:
                yield _no_row(name, number, ",".join(cells))


def _header(cells: list[str]) -> tuple[int, int] | None:
    """Return the positions of label and sentence if `cells` are column names."""
    names = [cell.strip().lower() for cell in cells]
    labels = [place for place, name in enumerate(names) if name in _LABEL_COLUMNS]
    sentences = [place for place, name in enumerate(names) if name in _SENTENCE_COLUMNS]
    return (labels[0], sentences[0]) if labels and sentences else None


def _no_row(name: str, line: int, what: str) -> Damage:
    return Damage(name, line, (unusable("schema.format", "row", what, _A_LINE),))


def _encoding(open_file: OpenFile) -> str:
    """Detect the encoding: UTF-8 if all bytes are valid.

    Text in ISO 8859-1 with letters beyond ASCII is almost never valid UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_file() as file:
        try:
            for chunk in iter(partial(file.read, _CHUNK), b""):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "iso-8859-1"
    return "utf-8-sig"
