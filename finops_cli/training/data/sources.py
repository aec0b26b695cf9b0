"""Where rows come from: the files that `finops generate` wrote, or the generator itself, a fresh
row for every place of every step.
"""

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
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.training.data.formats import ANSWERS, Example, format_named
from finops_cli.training.recipe_schema import Data, Settings

E = TypeVar("E", bound=Example)


class DataNote(Struct, frozen=True):
    """What the rows of one split are, for the record. Of a file: its name, rows and SHA-256; of a
    stream: what makes the same rows again.

    Of a stream that is cut into batches by tokens, `rows` counts the batches.
    """

    split: Split
    rows: int
    file: str | None = None
    sha256: str | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one split, counted from 0.

    Asking twice for one gives the same. `kinds`: further examples, by the name in `data.mix`.
    """

    at: Callable[[int], Row]
    note: DataNote
    kinds: dict[str, Callable[[int], Example]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Row]:
        return map(self.at, range(self.note.rows))


class Sets(NamedTuple):
    train: Rows
    eval: Rows


def sets_of(
    stage: StageName, data: Data, kb_dir: Path, kb: KnowledgeBase, stream_rows: tuple[int, int]
) -> Sets:
    """The rows of both splits. `stream_rows`: how many a stream has for training and for
    evaluation.

    Raises UsageError naming file and line where a file is absent, empty, or holds other rows.
    """
    if data.source == "stream":
        return streams(
            DatasetOptions(stage, 0, data.seed, data.profile, kb_dir), kb, stream_rows, data
        )
    if data.modelfile != stage:
        raise UsageError(
            f"data.modelfile is {data.modelfile}; the rows of a file are asked as those of {stage}"
        )
    return Sets(_file(stage, "train", Path(data.folder)), _file(stage, "eval", Path(data.folder)))


def streams(order: DatasetOptions, kb: KnowledgeBase, rows: tuple[int, int], data: Data) -> Sets:
    """Rows as the generator makes them. No row of one split is one of the other: their content
    tells them apart.

    Raises UsageError for an unknown form and an unknown kind in its mix.
    """
    every = stage_named(order.stage).eval_every(kb)
    made_by = (
        f"{order.stage}, form {data.form}, seed {order.seed}, profile {order.profile}, rules"
        f" {kb.version}"
    )
    form = format_named(data.form)
    train, evaluation = rows

    def learned(index: int) -> int:
        return index + index // (every - 1)

    def at(maker: Callable[..., E], place: Callable[[int], int]) -> Callable[[int], E]:
        def made(index: int) -> E:
            try:
                return maker(order, place(index), kb, data)
            except ValueError as error:  # what a working has no room for
                cure = "lower data.most_ftrs" if order.stage == "resolver" else ""
                raise UsageError(
                    f"data.form={data.form} cannot word example {index:,}: {error}", cure
                ) from error

        return made

    kinds = {kind: at(form.maker(kind), learned) for kind in data.mix or (ANSWERS,)}
    return Sets(
        Rows(at(form.row, learned), DataNote("train", train, stream=made_by), kinds),
        Rows(
            at(form.row, lambda i: i * every + every - 1),
            DataNote("eval", evaluation, stream=made_by),
        ),
    )


def vocabulary_texts(
    stage: StageName, settings: Settings, kb_dir: Path, kb: KnowledgeBase
) -> Iterator[str]:
    """What a vocabulary is learned from: whole rows of the stage itself, records and answers of
    another one.
    """
    data, vocabulary = settings.data, settings.base.vocabulary
    for of, rows in (vocabulary.rows if vocabulary is not None else {}).items():
        order = DatasetOptions(of, 0, data.seed, data.profile, kb_dir)
        if of == stage:
            own = streams(order, kb, (rows, 0), data).train
            yield from (
                message.content for row in own for message in (*row.prompt, *row.completion)
            )
        else:
            every = range(rows)
            yield from (
                text
                for row in (row_at(order, index, kb) for index in every)
                for text in (row.prompt[-1].content, row.answer)
            )


def _file(stage: StageName, split: Split, folder: Path) -> Rows:
    path = folder / file_name(stage, split)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: no such file", f"make it: finops generate --stage {stage} -o {folder}"
        ) from error
    rows = [
        _row(path, number, line, stage, split)
        for number, line in enumerate(text.splitlines(), start=1)
    ]
    if not rows:
        raise UsageError(
            f"{path}: holds no rows", f"make some: finops generate --stage {stage} -o {folder}"
        )
    return Rows(
        rows.__getitem__, DataNote(split, len(rows), path.name, hashlib.sha256(text).hexdigest())
    )


_DECODER = msgspec.json.Decoder(Row)


def _row(path: Path, number: int, line: bytes, stage: StageName, split: Split) -> Row:
    try:
        row = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: line {number}: is no row of `finops generate`: {error}"
        ) from error
    if (row.stage, row.split) != (stage, split):
        raise UsageError(f"{path}: line {number}: is a {row.stage} row of the {row.split} split")
    return row
