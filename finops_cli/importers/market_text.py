"""The text of files that the SEC and the markets publish, as desks keep it.

A file may be packed (.gz, or .zip with several files), in UTF-16 or UTF-8 with a byte-order mark,
or end its lines as an old Mac did. NUL bytes are left out and counted. Other text is UTF-8, or
cp1252 where a line is not valid UTF-8.
"""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.jsonl import lines_of
from finops_cli.files.recognise import FileKind, recognise_head
from finops_cli.files.terminal import printable
from finops_cli.files.text_layout import decode_head, is_utf_16
from finops_cli.files.unpacking import (
    Packing,
    packing_of,
    refuse_encrypted,
    unpacked,
    wanted_members,
)
from finops_cli.importers.stream import Note

_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BOM = codecs.BOM_UTF8
_HEAD_BYTES = 4096
_END_OF_FILE = "\x1a"
"""The end-of-file mark of DOS."""


class TextFile(NamedTuple):
    """A text file: a file itself, or one in an archive."""

    path: Path
    packing: Packing | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def shown(self) -> str:
        """The file in a message: `lists.zip (nasdaqth20230314.txt)`."""
        return str(self.path) + self._in_archive

    @property
    def name(self) -> str:
        """The name without folders, for the origin of a record."""
        return self.path.name + self._in_archive

    @property
    def own_name(self) -> str:
        """The name that the publisher gave the file, which may hold a date."""
        return self.path.name if self.member is None else PurePosixPath(self.member.filename).name

    @property
    def _in_archive(self) -> str:
        return "" if self.member is None else f" ({printable(self.member.filename)})"


class OpenText(io.RawIOBase):
    """The bytes of a text file in an encoding that extends ASCII, without NUL bytes and marks."""

    def __init__(self, source: io.BufferedReader, shown: str) -> None:
        head = source.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        _refuse_encodings(head, shown)
        self.kind: FileKind = recognise_head(head, shown)[0]
        self.nul_bytes = 0
        self.encoding = ""
        """UTF-16, where the file has it."""
        self._source = source
        self._shown = shown
        self._decoder: codecs.IncrementalDecoder | None = None
        if is_utf_16(head):
            self.encoding = "UTF-16"
            self._decoder = codecs.getincrementaldecoder(decode_head(head)[1])("replace")
            head = decode_head(head)[0].encode()
        self._is_mac = b"\r" in head and b"\n" not in head
        self._held = b""
        self._ready = b""
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # io gives a writable buffer
        while not self._ready and not self._is_over:
            piece = self._source.read(limits.UNPACKING_BYTES)
            self._is_over = not piece
            self._ready = self._clean(piece)
        size = min(len(view), len(self._ready))
        view[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def notes(self) -> Iterator[Note]:
        """Yield what was tolerated so far."""
        if self.encoding:
            yield Note(self._shown, f"is {self.encoding}, and was read as such")
        if self.nul_bytes:
            yield Note(self._shown, f"{self.nul_bytes:,} NUL bytes were left out")

    def _clean(self, piece: bytes) -> bytes:
        if self._decoder is not None:
            piece = self._decoder.decode(piece, final=not piece).encode("utf-8", "replace")
        piece = self._held + piece
        self._held = b""
        if b"\0" in piece:
            self.nul_bytes += piece.count(0)
            piece = piece.replace(b"\0", b"")
        if not self._is_over:  # a mark may be cut by the end of the piece
            cut = next((n for n in (2, 1) if piece.endswith(_BOM[:n])), 0)
            self._held, piece = piece[len(piece) - cut :], piece[: len(piece) - cut]
        piece = piece.replace(_BOM, b"")
        return piece.replace(b"\r", b"\n") if self._is_mac else piece


def list_files(path: Path, cure: str) -> list[TextFile]:
    """Return the text files of `path`: itself, or the files of the archive that it is.

    Raises UsageError for a file that cannot be read, and for an archive that is empty, encrypted
    or unpacks to far more than its size.
    """
    if not path.is_file():
        if path.exists() and not path.is_dir():
            raise UsageError(
                f"{path} is not a regular file", "save the data to a file, and give its name"
            )
        raise UsageError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}", cure)
    try:
        with path.open("rb") as file:
            packing = packing_of(file.read(_HEAD_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", cure) from error
    if packing is not Packing.ZIP:
        return [TextFile(path, packing)]
    members = wanted_members(path)
    if not members:
        raise UsageError(f"{path}: the archive is empty", cure)
    if len(members) > limits.ARCHIVE_FILES:
        raise UsageError(
            f"{path}: the archive has {len(members):,} files; accepted: up to"
            f" {limits.ARCHIVE_FILES:,}",
            "unpack it and give the files that you need",
        )
    for member in members:
        refuse_encrypted(path, member)
    _refuse_bomb(path, members)
    return [TextFile(path, packing, member) for member in members]


@contextmanager
def open_text(file: TextFile) -> Iterator[OpenText]:
    """Open a text file. Raises UsageError for a file that is not text, and says which kind it is.

    Reading raises Unfinished where packed data is damaged or cut off.
    """
    try:
        with unpacked(file.path, file.packing, file.member) as source:
            buffered = source if isinstance(source, io.BufferedReader) else None
            if buffered is None:
                raise TypeError("unpacked gives a buffered stream")
            inner = packing_of(buffered.peek(_HEAD_BYTES)) if file.packing is not None else None
            if inner is not None:
                raise UsageError(
                    f"{file.shown}: holds a {inner} file again", "unpack it and give the file"
                )
            yield OpenText(buffered, file.shown)
    except OSError as error:
        raise UsageError(
            f"{file.shown}: cannot be read ({error.strerror})", "give a file that you may read"
        ) from error


def number_lines(
    source: io.RawIOBase, shown: str, first_line: int = 1
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers, without their ends.

    Raises UsageError for a line that is too long to be one.
    """
    buffered: BinaryIO = io.BufferedReader(source, limits.UNPACKING_BYTES)
    for number, (line, _) in enumerate(lines_of(buffered), start=first_line):
        if len(line) > limits.LINE_BYTES:
            raise UsageError(
                f"{shown}:{number}: the line is longer than {limits.LINE_BYTES:,} bytes",
                "give a text file with a line for each row",
            )
        yield number, decode_line(line).rstrip("\r\n" + _END_OF_FILE)


def decode_line(line: bytes) -> str:
    """Decode a line as UTF-8; as cp1252 where it is not valid UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _refuse_encodings(head: bytes, shown: str) -> None:
    if head.startswith(_UTF_32):
        raise UsageError(
            f"{shown}: is UTF-32; accepted: UTF-8, UTF-16 or Windows-1252",
            f"save it as UTF-8: iconv -f UTF-32 -t UTF-8 {shown} > new.txt",
        )


def _refuse_bomb(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise UsageError for an archive that unpacks to far more than its size.

    No member gives more bytes than its entry says, so the entries bound the work.
    """
    accepted = limits.UNPACKED_FREE_BYTES + limits.UNPACKED_TIMES * path.stat().st_size
    size = sum(member.file_size for member in members)
    if size > accepted:
        raise UsageError(
            f"{path}: unpacks to {size:,} bytes; accepted: up to {accepted:,}",
            "unpack it yourself if that is right, and give the files",
        )
