"""The kind of a file from its content, and unpacking: real files, made here."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import limits
from finops_cli.errors import FinopsError, Unfinished, UsageError
from finops_cli.files.recognise import FileKind, open_content, recognise, recognise_head
from finops_cli.files.text_layout import find_layout

CSV = b"Ref,CUSIP,Qty\nF-1,594918104,5000\nF-2,594918104,700\n"
JSON = b'{"fail_id":"F-1"}\n{"fail_id":"F-2"}\n'
SEC = b"SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE\n20230314|0|A|1|B|.\n"
THRESHOLD = b"Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Filler\nA|B|Q|Y|\n"


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def ole(stream: str) -> bytes:
    """The header of an OLE container, and a directory that names a stream."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30] = 9
    return bytes(header) + stream.encode("utf-16-le").ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "kind", "described"),
    [
        (JSON, FileKind.JSON_LINES, "JSON Lines"),
        (b"\xef\xbb\xbf" + JSON, FileKind.JSON_LINES, "JSON Lines"),
        (b"\x1e" + JSON, FileKind.JSON_LINES, "JSON Lines"),
        (b"\n\n not one\n" + JSON, FileKind.JSON_LINES, "JSON Lines"),
        (b"[" + JSON[:17] + b"]", FileKind.JSON_LINES, "JSON Lines"),
        (CSV, FileKind.TABLE, "CSV, ',' between cells"),
        (CSV.replace(b",", b";"), FileKind.TABLE, "CSV, ';' between cells"),
        (CSV.replace(b",", b"|"), FileKind.TABLE, "CSV, '|' between cells"),
        (CSV.replace(b",", b"\t"), FileKind.TABLE, "text with tabs"),
        (b"sep=;\n" + CSV.replace(b",", b";"), FileKind.TABLE, "CSV, ';' between cells"),
        (b"Fails of Monday\n\n" + CSV, FileKind.TABLE, "CSV, ',' between cells"),
        (b"A;B;C\n1,5;2,5;3,5\n4,5;5,5;6,5\n", FileKind.TABLE, "CSV, ';' between cells"),
        (b'A,B\n"x;y;z","1"\n"x;y;z","2"\n', FileKind.TABLE, "CSV, ',' between cells"),
        (CSV + b"F-3,M\xfcller,1\n", FileKind.TABLE, "CSV, ',' between cells, Windows-1252"),
        (CSV.decode().encode("utf-16"), FileKind.TABLE, "CSV, ',' between cells, UTF-16"),
        (
            CSV + b'F-3,"594918104,1\n' + b"F-4,594918104,2\n" * 20_000,
            FileKind.TABLE,
            "CSV, ',' between cells",
        ),
        (SEC, FileKind.SEC_FAILS, "a fails-to-deliver file of the SEC"),
        (THRESHOLD, FileKind.THRESHOLD_LIST, "a Reg SHO threshold list"),
        (b"Symbol|CompanyName\nA|B\n", FileKind.THRESHOLD_LIST, "a Reg SHO threshold list"),
        (b"no columns here\nnone, there\nnor here\n", FileKind.TEXT, "text without columns"),
        (b"", FileKind.EMPTY, "an empty file"),
        (b"\xef\xbb\xbf\r\n \r\n", FileKind.EMPTY, "an empty file"),
        (gzip.compress(CSV, mtime=0), FileKind.TABLE, "gzip: CSV, ',' between cells"),
        (gzip.compress(JSON, mtime=0), FileKind.JSON_LINES, "gzip: JSON Lines"),
        (gzip.compress(b"", mtime=0), FileKind.EMPTY, "gzip: an empty file"),
        (zipped({"f.csv": CSV}), FileKind.TABLE, "ZIP with f.csv: CSV, ',' between cells"),
        (
            zipped({"f.csv": CSV, "__MACOSX/f": b"x"}),
            FileKind.TABLE,
            "ZIP with f.csv: CSV, ',' between cells",
        ),
    ],
)
def test_recognise_content_gives_its_kind(
    content: bytes, kind: FileKind, described: str, tmp_path: Path
) -> None:
    """The content decides; a name that says something else changes nothing."""
    path = tmp_path / "fails.pdf"
    path.write_bytes(content)
    found = recognise(path)
    assert (found.kind, found.describe()) == (kind, described)


