"""The sources of training rows: files that `finops generate` wrote, or a stream of new rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from finops_cli.datasets.rows import Row
from finops_cli.datasets.splits import Split
from finops_cli.datasets.stages import stage_named
from finops_cli.datasets.writer import DatasetOptions, file_name, row_at
from finops_cli.domain.decode_errors import describe_decode_error
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.formats import ANSWERS, Example, open_format
from finops_cli.training.recipe_schema import Data, Settings

E = TypeVar("E", bound=Example)


class DataNote(Struct, frozen=True, kw_only=True):
    """Describes the rows of one split, for the record of a training run."""

    split: Split
    rows: int
    """The number of rows, or of batches for a stream that is cut into batches by tokens."""
    file: str | None = None
    sha256: str | None = None
    stream: str | None = None
    """The settings that produce the same stream."""


@dataclass(frozen=True, slots=True)
class RowSource:
    """The rows of one split, by index from 0. The same index always gives the same row."""

    at: Callable[[int], Row]
    note: DataNote
    kinds: dict[str, Callable[[int], Example]] = field(default_factory=dict)
    """Makers of each kind of example, by the name in `data.mix`."""

    def __iter__(self) -> Iterator[Row]:
        return map(self.at, range(self.note.rows))


class RowSources(NamedTuple):
    """The rows to train on and the rows to evaluate on."""

    train: RowSource
    eval: RowSource


def open_row_sources(
    stage: StageName, data: Data, kb_dir: Path, kb: KnowledgeBase, stream_sizes: tuple[int, int]
) -> RowSources:
    """Open the rows of both splits. `stream_sizes` are the lengths of the two streams.

    Raises UsageError with file and line if a file is missing, is empty, or has rows of another set.
    """
    if data.source == "stream":
        return stream_rows(
            DatasetOptions(
                stage=stage, rows=0, seed=data.seed, profile=data.profile, kb_dir=kb_dir
            ),
            kb,
            stream_sizes,
            data,
        )
    if data.modelfile != stage:
        raise UsageError(
            f"data.modelfile is {data.modelfile}. Expected {stage}: the rows of a file have its"
            " prompt."
        )
    return RowSources(
        _read_file(stage, "train", Path(data.folder)), _read_file(stage, "eval", Path(data.folder))
    )


def stream_rows(
    order: DatasetOptions, kb: KnowledgeBase, rows: tuple[int, int], data: Data
) -> RowSources:
    """Make rows with the generator. The splits share no row: a row's content decides its split.

    Raises UsageError for an unknown format and for an unknown kind in its mix.
    """
    every = stage_named(order.stage).eval_every(kb)
    made_by = (
        f"{order.stage}, format {data.format}, seed {order.seed}, profile {order.profile}, rules"
        f" {kb.version}"
    )
    example_format = open_format(order, data, kb)
    train, evaluation = rows

    def train_index(index: int) -> int:
        """Skip the indexes of the evaluation split."""
        return index + index // (every - 1)

    def at(maker: Callable[[int], E], place: Callable[[int], int]) -> Callable[[int], E]:
        def make(index: int) -> E:
            try:
                return maker(place(index))
            except ValueError as error:  # it does not fit into the scratchpad
                raise UsageError(
                    f"data.format={data.format} cannot word example {index:,}: {error}",
                    example_format.cure,
                ) from error

        return make

    kinds = {
        kind: at(example_format.find_maker(kind), train_index) for kind in data.mix or (ANSWERS,)
    }
    return RowSources(
        RowSource(
            at(example_format.make_row, train_index),
            DataNote(split="train", rows=train, stream=made_by),
            kinds,
        ),
        RowSource(
            at(example_format.make_row, lambda i: i * every + every - 1),
            DataNote(split="eval", rows=evaluation, stream=made_by),
        ),
    )


def read_vocabulary_texts(
    stage: StageName, settings: Settings, kb_dir: Path, kb: KnowledgeBase
) -> Iterator[str]:
    """Yield the texts to learn a vocabulary from.

    These are whole rows of the stage itself, and the records and answers of another stage.
    """
    data, vocabulary = settings.data, settings.base.vocabulary
    for source, rows in (vocabulary.rows if vocabulary is not None else {}).items():
        order = DatasetOptions(
            stage=source, rows=0, seed=data.seed, profile=data.profile, kb_dir=kb_dir
        )
        if source == stage:
            own = stream_rows(order, kb, (rows, 0), data).train
            yield from (
                message.content for row in own for message in (*row.prompt, *row.completion)
            )
        else:
            yield from (
                text
                for row in (row_at(order, index, kb) for index in range(rows))
                for text in (row.prompt[-1].content, row.answer)
            )


def _read_file(stage: StageName, split: Split, folder: Path) -> RowSource:
    path = folder / file_name(stage, split)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: no such file", f"finops generate --stage {stage} -o {folder}"
        ) from error
    rows = [
        _read_row(path, number, line, stage, split)
        for number, line in enumerate(text.splitlines(), start=1)
    ]
    if not rows:
        raise UsageError(f"{path} has no rows", f"finops generate --stage {stage} -o {folder}")
    return RowSource(
        rows.__getitem__,
        DataNote(
            split=split, rows=len(rows), file=path.name, sha256=hashlib.sha256(text).hexdigest()
        ),
    )


_DECODER = msgspec.json.Decoder(Row)


def _read_row(path: Path, number: int, line: bytes, stage: StageName, split: Split) -> Row:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: line {number}: is not a row of `finops generate`:"
            f" {describe_decode_error(error)}",
            "give a file that `finops generate` wrote",
        ) from error
    if (row.stage, row.split) != (stage, split):
        raise UsageError(
            f"{path}: line {number}: is a {row.stage} row of the {row.split} split",
            "give the rows of this stage and split",
        )
    return row
