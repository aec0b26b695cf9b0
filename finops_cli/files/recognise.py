"""Recognise the kind of a file from its content. Its name does not take part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from finops_cli.domain import limits
from finops_cli.errors import UsageError
from finops_cli.files.text_blocks import has_heading
from finops_cli.files.text_layout import TextLayout, decode_head, find_layout, is_utf_16
from finops_cli.files.unpacking import Packing, only_member, packing_of, unpacked, zip_members

_SAVE_AS = "open it and save it as .xlsx, or as CSV in UTF-8"
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_MAGICS = (
    (b"%PDF-", "a PDF document", "export the table as .xlsx or CSV where the PDF comes from"),
    (
        b"PAR1",
        "a Parquet file",
        "finops run, triage and resolve read it, unpacked; else write it as JSON Lines or CSV",
    ),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and give the file"),
    (b"Rar!", "a RAR archive", "unpack it and give the file"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it (xz -d) and give the file"),
    (b"BZh", "a bzip2 file", "unpack it (bunzip2) and give the file"),
    (b"\x89PNG", "a picture", "export the table as .xlsx or CSV"),
    (b"\xff\xd8\xff", "a picture", "export the table as .xlsx or CSV"),
    (b"GGUF", "a model file", "give a file of fails; a model goes to --triage-gguf"),
)
"""Kinds of files by their first bytes, and what to do instead."""
_ZIP_KINDS = (
    ("xl/workbook.bin", "a binary workbook (.xlsb)", _SAVE_AS),
    ("word/document.xml", "a Word document", "copy the table into a sheet, saved as .xlsx"),
    ("ppt/presentation.xml", "a PowerPoint file", "copy the table into a sheet, saved as .xlsx"),
    ("Index/Document.iwa", "a Numbers or Pages file", "export it as .xlsx or CSV"),
    ("META-INF/manifest.xml", "an OpenDocument file", _SAVE_AS),
)
"""Kinds of ZIP archives by one of their members."""
_SEC_HEADER = re.compile(r"\s*SETTLEMENT DATE\s*\|\s*CUSIP\s*\|", re.IGNORECASE)
_THRESHOLD_HEADER = re.compile(
    r'\s*"?(?:Symbol\|.*Reg ?SHO Threshold Flag|Symbol\|Company ?Name|tradeDate"?,.*regSho)',
    re.IGNORECASE,
)
_JSON_OBJECT = re.compile(r'^[\x1e \t]*\{[ \t]*["}]', re.MULTILINE)


class FileKind(StrEnum):
    """The kinds of files that a command reads or refuses by name."""

    JSON_LINES = "JSON Lines"
    TEXT_FORMS = "records in the text form of the model cards"
    TABLE = "a text file with columns"
    WORKBOOK = "an Excel workbook"
    SEC_FAILS = "a fails-to-deliver file of the SEC"
    THRESHOLD_LIST = "a Reg SHO threshold list"
    TEXT = "text without columns"
    EMPTY = "an empty file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A file, its kind, and how its content is reached."""

    path: Path
    kind: FileKind
    packing: Packing | None = None
    member: str = ""
    """The name of the file in an archive."""
    layout: TextLayout | None = None
    """The layout of a text file with columns."""

    def describe(self) -> str:
        """Describe the file in a message: `ZIP with fails.csv: CSV, ';' between cells`."""
        packed = {
            Packing.GZIP: "gzip: ",
            Packing.ZSTD: "Zstandard: ",
            Packing.ZIP: f"ZIP with {self.member}: ",
        }
        before = "" if self.packing is None else packed[self.packing]
        return before + (self.kind if self.layout is None else self.layout.describe())


@contextmanager
def open_content(recognised: Recognised) -> Iterator[BinaryIO]:
    """Open the content of a file, unpacked. Reading raises Unfinished for damaged packed data."""
    with unpacked(recognised.path, recognised.packing) as file:
        yield file


