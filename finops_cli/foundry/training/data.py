"""Where rows come from: the files that `finops generate` wrote, or the generator itself, a fresh row for every place of every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.errors import UsageError
from finops_cli.foundry.dataset import Order, file_name, row_at
from finops_cli.foundry.rows import Row, Stage
from finops_cli.foundry.sentiment import EVAL_EVERY
from finops_cli.foundry.split import Split
from finops_cli.foundry.training.settings import Data
from finops_cli.kb.book import Book


class DataNote(Struct, frozen=True):
    """What the rows of one split are, for the record. Of a file: its name, rows and SHA-256; of a stream: what makes the same rows again."""

    split: Split
    rows: int
    file: str | None = None
    sha256: str | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one split. `at` gives row `i`, counted from 0; asking twice gives the same row."""

    at: Callable[[int], Row]
    note: DataNote

    def __iter__(self) -> Iterator[Row]:
        return map(self.at, range(self.note.rows))


class Sets(NamedTuple):
    train: Rows
    eval: Rows


def sets_of(stage: Stage, data: Data, kb: Path, book: Book, stream_rows: tuple[int, int]) -> Sets:
    """The rows of both splits. `stream_rows`: how many a stream has for training and for evaluation.

    Raises UsageError naming file and line where a file is absent, empty, or holds other rows.
    """
    if data.source == "stream":
        return streams(Order(stage, 0, data.seed, data.profile, kb), book, stream_rows)
    return Sets(_file(stage, "train", Path(data.folder)), _file(stage, "eval", Path(data.folder)))


def streams(order: Order, book: Book, rows: tuple[int, int]) -> Sets:
    """Rows as the generator makes them. No row of one split is one of the other: their content tells them apart."""
    every = EVAL_EVERY if order.stage == "sentiment" else book.data.eval_every
    made_by = f"{order.stage}, seed {order.seed}, profile {order.profile}, rules {book.version}"
    train, evaluation = rows
    return Sets(
        Rows(lambda i: row_at(order, i + i // (every - 1), book), DataNote("train", train, stream=made_by)),
        Rows(lambda i: row_at(order, i * every + every - 1, book), DataNote("eval", evaluation, stream=made_by)),
    )


def _file(stage: Stage, split: Split, folder: Path) -> Rows:
    path = folder / file_name(stage, split)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file; make it: finops generate --stage {stage} -o {folder}") from error
    rows = [_row(path, number, line, stage, split) for number, line in enumerate(text.splitlines(), start=1)]
    if not rows:
        raise UsageError(f"{path}: holds no rows; make some: finops generate --stage {stage} -o {folder}")
    return Rows(rows.__getitem__, DataNote(split, len(rows), path.name, hashlib.sha256(text).hexdigest()))


_DECODER = msgspec.json.Decoder(Row)


def _row(path: Path, number: int, line: bytes, stage: Stage, split: Split) -> Row:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: line {number}: is no row of `finops generate`: {error}") from error
    if (row.stage, row.split) != (stage, split):
        raise UsageError(f"{path}: line {number}: is a {row.stage} row of the {row.split} split")
    return row
