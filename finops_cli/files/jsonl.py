"""Reads lines from a file or a stream; no line takes more memory than the limit of a line.

A stream, such as a pipe, may keep its reader waiting. `Lines` and `Batches` know whether the next
line is there, so that everything that has come can be answered before they wait.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from time import sleep
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage

if TYPE_CHECKING:
    from io import BufferedReader

BATCH_LINES = 256
BATCH_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_KEPT_BYTES = limits.LINE_BYTES + 8
"""The part of a line that is kept: over the limit, also after its marks are dropped."""
_PAUSE_SECONDS = 0.02
RECORD_SEPARATOR = b"\x1e"
"""The mark that RFC 7464 puts before each object of a JSON text sequence."""
_MARKS = {"record separators": RECORD_SEPARATOR, "byte-order marks": codecs.BOM_UTF8}
_UNUSUAL = frozenset(mark[0] for mark in _MARKS.values()) | frozenset(b" \t\r\x0b\x0c")
"""The first bytes of lines that may be blank or begin with a mark."""


class Lines(Iterator[tuple[bytes, int]]):
    """The lines of a source without their newlines, each with its length in the input in bytes.

    A line over the limit is cut just after it. Marks before an object are dropped and counted.
    `is_start`: the source begins with the first line of its text.
    """

    def __init__(self, source: BinaryIO, *, is_start: bool = True) -> None:
        self.dropped: Counter[str] = Counter()
        """The marks before objects that were dropped, by kind."""
        self.blank = 0
        """The lines so far that hold nothing."""
        self._source = cast("BufferedReader", source)
        self._stream = _stream_of(source)
        self._can_poll = self._stream is not None
        self._complete: deque[tuple[bytes, int]] = deque()
        self._rest = bytearray()
        self._rest_bytes = 0
        self._is_first = is_start
        self._ended = False

    def __next__(self) -> tuple[bytes, int]:
        while not self._complete:
            if self._ended:
                raise StopIteration
            self._read()
        line, consumed = self._complete.popleft()
        if not line or line[0] in _UNUSUAL or self._is_first:
            line = self._drop_marks(line)
        return line, consumed

    @property
    def may_wait(self) -> bool:
        """Return true for a pipe or a terminal; a file is never waited for."""
        return self._stream is not None

    def has_next_now(self) -> bool:
        """Return true if the next line, or the end, is there without waiting."""
        while not self._complete and not self._ended:
            if self._stream is not None and not self._is_readable(self._stream):
                return False
            self._read()
        return True

    def wait(self, bell: int) -> bool:
        """Wait for the next line or the end (true), or until `bell` can be read (false)."""
        while not self.has_next_now():
            if self._stream is None or not self._can_poll:
                sleep(_PAUSE_SECONDS)
                return False
            if self._stream not in select.select([self._stream, bell], [], [])[0]:
                return False
        return True

    def _is_readable(self, stream: int) -> bool:
        """Return true if a read does not wait; false also where the system cannot tell."""
        if self._can_poll:
            try:
                return bool(select.select([stream], [], [], 0)[0])
            except (OSError, ValueError):  # Windows polls sockets only
                self._can_poll = False
        return False

    def _read(self) -> None:
        """Read what is there, and wait where nothing is."""
        chunk = self._source.read1(_READ_BYTES)
        *pieces, last = chunk.split(b"\n")
        for piece in pieces:
            if self._rest_bytes:
                self._keep(piece)
                self._complete.append((bytes(self._rest), self._rest_bytes + 1))
                self._rest.clear()
                self._rest_bytes = 0
            else:
                self._complete.append((piece, len(piece) + 1))
        self._keep(last)
        if not chunk:
            self._ended = True
            if self._rest_bytes:
                self._complete.append((bytes(self._rest), self._rest_bytes))

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: _KEPT_BYTES - len(self._rest)]
        self._rest_bytes += len(piece)

    def _drop_marks(self, line: bytes) -> bytes:
        """Drop the marks before an object, and the byte-order mark of a whole text."""
        found: Counter[str] = Counter()
        rest, before = line, b""
        while rest != before:
            before = rest
            for name, mark in _MARKS.items():
                if rest.startswith(mark):
                    rest = rest[len(mark) :]
                    found[name] += 1
        is_blank = not rest or rest.isspace()
        self.blank += is_blank
        if found and rest.lstrip().startswith(b"{"):
            self.dropped += found
        elif self._is_first and line.startswith(codecs.BOM_UTF8):
            rest = line.removeprefix(codecs.BOM_UTF8)
        elif not is_blank:
            rest = line
        self._is_first = False
        return rest


def lines_of(source: BinaryIO) -> Lines:
    """Read the lines of `source`."""
    return Lines(source)


def write_promptly(output: BinaryIO, parts: Iterable[bytes], *sources: Lines) -> None:
    """Write the answers to the lines of `sources`, and flush them before a source is waited for."""
    for part in parts:
        output.write(part)
        if not all(source.has_next_now() for source in sources):
            output.flush()


def _stream_of(source: BinaryIO) -> int | None:
    """Return the descriptor of a stream that may keep its reader waiting; None for a file."""
    try:
        descriptor = source.fileno()
        return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else descriptor
    except (OSError, AttributeError):  # data in memory, or unpacked from a file
        return None


InputLine = bytes | Damage
"""A line of JSON without its newline, or the reasons why a row gives none."""


class FilePlace(NamedTuple):
    """A line of one of several files; `line` counts from 1."""

    file: str
    line: int

    def after(self, lines: int) -> FilePlace:
        """Return the place so many lines later in the same file."""
        return self._replace(line=self.line + lines)


class Batch(NamedTuple):
    """Consecutive lines; `first` is the number of the first (counted from 1).

    `end` counts the bytes of input up to the end of the last.
    """

    first: int
    lines: list[InputLine]
    end: int
    attached: Sequence[Any] | None = None
    """An object for each line that its pipeline takes with it, or None."""
    place: FilePlace | None = None
    """Where the first line stands, in an input of several files."""


class Batches(Iterator[Batch]):
    """Lines after the first `skip`, each with its length in the input in bytes, in batches.

    A batch has up to `at_most` lines. It ends early where the next line would have to be waited
    for. `opened` is closed after the last batch.
    """

    def __init__(
        self,
        given: Iterable[tuple[InputLine, int]],
        skip: int = 0,
        at_most: int = BATCH_LINES,
        opened: ExitStack | None = None,
    ) -> None:
        self.lines = given if isinstance(given, Lines) else None
        """The lines of a file or a stream; None for lines that are made of rows."""
        self.transform: Callable[[int, InputLine], InputLine] | None = None
        """Changes each line, by its number from 1, before it is put into a batch."""
        self.attach: Callable[[int, int], Sequence[Any]] | None = None
        """Returns the objects of a batch, by the number of its first line and its length."""
        self._given = iter(given)
        self._skip = skip
        self._at_most = at_most
        self._opened = opened or ExitStack()
        self._number = 0
        self._end = 0

    def __next__(self) -> Batch:
        self._pass_over()
        lines: list[InputLine] = []
        size, may_wait = 0, self.may_wait
        for line, consumed in self._given:
            lines.append(line)
            size += len(line) if isinstance(line, bytes) else 0
            self._end += consumed
            if len(lines) >= self._at_most or size >= BATCH_BYTES:
                break
            if may_wait and not self.has_next_now():
                break
        if not lines:
            self._opened.close()
            raise StopIteration
        self._number += len(lines)
        if self.transform is not None:
            first = self._number - len(lines) + 1
            lines = [self.transform(first + place, line) for place, line in enumerate(lines)]
        first = self._number - len(lines) + 1
        attached = None if self.attach is None else self.attach(first, len(lines))
        return Batch(first, lines, self._end, attached)

    @property
    def passed(self) -> int:
        """The lines so far, those that were skipped among them."""
        return self._number

    @property
    def end(self) -> int:
        """The bytes of input so far."""
        return self._end

    @property
    def dropped(self) -> Counter[str]:
        """The marks before objects that were dropped, by kind."""
        return Counter() if self.lines is None else self.lines.dropped

    @property
    def blank(self) -> int:
        """The lines so far that hold nothing."""
        return 0 if self.lines is None else self.lines.blank

    @property
    def may_wait(self) -> bool:
        """Return true for a pipe or a terminal; a file is never waited for."""
        return self.lines is not None and self.lines.may_wait

    def has_next_now(self) -> bool:
        """Return true if the next batch, or the end, is there without waiting."""
        return self.lines is None or self.lines.has_next_now()

    def wait(self, bell: int) -> bool:
        """Wait for the next batch or the end (true), or until `bell` can be read (false)."""
        return self.lines is None or self.lines.wait(bell)

    def _pass_over(self) -> None:
        while self._number < self._skip:
            found = next(self._given, None)
            if found is None:
                return
            self._number += 1
            self._end += found[1]


def group(
    given: Iterable[tuple[InputLine, int]], skip: int = 0, at_most: int = BATCH_LINES
) -> Batches:
    """Put lines, each with its length in the input in bytes, into batches."""
    return Batches(given, skip, at_most)