def recognise(path: Path) -> Recognised:
    """Recognise a regular file. Raises UsageError, with a cure, for a kind that cannot be read."""
    head = _read_head(path, None)
    packing = packing_of(head)
    if packing is None:
        kind, layout = recognise_head(head, str(path), path)
        return Recognised(path=path, kind=kind, layout=layout)
    member = ""
    if packing is Packing.ZIP:
        names = [each.filename for each in zip_members(path)]
        if is_workbook(names):
            return Recognised(path=path, kind=FileKind.WORKBOOK)
        _refuse_zip_kinds(path, names)
        member = only_member(path).filename
    head = _read_head(path, packing)
    shown = f"{path} ({member})" if member else str(path)
    inner = packing_of(head)
    if inner is Packing.ZIP and b"[Content_Types].xml" in head and b"xl/" in head:
        return Recognised(path=path, kind=FileKind.WORKBOOK, packing=packing, member=member)
    if inner is not None:
        raise UsageError(f"{shown}: holds a {inner} file again", "unpack it and give the file")
    kind, layout = recognise_head(head, shown)
    return Recognised(path=path, kind=kind, packing=packing, member=member, layout=layout)


def is_workbook(members: list[str]) -> bool:
    """Return true for the names of the members of an .xlsx or .xlsm workbook."""
    return "[Content_Types].xml" in members and "xl/workbook.xml" in members


def recognise_head(
    head: bytes, shown: str, path: Path | None = None
) -> tuple[FileKind, TextLayout | None]:
    """Recognise unpacked content by its beginning, up to `limits.HEAD_BYTES` of it.

    `path` is the file itself, where it is not packed and not a pipe. Raises UsageError for a kind
    that cannot be read; `shown` names the file in the message.
    """
    for magic, what, cure in _OTHER_MAGICS:
        if head.startswith(magic):
            raise UsageError(f"{shown}: is {what}", cure)
    if head.startswith(_OLE_MAGIC):
        raise _refuse_ole(head, shown, path)
    text, encoding = decode_head(head)
    start = text.lstrip("\x1e \t\r\n\ufeff")
    if not start:
        return FileKind.EMPTY, None
    _refuse_markup(start, shown)
    if start[0] in "{[" or _JSON_OBJECT.search(text):
        if is_utf_16(head):
            raise UsageError(
                f"{shown}: is JSON in UTF-16; accepted: JSON in UTF-8",
                f"save it as UTF-8: iconv -f UTF-16 -t UTF-8 {shown} > new.jsonl",
            )
        return FileKind.JSON_LINES, None
    if has_heading(text):
        return FileKind.TEXT_FORMS, None
    if _SEC_HEADER.match(start):
        return FileKind.SEC_FAILS, None
    if _THRESHOLD_HEADER.match(start):
        return FileKind.THRESHOLD_LIST, None
    layout = find_layout(text, encoding, len(head) < limits.HEAD_BYTES)
    return (FileKind.TEXT, None) if layout is None else (FileKind.TABLE, layout)


def _read_head(path: Path, packing: Packing | None) -> bytes:
    with unpacked(path, packing) as file:
        return file.read(limits.HEAD_BYTES)


def _refuse_markup(start: str, shown: str) -> None:
    """Raise UsageError for HTML and XML, which programs often save under the name .xls."""
    beginning = start[:4096].lower()
    if beginning.startswith(("<!doctype html", "<html", "<table", "<head", "<meta", "<body")):
        raise UsageError(f"{shown}: is an HTML page, whatever its name says", _SAVE_AS)
    if re.match(r"<[a-z?!]", beginning):
        sheet = "urn:schemas-microsoft-com:office:spreadsheet" in beginning
        what = "an XML spreadsheet of Excel 2003" if sheet else "an XML file"
        raise UsageError(f"{shown}: is {what}", _SAVE_AS)


def _refuse_zip_kinds(path: Path, names: list[str]) -> None:
    for name, what, cure in _ZIP_KINDS:
        if name in names:
            raise UsageError(f"{path}: is {what}", cure)


def _refuse_ole(head: bytes, shown: str, path: Path | None) -> UsageError:
    """Tell an encrypted workbook from an old one by the directory of the OLE container."""
    sector_bytes = 1 << min(int.from_bytes(head[30:32], "little"), 16)
    at = (int.from_bytes(head[48:52], "little") + 1) * sector_bytes
    directory = head[at : at + sector_bytes]
    if not directory and path is not None:
        with path.open("rb") as file:
            file.seek(at)
            directory = file.read(sector_bytes)
    if "EncryptedPackage".encode("utf-16-le") in directory:
        return UsageError(
            f"{shown}: is a workbook that a password encrypts",
            "open it with the password and save it without one (File, Info, Protect Workbook)",
        )
    if any(name.encode("utf-16-le") in directory for name in ("Workbook", "Book")):
        return UsageError(f"{shown}: is a workbook in the old format .xls", _SAVE_AS)
    return UsageError(f"{shown}: is an old Office file", _SAVE_AS)
