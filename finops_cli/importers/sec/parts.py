"""The parts of a fails-to-deliver file: one for each header, where files were joined to one.

A part is read alone, so that its trailer lines count its own rows, and parts need no order.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.recognise import FileKind
from finops_cli.importers.market_text import OpenText, TextFile, list_files, open_text

HEADER_START = b"SETTLEMENT DATE|CUSIP|"
_CURE = "give a fails-to-deliver file of the SEC: text, or packed as .zip or .gz"


class SecPart(NamedTuple):
    """The rows below one header: the bytes from `start` up to `end` of a text."""

    file: TextFile
    start: int = 0
    end: int | None = None
    """None: up to the end of the text."""
    first_line: int = 1

    @property
    def shown(self) -> str:
        """The file in a message."""
        return self.file.shown

    @property
    def name(self) -> str:
        """The file in the origin of a record."""
        return self.file.name


def list_parts(paths: Sequence[Path]) -> list[SecPart]:
    """List the parts of all files. Raises UsageError for a file that cannot be read."""
    files = [file for path in paths for file in list_files(path, _CURE)]
    return [part for file in files for part in _parts_of(file)]


@contextmanager
def open_part(part: SecPart) -> Iterator[tuple[OpenText, io.RawIOBase]]:
    """Open the text of a part, and its bytes."""
    with open_text(part.file) as text:
        skipped = 0
        while skipped < part.start:
            piece = text.read(min(limits.UNPACKING_BYTES, part.start - skipped))
            if not piece:
                break
            skipped += len(piece)
        yield text, text if part.end is None else _Window(text, part.end - part.start)


def _parts_of(file: TextFile) -> Iterator[SecPart]:
    """Yield the parts of a text; a header may also follow a line without its own end."""
    with open_text(file) as text:
        if text.kind is FileKind.THRESHOLD_LIST:
            raise UsageError(
                f"{file.shown} is a threshold list, not a fails-to-deliver file",
                f"give it as --threshold-list {file.path}",
            )
        starts = list(_find_headers(text, file.shown))
    if not starts or starts[0][0] > 0:
        starts.insert(0, (0, 1))
    for (start, line), after in zip(starts, [*starts[1:], None], strict=True):
        yield SecPart(file, start, None if after is None else after[0], line)


def _find_headers(text: OpenText, shown: str) -> Iterator[tuple[int, int]]:
    """Yield the place in bytes and the line number of each header."""
    place, line, found = 0, 1, 0
    kept = b""
    while piece := text.read(limits.UNPACKING_BYTES):
        piece = kept + piece
        at = counted = 0
        while (at := piece.find(HEADER_START, at)) >= 0:
            line += piece.count(b"\n", counted, at)
            counted, found = at, found + 1
            if found > limits.ARCHIVE_FILES:
                raise UsageError(
                    f"{shown}:{line}: the file has more than {limits.ARCHIVE_FILES:,} headers",
                    "give the files that were joined one by one",
                )
            yield place + at, line
            at += len(HEADER_START)
        done = max(len(piece) - len(HEADER_START) + 1, counted)
        line += piece.count(b"\n", counted, done)
        place += done
        kept = piece[done:]


class _Window(io.RawIOBase):
    """The next bytes of a stream, up to a number of them."""

    def __init__(self, source: io.RawIOBase, size: int) -> None:
        self._source = source
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # io gives a writable buffer
        piece = self._source.read(min(len(view), self._left)) or b""
        self._left -= len(piece)
        view[: len(piece)] = piece
        return len(piece)
