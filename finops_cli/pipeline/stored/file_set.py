"""The input of a run in several files, one after the other, as if they were one.

Each line keeps its file and its number there. The digest is over the names and contents, so that
a file that was added, changed, renamed or removed is another input.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finops_cli.files.jsonl import Batch, Batches, FilePlace, InputLine
from finops_cli.files.terminal import name_in_utf8
from finops_cli.pipeline import resume
from finops_cli.pipeline.input_source import InputDigest, InputSource, PlainSource
from finops_cli.pipeline.stored.patterns import FoundFiles

FILES = "files"


@dataclass
class FileSet(PlainSource):
    """Files that were found, and a source for each."""

    path: Path
    """The folder or the pattern, as it was given."""
    found: FoundFiles
    sources: tuple[InputSource, ...]
    starts: list[int] = field(default_factory=list)
    """The number of the first line of each file that was begun, counted over all files from 1."""

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files, in order."""
        return self.found.paths

    @property
    def length(self) -> int | None:
        """The bytes of all files; None where one of them is packed or has rows."""
        lengths = [each.length for each in self.sources]
        known = [length for length in lengths if length is not None]
        has_rows = any(each.has_rows for each in self.sources)
        return None if has_rows or len(known) < len(lengths) else sum(known)

    def name_of(self, at: int) -> str:
        """Return the name of a file below the folder, in UTF-8."""
        name = os.path.relpath(self.found.paths[at], self.found.root)
        return name_in_utf8(name)

    def locate(self, number: int) -> FilePlace:
        """Return the file and the line there of a line that was read, by its number."""
        at = bisect_right(self.starts, number) - 1
        return FilePlace(self.name_of(at), number - self.starts[at] + 1)

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the lines after the first `skip`; a batch has lines of one file."""
        return _FileBatches(self, skip, at_most)

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield every line of every file."""
        self.starts, number = [], 0
        for source in self.sources:
            self.starts.append(number + 1)
            for line in source.lines():
                number += 1
                yield line

    def digest(self) -> InputDigest:
        """Return the bytes of all files, and the SHA-256 over their names and digests."""
        whole, length = hashlib.sha256(), 0
        for at, path in enumerate(self.found.paths):
            size, sha256 = resume.digest(path)
            length += size
            whole.update(f"{sha256} {size} {self.name_of(at)!r}\n".encode())
        return InputDigest(length, whole.hexdigest(), kind=FILES)

    def report(self) -> list[str]:
        """Say how many files were read, which were not, and what the files say of themselves."""
        said = [f"{self.path}: {len(self.sources):,} files"]
        if self.found.left_out:
            said.append(f"not read: {', '.join(self.found.left_out)}")
        return said + [text for each in self.sources for text in each.report()]


def locate_of(source: object) -> Callable[[int], FilePlace] | None:
    """Return what finds the file and line of a line, by its number; None for one file."""
    while source is not None and not isinstance(source, FileSet):
        source = getattr(source, "inner", None)
    return None if source is None else source.locate


class _FileBatches(Batches):
    """The batches of each file, numbered over all files."""

    def __init__(self, files: FileSet, skip: int, at_most: int) -> None:
        super().__init__(())
        self.transform: Callable[[int, InputLine], InputLine] | None = None
        self.attach: Callable[[int, int], Sequence[object]] | None = None
        self._files, self._size = files, at_most
        self._to_skip = skip
        self._current: Batches | None = None
        self._before = 0
        """Lines of the files before the current one."""
        self._bytes = 0
        self._read = 0
        """Lines of the current file so far, with those that are skipped."""
        self._last_end = 0
        self._dropped: Counter[str] = Counter()
        self._blank = 0
        files.starts = []

    @property
    def dropped(self) -> Counter[str]:
        """The marks before objects that were dropped, by kind."""
        current = Counter() if self._current is None else self._current.dropped
        return self._dropped + current

    @property
    def blank(self) -> int:
        """The lines so far that hold nothing."""
        return self._blank + (0 if self._current is None else self._current.blank)

    def __next__(self) -> Batch:
        while True:
            if self._current is None:
                self._open_next()
            assert self._current is not None  # noqa: S101 - just opened
            batch = next(self._current, None)
            if batch is not None:
                return self._renumber(batch)
            self._close()

    def _open_next(self) -> None:
        at = len(self._files.starts)
        if at == len(self._files.sources):
            raise StopIteration
        self._files.starts.append(self._before + 1)
        self._current = self._files.sources[at].batches(self._to_skip, self._size)

    def _renumber(self, batch: Batch) -> Batch:
        name = self._files.name_of(len(self._files.starts) - 1)
        place = FilePlace(name, batch.first)
        first, lines = self._before + batch.first, batch.lines
        self._read, self._last_end = batch.first + len(lines) - 1, batch.end
        self._to_skip = 0
        if self.transform is not None:
            lines = [self.transform(first + at, line) for at, line in enumerate(lines)]
        attached = None if self.attach is None else self.attach(first, len(lines))
        return Batch(first, lines, self._bytes + batch.end, attached, place)

    def _close(self) -> None:
        """Count a file that is at its end."""
        assert self._current is not None  # noqa: S101 - its end was just seen
        passed = self._current.passed
        self._dropped += self._current.dropped
        self._blank += self._current.blank
        self._to_skip = max(0, self._to_skip - passed)
        self._before += passed
        self._bytes += self._current.end
        self._current = None
