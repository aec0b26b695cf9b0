"""The input of a run: lines of JSON from a file or a pipe, or records made of another file's rows.

A row that gives no record is a Damage in its place: each item has one output line.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import msgspec

from finops_cli.domain import limits
from finops_cli.domain.finding import Damage
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import Batches, InputLine
from finops_cli.files.recognise import FileKind, Recognised, open_content, recognise_head
from finops_cli.files.safe_io import reading
from finops_cli.files.text_blocks import PastedLines
from finops_cli.files.unpacking import packing_of
from finops_cli.pipeline import resume
from finops_cli.pipeline.parse import decode

JSON_LINES = "jsonl"


class InputDigest(NamedTuple):
    """The content that the lines of an input depend on."""

    length: int
    """Bytes of the file."""
    sha256: str
    """SHA-256 of the file."""
    kind: str = JSON_LINES
    mapping: str | None = None
    """SHA-256 of the mapping that makes records of rows."""
    joined: str | None = None
    """SHA-256 of the files whose facts are joined to the records."""
    book: str | None = None
    """SHA-256 of the inventory, the sent plan and the options of a plan of the whole book."""
    note: resume.BookNote | None = None
    """The facts that a later plan of the book needs to copy lines of this one."""


class InputSource(Protocol):
    """The lines of a run, in order."""

    @property
    def path(self) -> Path | None:
        """The file or pipe; None: stdin."""

    @property
    def length(self) -> int | None:
        """The bytes that the ends of the batches count up to; None where this is not known."""

    @property
    def other_files(self) -> tuple[Path, ...]:
        """Further files that the lines are made of, such as a mapping."""

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that a folder or a pattern means, in order; empty for one file or a pipe."""

    @property
    def has_rows(self) -> bool:
        """Return true where the lines are records that an importer made of rows."""

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the lines after the first `skip`, at most `at_most` in a batch."""

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield every line. Only a regular file can be read more than once."""

    def digest(self) -> InputDigest:
        """Describe the content, for `--resume`. The input must be a regular file."""

    def report(self) -> list[str]:
        """Describe the input after a run, where it is more than plain lines; else empty."""


class PlainSource:
    """Members of an `InputSource` where a class has no others: one file or pipe, no importer."""

    __slots__ = ()

    @property
    def other_files(self) -> tuple[Path, ...]:
        """No further files."""
        return ()

    @property
    def parts(self) -> tuple[Path, ...]:
        """One file or a pipe has no parts."""
        return ()

    @property
    def has_rows(self) -> bool:
        """Return false: no importer made the lines."""
        return False


