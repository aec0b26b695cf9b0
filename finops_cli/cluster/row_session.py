"""`finops generate` over several machines: connects, makes the parts, and puts them in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

import msgspec

from finops_cli.cluster.connect import (
    Needs,
    choose_nodes,
    connected,
    count_workers,
    list_nodes,
    refuse_unreachable,
)
from finops_cli.cluster.dispatch import Watchdog, dispatch, make_dataset, pool_of
from finops_cli.cluster.nodes import Expectation, check_nodes
from finops_cli.cluster.part_files import delete_parts, parts_root
from finops_cli.cluster.part_worker import refuse_failure
from finops_cli.cluster.row_parts import (
    RowFiles,
    RowPart,
    RowReport,
    RowSetup,
    RowWorker,
    cut_rows,
    decode_rows_report,
    encode_rows,
)
from finops_cli.cluster.worker_setup import is_bundled
from finops_cli.datasets.writer import DatasetOptions, Made
from finops_cli.errors import Unfinished
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.version import __version__

_DIGITS = 16
_NEEDS = Needs(1.0)
AnswerRows = Callable[[RowSetup, Sequence[RowPart]], Iterator[RowReport]]
"""Makes parts somewhere, in any order, and yields a report of each."""


class PartedRows:
    """Makes the rows of datasets in parts.

    The parts of a dataset stay until `complete`: a command that is killed before its files are
    complete goes on with them.
    """

    def __init__(self, folder: Path, kb: KnowledgeBase, answer: AnswerRows) -> None:
        self._folder = folder.absolute()
        self._kb = kb
        self._answer = answer
        self.reused = 0
        """The parts that an earlier command had finished."""
        self.made = 0
        """The parts that this one has finished."""

    def make_rows(self, order: DatasetOptions) -> Iterator[Made]:
        """Yield all rows of a dataset, a part at a time, in the order of their numbers.

        Raises Unfinished and MissingPiece.
        """
        files = self._open_files(order)
        setup = RowSetup(
            order=DatasetOptions(
                stage=order.stage,
                rows=order.rows,
                seed=order.seed,
                profile=order.profile,
                kb_dir=order.kb_dir.absolute(),
            ),
            files=files,
            has_bundled_rules=is_bundled(order.kb_dir),
            kb_sha256=self._kb.sha256,
        )
        parts = list(cut_rows(order.rows, self._kb.cluster.parts["rows"]))
        missing = [part for part in parts if files.read(part) is None]
        self.reused += len(parts) - len(missing)
        open_parts = {part.start for part in missing}
        reports = self._answer(setup, missing) if missing else iter(())
        for part in parts:
            while part.start in open_parts:
                report = next(reports)
                if report.failure is not None:
                    refuse_failure(report.place, report.failure)
                open_parts.discard(report.part.start)
                self.made += 1
            made = files.read(part)
            if made is None:
                raise Unfinished(
                    f"{files.path(part)}: is not what a worker wrote",
                    "nothing but finops may write in that folder; run the same command again",
                )
            yield made

    def _open_files(self, order: DatasetOptions) -> RowFiles:
        """Make the folder of a dataset, and delete the parts of another one of its stage."""
        depends = (__version__, order.stage, order.seed, order.profile, self._kb.sha256)
        digest = hashlib.sha256(msgspec.json.encode(depends)).hexdigest()[:_DIGITS]
        files = RowFiles(parts_root(self._folder / order.stage) / digest)
        if not files.folder.is_dir():
            delete_parts(self._folder / order.stage)
        files.folder.mkdir(parents=True, exist_ok=True)
        for left in files.folder.glob(".*"):  # of a worker that was killed
            left.unlink(missing_ok=True)
        return files

    def complete(self, stages: Sequence[str]) -> None:
        """Delete the parts of stages whose files are complete."""
        for stage in stages:
            delete_parts(self._folder / stage)


class RowsOnCluster(AbstractContextManager["RowsOnCluster"]):
    """Makes rows on a cluster, which is connected when the first part is missing.

    `workers` None: one for each processor.
    """

    def __init__(
        self, folder: Path, kb: KnowledgeBase, address: str | None, workers: int | None
    ) -> None:
        self._folder, self._kb = folder, kb
        self._address, self._most = address, workers
        self._workers = 0
        self._connection = ExitStack()
        self.rows = PartedRows(folder, kb, self._make)

    def _make(self, setup: RowSetup, parts: Sequence[RowPart]) -> Iterator[RowReport]:
        if not self._workers:
            self._connect(setup)
        watch = self._kb.cluster.watch
        watchdog = Watchdog(
            first_seconds=watch["first"], factor=watch["factor"], more_seconds=watch["more"]
        )
        pool = pool_of(min(self._workers, len(parts)))
        dataset = make_dataset(
            [encode_rows(part) for part in parts], RowWorker, setup, pool, _NEEDS
        )
        folder = setup.files.folder
        return dispatch(dataset, len(parts), folder, watchdog, decode_rows_report)

    def _connect(self, setup: RowSetup) -> None:
        refuse_unreachable(self._address, self._kb)
        self._connection.enter_context(connected(self._address))
        nodes = choose_nodes(list_nodes(), _NEEDS)
        check_nodes(
            nodes,
            Expectation(
                files=(),
                folder=setup.files.folder,
                mark=".driver",
                kb_dir=None if setup.has_bundled_rules else setup.order.kb_dir,
                kb_sha256=self._kb.sha256,
            ),
            float(self._kb.cluster.watch["node"]),
        )
        fitting = count_workers(_NEEDS, nodes)
        self._workers = min(fitting, self._most or fitting)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
