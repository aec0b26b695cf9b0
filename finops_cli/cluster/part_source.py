"""The input of a run as parts: of the file itself if it has the lines, else of copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from finops_cli.cluster.parts import CutPart, PartSize, cut_batches, cut_file
from finops_cli.files.jsonl import BATCH_LINES, Batches, Lines
from finops_cli.files.text_blocks import PastedLines
from finops_cli.importers.joins.joined_source import JoinedSource
from finops_cli.pipeline.input_source import InputSource, JsonLines


class PartSource:
    """Cuts the lines of a run into parts."""

    def __init__(self, given: InputSource, size: PartSize) -> None:
        self._given = given
        self._size = size
        self._lines: Lines | Batches | None = None
        self._is_looked_at = False
        self._path: Path | None = None

    @property
    def path(self) -> Path | None:
        """The file whose lines are answered as they stand there; None: each part is copied.

        The first call may read the whole input, for the receives in it.
        """
        if not self._is_looked_at:
            self._path, self._is_looked_at = plain_file(self._given), True
        return self._path

    @property
    def dropped(self) -> Counter[str]:
        """The marks that were dropped so far, by kind."""
        return Counter() if self._lines is None else self._lines.dropped

    @property
    def blank(self) -> int:
        """The blank lines so far."""
        return 0 if self._lines is None else self._lines.blank

    def cut(self, skip: int = 0) -> Iterator[CutPart]:
        """Yield the parts that have lines after the first `skip`, in order."""
        return (cut for cut in self._cut_all() if cut.part.end > skip + 1)

    def _cut_all(self) -> Iterator[CutPart]:
        path = self.path
        if path is not None:
            with path.open("rb") as file:
                self._lines = lines = PastedLines(file)
                yield from cut_file(lines, path, self._size)
            return
        most = BATCH_LINES if self._size.lines is None else min(BATCH_LINES, self._size.lines)
        self._lines = batches = self._given.batches(0, most)
        yield from cut_batches(batches, self._size)


def plain_file(source: InputSource) -> Path | None:
    """Return the file whose lines a run answers unchanged; None where they are made of more."""
    if isinstance(source, JoinedSource):
        if source.changes_lines():
            return None
        source = source.inner
    if not isinstance(source, JsonLines) or source.path is None or not source.path.is_file():
        return None
    is_packed = source.recognised is not None and source.recognised.packing is not None
    return None if is_packed else source.path.absolute()
