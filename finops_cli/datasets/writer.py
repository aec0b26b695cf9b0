"""Write a dataset.

Rows are made in parallel, verified, and written in the order of their index. Each stage has two
files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, get_args

from finops_cli.datasets.coverage import Counts
from finops_cli.datasets.rows import Row
from finops_cli.datasets.splits import Split
from finops_cli.datasets.stage_type import Features, Stage
from finops_cli.datasets.stages import STAGES, features, stage_named, verify_row
from finops_cli.datasets.triage_examples import Profile
from finops_cli.domain import exact_json
from finops_cli.domain.stage_names import StageName
from finops_cli.errors import FinopsError
from finops_cli.files.safe_io import whole
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.parallel import in_processes

_PIECE = 100
"""The number of rows that a process makes at a time."""


class BadExample(FinopsError):
    """A generated row that did not pass the checker. This is a fault of finops; the row is not
    written.
    """


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """The options of a dataset.

    The same options give the same bytes, whatever the number of workers.
    """

    stage: StageName
    rows: int
    seed: int
    profile: Profile
    kb_dir: Path


@dataclass(slots=True)
class Written:
    """A written dataset: rows and SHA-256 by file, and all counts."""

    rows: Counter[str] = field(default_factory=Counter)
    digests: dict[str, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counter)


class Made(NamedTuple):
    """Some rows of a dataset, encoded."""

    lines: list[tuple[Split, bytes]]
    counts: Counts


def file_name(stage: StageName, split: Split) -> str:
    """Return the file name of a stage and split."""
    return f"{stage}-{split}.jsonl"


MakeRows = Callable[[DatasetOptions], Iterator[Made]]
"""Makes all rows of a dataset in the order of their index, some at a time."""


def write_dataset(
    order: DatasetOptions,
    folder: Path,
    make_rows: MakeRows,
    watch: Callable[[int], None],
) -> Written:
    """Make the rows of `order` and write them to `folder`.

    `watch` receives the number of finished rows.

    Raises BadExample, Unfinished.
    """
    with _files(order.stage, folder) as files:
        for made in make_rows(order):
            files.written.counts.update(made.counts)
            for split, line in made.lines:
                files.write(split, line)
            watch(files.written.rows.total())
    return files.written


def write_rows(stage: StageName, rows: Iterable[tuple[Row, Features]], folder: Path) -> Written:
    """Write finished rows, each with its features, as the files of `stage`."""
    with _files(stage, folder) as files:
        for row, pairs in rows:
            files.write(row.split, exact_json.encode(row) + b"\n")
            files.written.counts.update([("split", row.split), *pairs])
    return files.written


@dataclass
class _Files:
    """The two open files of a stage, and the counts of their rows."""

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
        """Flush both files, so that neither gets its final name if the disk is too full for the
        other.
        """
        for split, path in self.paths.items():
            self.open[split].flush()
            self.written.digests[path.name] = self._hashes[split].hexdigest()


@contextmanager
def _files(stage: StageName, folder: Path) -> Iterator[_Files]:
    """Open the two files of a stage. They get their final names when both are complete."""
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


def make_here(order: DatasetOptions, workers: int) -> Iterator[Made]:
    """Make the rows of `order` in processes of this machine."""
    pieces = (
        range(start, min(start + _PIECE, order.rows)) for start in range(0, order.rows, _PIECE)
    )
    if workers > 1:
        yield from in_processes(
            _make_here, pieces, workers, _start, (order, stage_named(order.stage))
        )
        return
    kb = load_kb(order.kb_dir)
    for indexes in pieces:
        yield make(order, indexes, kb)


def make(order: DatasetOptions, indexes: range, kb: KnowledgeBase) -> Made:
    """Make the rows of `indexes` and verify each from its own texts. Raises BadExample."""
    made = Made([], Counter())
    for index in indexes:
        row = row_at(order, index, kb)
        found = verify_row(row, kb)
        if found:
            raise BadExample(
                f"{row.id} does not pass its check ({found[0].message}); nothing after it was"
                " written"
            )
        made.counts.update(features(row, kb))
        made.lines.append((row.split, exact_json.encode(row) + b"\n"))
    return made


def row_at(order: DatasetOptions, index: int, kb: KnowledgeBase) -> Row:
    """Make row `index` of a dataset, counted over both splits.

    It depends only on stage, seed, profile and index.
    """
    return stage_named(order.stage).make_row(index, order.seed, kb, order.profile)


_here: tuple[DatasetOptions, KnowledgeBase]


def _start(order: DatasetOptions, stage: Stage) -> None:
    """Prepare a worker process.

    The process receives the stage, because its own table has only the stages of finops.
    """
    global _here  # the initializer of a pool has no other way to hand over its work
    STAGES[stage.name] = stage
    _here = (order, load_kb(order.kb_dir))


def _make_here(indexes: range) -> Made:
    order, kb = _here
    return make(order, indexes, kb)
