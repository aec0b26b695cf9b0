"""The lines of a run, each with its part of the plan of the book."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from finops_cli.book.copying import Copier
from finops_cli.book.index import BookIndex
from finops_cli.book.lone_fails import LoneFails
from finops_cli.book.summary import BookSummary
from finops_cli.files.jsonl import Batches, InputLine
from finops_cli.files.safe_io import reading
from finops_cli.pipeline.book_parts import Attached
from finops_cli.pipeline.input_source import InputDigest, InputSource, Wrapped
from finops_cli.pipeline.resume import BookNote


@dataclass(slots=True, kw_only=True)
class BookSource(Wrapped):
    """The lines of `inner`; the index has their parts once the book is planned."""

    inner: InputSource
    index: BookIndex
    digest_of_plan: str
    """SHA-256 of the files and the options of the plan."""
    other: tuple[Path, ...] = ()
    """The files of the plan, which an output must not replace."""
    note: BookNote | None = None
    """The facts that a later plan needs to copy lines of this one."""
    copier: Copier | None = None
    """Has the lines that are copied; None: every line is made."""
    lone: LoneFails | None = None
    """Has the lines that are planned when they are answered; None: the index has every part."""

    @property
    def other_files(self) -> tuple[Path, ...]:
        """The files of the inner source, and those of the plan."""
        return (*self.inner.other_files, *self.other)

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the lines after the first `skip`, each with its part."""
        found = self.inner.batches(skip, at_most)
        if self.copier is None:
            found.attach = self.index.attach if self.lone is None else self._attach
            return found
        attached = self.copier.attach(self.index.stream_attached(), skip)
        found.attach = lambda _, count: list(islice(attached, count))
        return found

    def count_into(self, summary: BookSummary) -> Callable[[Sequence[bytes]], None] | None:
        """Return what counts lone fails by their output lines; None without lone fails."""
        return None if self.lone is None else partial(self.lone.count, summary)

    def _attach(self, first: int, count: int) -> list[Attached | None]:
        """Return the parts of consecutive lines, from the index or for lone fails."""
        lone = [] if self.lone is None else self.lone.attach(first, count)
        planned = self.index.attach(first, count)
        return [mine or other for mine, other in zip(planned, lone, strict=True)]

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield every line."""
        yield from self.inner.lines()

    def digest(self) -> InputDigest:
        """Describe the content, with the files and the options of the plan."""
        return self.inner.digest()._replace(book=self.digest_of_plan, note=self.note)

    def report(self) -> list[str]:
        """Say what became of the lines, once they were read."""
        return self.inner.report()


def spool(path: Path | None, folder: Path) -> Path:
    """Copy stdin or a pipe to a file, because the lines of a book are read twice.

    A file is returned as it is.
    """
    if path is not None and path.is_file():
        return path
    copy = folder / "fails.jsonl"
    with reading(path) as given, copy.open("wb") as written:
        shutil.copyfileobj(given, written)
    return copy


def make_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the copy of a pipe, which is deleted when it is closed."""
    return tempfile.TemporaryDirectory(prefix="finops-book-")


def digest_plan(*parts: str) -> str:
    """Return the SHA-256 of the parts that a plan depends on."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