@pytest.mark.parametrize(
    ("content", "message", "cure"),
    [
        (b"%PDF-1.7 \xe2\xe3", "a PDF document", "export"),
        (b"PAR1\x15\x04", "a Parquet file", "JSON Lines or CSV"),
        (b"<html><table><tr><td>Ref", "an HTML page", ".xlsx"),
        (b"<?xml version='1.0'?><a/>", "an XML file", ".xlsx"),
        (
            b"<?xml version='1.0'?><Workbook xmlns='urn:schemas-microsoft-com:office:spreadsheet'>",
            "XML spreadsheet of Excel 2003",
            ".xlsx",
        ),
        (ole("Workbook"), "the old format .xls", ".xlsx"),
        (ole("EncryptedPackage"), "a password encrypts", "without one"),
        (ole("WordDocument"), "an old Office file", ".xlsx"),
        (JSON.decode().encode("utf-16"), "JSON in UTF-16", "iconv"),
        (JSON.decode().encode("utf-16-le"), "JSON in UTF-16", "iconv"),
        (zipped({}), "the archive is empty", "give a file"),
        (zipped({"a.csv": CSV, "b.csv": CSV}), "2 files: a.csv, b.csv", "unzip"),
        (zipped({"xl/workbook.bin": b"x"}), "binary workbook (.xlsb)", ".xlsx"),
        (zipped({"word/document.xml": b"x"}), "a Word document", ".xlsx"),
        (zipped({"META-INF/manifest.xml": b"x", "c": b""}), "an OpenDocument file", ".xlsx"),
        (gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "holds a gzip file again", "unpack"),
        (zipped({"f.csv": CSV})[:80], "a ZIP archive that cannot be read", "again"),
    ],
)
def test_recognise_other_file_names_it_and_the_cure(
    content: bytes, message: str, cure: str, tmp_path: Path
) -> None:
    """A file that cannot be read is refused with its kind and with what to do instead."""
    path = tmp_path / "fails.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        recognise(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)
    assert cure in refused.value.cure


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"f.csv": content})])
def test_open_content_gives_the_unpacked_bytes(pack: object, tmp_path: Path) -> None:
    """The content of a packed file is the bytes that were packed."""
    path = tmp_path / "packed"
    content = b"Ref,Qty,Side\n" + b"F-1,5000,Sell\n" * 50_000
    path.write_bytes(pack(content))  # type: ignore[operator]
    with open_content(recognise(path)) as file:
        assert file.read() == content


@pytest.mark.parametrize("cut", [-4, -9, -200])
def test_open_content_of_cut_gzip_ends_unfinished(cut: int, tmp_path: Path) -> None:
    """A gzip file that ends early is not taken for a shorter file."""
    path = tmp_path / "fails.gz"
    rows = "".join(f"F-{number},{number * number},Sell\n" for number in range(90_000))
    path.write_bytes(gzip.compress(rows.encode())[:cut])
    with pytest.raises(Unfinished, match="damaged or cut off"), open_content(recognise(path)) as f:
        f.read()


def test_open_content_of_damaged_zip_ends_unfinished(tmp_path: Path) -> None:
    """A changed byte of an archive breaks its checksum, which is not passed over."""
    path = tmp_path / "fails.zip"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("f.csv", b"Ref,Qty,Side\n" + b"F-1,5000,Sell\n" * 50_000)
    path.write_bytes(packed.getvalue().replace(b"F-1,5000", b"F-1,9000", 1))
    with pytest.raises(Unfinished, match="damaged or cut off"), open_content(recognise(path)) as f:
        f.read()


@pytest.mark.slow
def test_open_content_of_bomb_ends_unfinished(tmp_path: Path) -> None:
    """A file that unpacks to far more than its size is stopped, after a bounded amount."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"{" + b" " * (2 * limits.UNPACKED_FREE_BYTES)))
    pieces: list[int] = []
    with (
        open_content(recognise(path)) as file,
        pytest.raises(Unfinished, match="250 times its size"),
    ):
        pieces.extend(map(len, iter(lambda: file.read(1 << 20), b"")))
    assert sum(pieces) < 2 * limits.UNPACKED_FREE_BYTES


def test_recognise_encrypted_member_is_refused(tmp_path: Path) -> None:
    """An archive with a password is refused, and the message says how to unpack it."""
    packed = bytearray(zipped({"f.csv": CSV}))
    packed[6] |= 1  # the flag in the member's own header
    packed[packed.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path = tmp_path / "fails.zip"
    path.write_bytes(packed)
    with pytest.raises(UsageError, match="encrypted with a password"):
        recognise(path)


@given(st.binary(max_size=300))
def test_recognise_head_any_bytes_gives_kind_or_refusal(head: bytes) -> None:
    """No content makes the recognition fail with another error."""
    try:
        kind, layout = recognise_head(head, "file")
    except FinopsError as refused:
        assert refused.cure  # noqa: PT017 - either outcome is right
    else:
        assert (kind is FileKind.TABLE) == (layout is not None)


CELL = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(
    st.sampled_from(",;\t|"),
    st.integers(3, 8).flatmap(
        lambda width: st.lists(
            st.lists(CELL, min_size=width, max_size=width), min_size=2, max_size=30
        )
    ),
)
def test_find_layout_of_plain_rows_gives_the_delimiter(
    delimiter: str, rows: list[list[str]]
) -> None:
    """Rows of one width give their delimiter and their width."""
    layout = find_layout("\n".join(map(delimiter.join, rows)), "utf-8-sig", True)
    assert layout is not None
    assert (layout.delimiter, layout.columns) == (delimiter, len(rows[0]))
