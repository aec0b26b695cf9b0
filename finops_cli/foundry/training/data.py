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
from finops_cli.foundry.dataset import Order, file_name
from finops_cli.foundry.rows import Row, Stage
from finops_cli.foundry.sentiment import EVAL_EVERY
from finops_cli.foundry.split import Split
from finops_cli.foundry.training.forms import Example, form_named
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
    """The rows of one split, counted from 0: `at` gives the example to learn or to measure the loss of, `row` the record to ask.

    Asking twice gives the same.
    """

    at: Callable[[int], Example]
    row: Callable[[int], Row]
    note: DataNote

    def __iter__(self) -> Iterator[Example]:
        return map(self.at, range(self.note.rows))


class Sets(NamedTuple):
    train: Rows
    eval: Rows


def sets_of(stage: Stage, data: Data, kb: Path, book: Book, stream_rows: tuple[int, int]) -> Sets:
    """The rows of both splits. `stream_rows`: how many a stream has for training and for evaluation.

    Raises UsageError naming file and line where a file is absent, empty, or holds other rows.
    """
    if data.source == "stream":
        return streams(Order(stage, 0, data.seed, data.profile, kb), book, stream_rows, data.form)
    return Sets(_file(stage, "train", Path(data.folder)), _file(stage, "eval", Path(data.folder)))


def streams(order: Order, book: Book, rows: tuple[int, int], form: str = "card") -> Sets:
    """Rows as the generator makes them. No row of one split is one of the other: their content tells them apart.

    Raises UsageError for an unknown form.
    """
    every = EVAL_EVERY if order.stage == "sentiment" else book.data.eval_every
    made_by = f"{order.stage}, form {form}, seed {order.seed}, profile {order.profile}, rules {book.version}"
    example, row = form_named(form)

    def split(name: Split, count: int, place: Callable[[int], int]) -> Rows:
        note = DataNote(name, count, stream=made_by)
        return Rows(lambda i: example(order, place(i), book), lambda i: row(order, place(i), book), note)

    train, evaluation = rows
    return Sets(split("train", train, lambda i: i + i // (every - 1)), split("eval", evaluation, lambda i: i * every + every - 1))


def _file(stage: Stage, split: Split, folder: Path) -> Rows:
    path = folder / file_name(stage, split)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file; make it: finops generate --stage {stage} -o {folder}") from error
    rows = [_row(path, number, line, stage, split) for number, line in enumerate(text.splitlines(), start=1)]
    if not rows:
        raise UsageError(f"{path}: holds no rows; make some: finops generate --stage {stage} -o {folder}")
    return Rows(rows.__getitem__, rows.__getitem__, DataNote(split, len(rows), path.name, hashlib.sha256(text).hexdigest()))


_DECODER = msgspec.json.Decoder(Row)


def _row(path: Path, number: int, line: bytes, stage: Stage, split: Split) -> Row:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: line {number}: is no row of `finops generate`: {error}") from error
    if (row.stage, row.split) != (stage, split):
        raise UsageError(f"{path}: line {number}: is a {row.stage} row of the {row.split} split")
    return row
