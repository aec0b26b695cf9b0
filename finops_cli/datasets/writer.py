"""Writes a data set: rows made in parallel, verified before they are written, in index order, two
files a stage.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, get_args

from finops_cli.datasets.coverage import Counts, features
from finops_cli.datasets.rows import Row, Stage, faults_of, resolver_row, sentiment_row, triage_row
from finops_cli.datasets.sentiment.examples import sentence
from finops_cli.datasets.sentiment.grammar import load_grammar
from finops_cli.datasets.splits import Split, wanted
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain import exact_json
from finops_cli.errors import FinopsError
from finops_cli.files.safe_io import whole
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.parallel import in_processes

_PIECE = 100
"""Rows made in one go by one process."""


class BadExample(FinopsError):
    """A generated row did not pass the checker: a fault of finops, never written."""


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What to make. The same order gives the same bytes, whatever the number of workers."""

    stage: Stage
    rows: int
    seed: int
    profile: Profile
    kb_dir: Path


@dataclass(slots=True)
class Written:
    """What came of an order: rows and SHA-256 by file, and everything that was counted."""

    rows: Counter[str] = field(default_factory=Counter)
    digests: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counter)


class Made(NamedTuple):
    lines: list[tuple[Split, bytes]]
    counts: Counts


def file_name(stage: Stage, split: Split) -> str:
    return f"{stage}-{split}.jsonl"


def write_dataset(
    order: DatasetOptions, folder: Path, workers: int, watch: Callable[[int], None]
) -> Written:
    """Make the rows of `order` and write them to `folder`; `watch` is told how many are done.

    Raises BadExample, Unfinished.
    """
    with _files(order.stage, folder) as files:
        for made in _made(order, workers):
            files.written.counts.update(made.counts)
            for split, line in made.lines:
                files.write(split, line)
            watch(files.written.rows.total())
    return files.written


def write_rows(
    stage: Stage, rows: Iterable[tuple[Row, list[tuple[str, str]]]], folder: Path
) -> Written:
    """Write ready rows, each with its facts, as the files of `stage`."""
    with _files(stage, folder) as files:
        for row, shown in rows:
            files.write(row.split, exact_json.encode(row) + b"\n")
            files.written.counts.update(shown)
    return files.written


@dataclass
class _Files:
    """The two open files of a stage, and what went into them."""

    paths: dict[Split, Path]
    open: dict[Split, BinaryIO]
    written: Written = field(default_factory=Written)

    def __post_init__(self) -> None:
        self._hashes = {split: hashlib.sha256() for split in self.paths}

    def write(self, split: Split, line: bytes) -> None:
        self.open[split].write(line)
        self._hashes[split].update(line)
        self.written.rows[self.paths[split].name] += 1

    def finish(self) -> None:
        """Both files down to the last byte, so that neither takes its name when the other does not
        fit on the disk.
        """
        for split, path in self.paths.items():
            self.open[split].flush()
            self.written.digests[path.name] = self._hashes[split].hexdigest()


@contextmanager
def _files(stage: Stage, folder: Path) -> Iterator[_Files]:
    """The two files of a stage, under their names only when both are whole."""
    paths: dict[Split, Path] = {
        split: folder / file_name(stage, split) for split in get_args(Split)
    }
    with ExitStack() as stack:
        files = _Files(
            paths, {split: stack.enter_context(whole(path)) for split, path in paths.items()}
        )
        yield files
        files.finish()
    for path in paths.values():
        path.with_suffix(".parquet").unlink(missing_ok=True)  # it would hold other rows


def _made(order: DatasetOptions, workers: int) -> Iterator[Made]:
    pieces = (
        range(start, min(start + _PIECE, order.rows)) for start in range(0, order.rows, _PIECE)
    )
    if workers > 1:
        yield from in_processes(_make_here, pieces, workers, _start, (order,))
        return
    kb = load_kb(order.kb_dir)
    for indexes in pieces:
        yield make(order, indexes, kb)


def make(order: DatasetOptions, indexes: range, kb: KnowledgeBase) -> Made:
    """The rows of `indexes`, each judged from its own texts before it counts. Raises BadExample."""
    made = Made([], Counter())
    for index in indexes:
        row = row_at(order, index, kb)
        found = faults_of(row, kb)
        if found:
            raise BadExample(
                f"{row.id} does not pass its check ({found[0].message}); nothing after it was"
                " written"
            )
        made.counts.update(features(row, kb))
        made.lines.append((row.split, exact_json.encode(row) + b"\n"))
    return made


def row_at(order: DatasetOptions, index: int, kb: KnowledgeBase) -> Row:
    """Row `index` of a set, counted over both splits: it depends on stage, seed, profile and index
    alone.
    """
    if order.stage == "triage":
        return triage_row(index, order.seed, kb, order.profile)
    if order.stage == "resolver":
        return resolver_row(index, order.seed, kb)
    split = wanted(index, kb.datasets.eval_every)
    within = (
        index // kb.datasets.eval_every
        if split == "eval"
        else index - index // kb.datasets.eval_every
    )
    return sentiment_row(
        f"S-{order.seed}-{index:08d}", sentence(within, order.seed, split, load_grammar())
    )


_here: tuple[DatasetOptions, KnowledgeBase]


def _start(order: DatasetOptions) -> None:
    global _here  # a pool's initializer can hand its work over in no other way
    _here = (order, load_kb(order.kb_dir))


def _make_here(indexes: range) -> Made:
    order, kb = _here
    return make(order, indexes, kb)