class Wrapped:
    """The members of an `InputSource` that it has from another source, `inner`."""

    __slots__ = ()
    inner: InputSource

    @property
    def path(self) -> Path | None:
        """The file; None: stdin."""
        return self.inner.path

    @property
    def length(self) -> int | None:
        """The bytes of the input; None where this is not known."""
        return self.inner.length

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files of the inner source."""
        return self.inner.parts

    @property
    def has_rows(self) -> bool:
        """Return true where the inner source has rows."""
        return self.inner.has_rows


@dataclass(frozen=True, slots=True)
class JsonLines(PlainSource):
    """Lines of JSON as a file has them, unpacked where it is packed.

    A record in the text form of the model cards, over several lines, is one line of JSON.
    """

    path: Path | None
    """None: stdin."""
    recognised: Recognised | None = None
    """The kind of a regular file, where it is packed."""

    @property
    def length(self) -> int | None:
        """The length of a regular file in bytes; None for a pipe and a packed file."""
        is_plain = self.recognised is None or self.recognised.packing is None
        return self.path.stat().st_size if self.path and self.path.is_file() and is_plain else None

    def batches(self, skip: int, at_most: int) -> Batches:
        """Yield the lines after the first `skip`; those of a stream as they come.

        Raises UsageError where a pipe brings another kind of file.
        """
        opened = ExitStack()
        return Batches(PastedLines(opened.enter_context(self._open())), skip, at_most, opened)

    def lines(self) -> Generator[InputLine, None, None]:
        """Yield every line, without its newline."""
        with self._open() as file:
            for line, _ in PastedLines(file):
                yield line

    def digest(self) -> InputDigest:
        """Return the length and the SHA-256 of the file, as it is stored."""
        return InputDigest(*resume.digest(require_path(self)))

    def report(self) -> list[str]:
        """Describe a packed file; plain lines need no description."""
        if self.recognised is None or self.recognised.packing is None:
            return []
        return [f"{self.path}: {self.recognised.describe()}"]

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if self.recognised is not None and self.recognised.packing is not None:
            with open_content(self.recognised) as file:
                yield file
            return
        with reading(self.path) as file:
            if self.path is None or not self.path.is_file():
                _refuse_other_kinds(file, "stdin" if self.path is None else str(self.path))
            yield file


def decode_input(line: InputLine) -> Any:
    """Decode a line; a row that gave no record is its first Problem, as other text is."""
    return line.problems[0] if isinstance(line, Damage) else decode(line)


def given_name(given: Any, fields: tuple[str, ...]) -> str | None:
    """Return the first usable name that a decoded line gives itself in `fields`."""
    if type(given) is not dict:
        return None
    for field in fields:
        name = given.get(field)
        if type(name) is str and 0 < len(name) <= limits.ID_CHARS:
            return name
    return None


def input_fail_id(line: InputLine, number: int) -> str:
    """Return the default `fail_id` of a line; a row of a table has the number of its row."""
    return default_fail_id(line.line if isinstance(line, Damage) else number)


class _Origin(msgspec.Struct):
    line: int


class _Row(msgspec.Struct):
    origin: _Origin


_ROW = msgspec.json.Decoder(_Row)


def row_of(record: bytes) -> int:
    """Return the row of the file of which an importer made `record`, counted from 1."""
    return _ROW.decode(record).origin.line


def default_fail_id(number: int) -> str:
    """Return the default `fail_id` for an input without one: `line-N`."""
    return f"line-{number}"


def require_path(source: InputSource) -> Path:
    """Return the path of a source that is a file."""
    if source.path is None:
        raise UsageError("stdin cannot be read again", "give the input as a file")
    return source.path


def refuse_kind(kind: FileKind, shown: str) -> None:
    """Raise UsageError for a kind of file that a run cannot read with any option."""
    file = "FILE" if shown == "stdin" else shown
    if kind is FileKind.SEC_FAILS:
        raise UsageError(
            f"{shown}: is {kind}, not a file of your fails",
            f"finops import sec-fails {file} -o fails.jsonl makes records of it",
        )
    if kind is FileKind.THRESHOLD_LIST:
        raise UsageError(
            f"{shown}: is {kind}, not a file of fails",
            f"join it to files of the SEC: finops import sec-fails ... --threshold-list {file}",
        )


def _refuse_other_kinds(file: BinaryIO, shown: str) -> None:
    """Raise UsageError where a pipe brings another kind of file, by its first bytes."""
    peek = getattr(file, "peek", None)
    head: bytes = b"" if peek is None else peek()
    if packing_of(head) is not None:
        raise UsageError(
            f"{shown}: is a packed file or a workbook, which a pipe cannot bring",
            "give the file by its name, or unpack it: gzip -dc FILE | finops run -, or zstd -dc",
        )
    kind, layout = recognise_head(head, shown)
    refuse_kind(kind, shown)
    # a single line may be the noise of a live feed: it is one rejected line
    if kind is FileKind.TABLE and layout is not None and len(head.splitlines()) > 1:
        raise UsageError(
            f"{shown}: is {layout.describe()}, not JSON Lines",
            "give --map MAPPING.yaml, which says what its columns are (finops import csv FILE"
            " proposes one)",
        )
