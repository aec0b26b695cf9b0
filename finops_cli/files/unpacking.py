"""Unpacks .gz and .zst files and .zip archives of one member as streams of bounded size."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, cast

from finops_cli.domain import limits
from finops_cli.errors import Unfinished, UsageError
from finops_cli.files.arrow import load_pyarrow
from finops_cli.files.terminal import printable

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ENCRYPTED = 1
"""The bit of a member's flags that says it needs a password."""
_UNWANTED = ("__MACOSX/", ".DS_Store", "Thumbs.db")
"""Members that archive programs add by themselves."""


class Packing(StrEnum):
    """How a file is packed."""

    GZIP = "gzip"
    ZIP = "zip"
    ZSTD = "Zstandard"


def packing_of(head: bytes) -> Packing | None:
    """Return how a file that begins with `head` is packed. A workbook is a ZIP archive too."""
    if head.startswith(GZIP_MAGIC):
        return Packing.GZIP
    if head.startswith(ZSTD_MAGIC):
        return Packing.ZSTD
    return Packing.ZIP if head.startswith(ZIP_MAGICS) else None


def zip_members(path: Path) -> list[zipfile.ZipInfo]:
    """List the members of an archive, without folders. Raises UsageError if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [each for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UsageError(
            f"{path}: is a ZIP archive that cannot be read ({error})",
            "fetch or save the file again",
        ) from error


def only_member(path: Path) -> zipfile.ZipInfo:
    """Return the one file of an archive.

    Raises UsageError for an archive without files, with several or with an encrypted one.
    """
    members = wanted_members(path)
    if len(members) != 1:
        names = [printable(each.filename) for each in members[: limits.PROBLEMS]]
        more = len(members) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        raise UsageError(
            f"{path}: the archive has {len(members):,} files: {listed}"
            if members
            else f"{path}: the archive is empty",
            f"unpack it (unzip {path}) and give one of its files" if members else "give a file",
        )
    [member] = members
    refuse_encrypted(path, member)
    return member


def wanted_members(path: Path) -> list[zipfile.ZipInfo]:
    """List the members of an archive without those that archive programs add by themselves."""
    return [
        each
        for each in zip_members(path)
        if not each.filename.startswith(_UNWANTED) and not each.filename.endswith(_UNWANTED)
    ]


def refuse_encrypted(path: Path, member: zipfile.ZipInfo) -> None:
    """Raise UsageError for a member that needs a password."""
    if member.flag_bits & _ENCRYPTED:
        raise UsageError(
            f"{path}: {printable(member.filename)} is encrypted with a password",
            f"unpack it with the password (unzip {path}), and give the file",
        )


@contextmanager
def unpacked(
    path: Path, packing: Packing | None, member: zipfile.ZipInfo | None = None
) -> Iterator[BinaryIO]:
    """Open the content of `path` as a stream; of an archive the `member`, or its only file.

    Reading raises Unfinished where the packed data is damaged, cut off or a decompression bomb.
    Raises MissingPiece for a .zst file without pyarrow.
    """
    with ExitStack() as stack:
        raw: IO[bytes]
        if packing is None:
            yield stack.enter_context(path.open("rb"))
            return
        if packing is Packing.GZIP:
            packed_bytes = path.stat().st_size
            raw = stack.enter_context(cast("IO[bytes]", gzip.GzipFile(path)))
        elif packing is Packing.ZSTD:
            packed_bytes = path.stat().st_size
            raw = cast("IO[bytes]", stack.enter_context(closing(_Zstandard(path))))
        else:
            member = member or only_member(path)
            packed_bytes = member.compress_size
            archive = stack.enter_context(zipfile.ZipFile(path))
            try:
                raw = stack.enter_context(archive.open(member))
            except (NotImplementedError, zipfile.BadZipFile, RuntimeError) as error:
                raise UsageError(
                    f"{path}: {printable(member.filename)} cannot be unpacked ({error})",
                    f"unpack it (unzip {path}) and give the file",
                ) from error
        bounded = _Bounded(raw, path, packed_bytes)
        yield stack.enter_context(io.BufferedReader(bounded, limits.UNPACKING_BYTES))


class _Zstandard:
    """The content of a Zstandard file, by the decompressor of pyarrow."""

    def __init__(self, path: Path) -> None:
        arrow = load_pyarrow(f"{path}: is a Zstandard file")
        self._stream = arrow.CompressedInputStream(arrow.OSFile(str(path)), "zstd")

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes. Raises EOFError for damaged data, as gzip does."""
        try:
            return bytes(self._stream.read(size))
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise EOFError(str(error)) from error

    def close(self) -> None:
        self._stream.close()


class _Bounded(io.RawIOBase):
    """Unpacked data that ends with an error where it is damaged, or far longer than its source."""

    def __init__(self, raw: IO[bytes], path: Path, packed_bytes: int) -> None:
        self._raw = raw
        self._path = path
        self._left = limits.UNPACKED_FREE_BYTES + limits.UNPACKED_TIMES * packed_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # io gives a writable buffer
        try:
            piece = self._raw.read(len(view))
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise Unfinished(
                f"{self._path}: the packed data is damaged or cut off ({error})",
                "fetch or save the file again; what was written so far is whole",
            ) from error
        self._left -= len(piece)
        if self._left < 0:
            raise Unfinished(
                f"{self._path}: unpacks to more than {limits.UNPACKED_TIMES} times its size",
                "unpack it yourself if that is right, and give the file",
            )
        view[: len(piece)] = piece
        return len(piece)
