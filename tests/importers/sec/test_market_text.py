"""SEC files and threshold lists as desks keep them: packed, joined, and in other encodings."""

from __future__ import annotations

import codecs
import gzip
import json
import zipfile
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_cli.domain import limits
from tests.importers.sec.test_sec_damage import trailers
from tests.importers.sec.test_sec_fails import (
    AMC,
    GME,
    HEADER,
    LIST,
    MSFT,
    REAL,
    ages,
    import_sec,
    records,
    row,
    write,
)
from tests.importers.threshold.test_threshold_days import NASDAQ, import_lists

ONE = "\n".join([HEADER, row("20230301"), row("20230302", qty=7), *trailers(2, 107)]) + "\n"
TWO = "\n".join([HEADER, row("20230303"), row("20230303", AMC), *trailers(2, 200)]) + "\n"


def save(folder: Path, content: bytes, name: str = "fails.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def pack(folder: Path, members: dict[str, bytes], name: str = "fails.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (ONE.encode(), ""),
        (codecs.BOM_UTF8 + ONE.encode(), ""),
        (ONE.encode("utf-16"), ": is UTF-16, and was read as such\n"),
        (ONE.encode("utf-16-le"), ": is UTF-16, and was read as such\n"),
        (codecs.BOM_UTF16_BE + ONE.encode("utf-16-be"), ": is UTF-16, and was read as such\n"),
        (ONE.replace("\n", "\r\n").encode(), ""),
        (ONE.replace("\n", "\r\r\n").encode(), ""),
        (ONE.replace("\n", "\r").encode(), ""),
        (b"\r\n\n" + ONE.encode() + b"\n\n\x1a", ""),
        (ONE.replace("MSFT", "MS\0FT").encode(), ": 2 NUL bytes were left out\n"),
        (ONE.encode() + b"\0" * 30, ": 30 NUL bytes were left out\n"),
        (ONE.replace("2.50\n", "2.50||\n").encode(), ": bars at the end of 2 rows were left out"),
        (ONE.replace("PRICE\n", "PRICE|\n").encode(), ""),
        (ONE.replace("shares 107", "shares 107||").encode(), ""),
        (ONE.upper().encode(), ""),
    ],
)
def test_file_in_another_writing_is_read_the_same(
    tmp_path: Path, content: bytes, told: str
) -> None:
    """Encodings with a mark, line ends, NUL bytes and bars at the end of a line change no record.
    The parts that were left out are reported.
    """
    plain = import_sec(save(tmp_path, ONE.encode()), "--every-day", "--quiet")
    result = import_sec(save(tmp_path, content), "--every-day", "--quiet")
    assert result.exit_code == plain.exit_code == 0, result.stderr
    lines = [
        {**record, "origin": {**record["origin"], "line": 0, "description": ""}}
        for record in records(result)
    ]
    assert lines == [
        {**record, "origin": {**record["origin"], "line": 0, "description": ""}}
        for record in records(plain)
    ]
    assert told in result.stderr
    assert bool(told) == bool(result.stderr)


@pytest.mark.parametrize(
    ("content", "message", "cure"),
    [
        (
            ONE.encode("utf-32"),
            "fails.txt: is UTF-32; accepted: UTF-8, UTF-16",
            "save it as UTF-8: iconv -f UTF-32",
        ),
        (b"%PDF-1.7 ...", "is a PDF document", "export the table"),
        (b"<!DOCTYPE html><html>Not found", "is an HTML page", "open it and save it"),
        (b"PK\x03\x04 cut", "is a ZIP archive that cannot be read", "fetch or save the file again"),
        (b"BZh91AY", "is a bzip2 file", "unpack it (bunzip2)"),
        (
            f"{NASDAQ}\nAMC|A|Q|Y|N|\n".encode(),
            "is a threshold list, not a fails-to-deliver file",
            "give it as --threshold-list",
        ),
        (
            b"A" * (limits.LINE_BYTES + 9),
            ":1: the line is longer than",
            "give a text file with a line for",
        ),
    ],
)
def test_file_of_another_kind_is_refused_with_a_cure(
    tmp_path: Path, content: bytes, message: str, cure: str
) -> None:
    """A file that is not a text of the SEC is named by its kind."""
    result = import_sec(save(tmp_path, content))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert f"fix: {cure}" in result.stderr


def test_sec_packed_files_give_the_same_records(tmp_path: Path) -> None:
    """A .gz file and an archive of several files are read as the files in them."""
    plain = import_sec(save(tmp_path, ONE.encode(), "a.txt"), save(tmp_path, TWO.encode(), "b.txt"))
    archive = pack(
        tmp_path, {"x/b.txt": TWO.encode(), "a.txt": ONE.encode(), "__MACOSX/._a.txt": b"junk"}
    )
    zipped = import_sec(archive)
    packed = import_sec(
        save(tmp_path, gzip.compress(TWO.encode()), "b.gz"),
        save(tmp_path, gzip.compress(ONE.encode("utf-16")), "a.gz"),
    )
    for result in (zipped, packed):
        assert result.exit_code == 0, result.stderr
        assert ages(result) == ages(plain) == {f"SEC-20230303-{MSFT}": 2, f"SEC-20230303-{AMC}": 0}
        assert "rows 4  files 2  damaged lines 0" in result.stderr
    assert records(zipped)[0]["origin"]["file"] == "fails.zip (x/b.txt)"


def test_sec_damage_in_an_archive_names_the_file_in_it(tmp_path: Path) -> None:
    """A message about a row names the archive, the file in it and the line."""
    archive = pack(tmp_path, {"a.txt": ONE.encode(), "b.txt": TWO.replace("100", "?", 1).encode()})
    result = import_sec(archive)
    assert result.exit_code == 1
    assert f"{archive} (b.txt):2: QUANTITY (FAILS) is " in result.stderr


def test_sec_bad_archives_are_refused(tmp_path: Path) -> None:
    """An empty archive, an archive in an archive, too many files and a bomb are refused."""
    inner = pack(tmp_path, {"a.txt": ONE.encode()}, "inner.zip").read_bytes()
    many = {f"{number}.txt": b"" for number in range(limits.ARCHIVE_FILES + 1)}
    bomb = {f"{number}.txt": bytes(16 * 2**20) for number in range(6)}
    for members, message in (
        ({}, "the archive is empty"),
        ({"inner.zip": inner}, "holds a zip file again"),
        ({"inner.gz": gzip.compress(b"", mtime=0)}, "holds a gzip file again"),
        (many, "the archive has 1,001 files; accepted: up to 1,000"),
        (bomb, "unpacks to 100,663,296 bytes; accepted: up to "),
    ):
        result = import_sec(pack(tmp_path, members))
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
        assert "\nfix: " in result.stderr


def test_sec_cut_packed_file_is_refused(tmp_path: Path) -> None:
    """Packed data that is cut off gives no records, because rows are missing."""
    whole = gzip.compress(REAL.read_bytes())
    result = import_sec(save(tmp_path, whole[: len(whole) // 2], "a.gz"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the packed data is damaged or cut off" in result.stderr


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\ufeff"])
def test_sec_joined_files_are_read_one_by_one(
    tmp_path: Path, order: tuple[str, str], end: str
) -> None:
    """A header inside a file begins the next file, whose trailers count its own rows. The order of
    the parts, and the line end between them, do not matter.
    """
    joined = save(tmp_path, (order[0].removesuffix("\n") + end + order[1]).encode())
    result = import_sec(joined)
    assert result.exit_code == 0, result.stderr
    assert ages(result) == {f"SEC-20230303-{MSFT}": 2, f"SEC-20230303-{AMC}": 0}
    lines = joined.read_text().splitlines()
    origin = records(result)[0]["origin"]
    assert lines[origin["line"] - 1].startswith("20230303")
    assert "rows 4  files 2" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("before", range(24))
def test_sec_header_on_the_border_of_two_pieces_is_found(tmp_path: Path, before: int) -> None:
    """A file is read in pieces. A mark and a header on their border are found, and the lines of
    later rows keep their numbers.
    """
    days = (date(1980, 1, 1) + timedelta(number) for number in range(4_000))
    rows = "\n".join([HEADER, *(row(f"{day:%Y%m%d}") for day in days)]).encode()
    border = limits.UNPACKING_BYTES - before
    content = rows[:border].rpartition(b"\n")[0].ljust(border - 1) + b"\n"
    content += codecs.BOM_UTF8 + TWO.encode()
    result = import_sec(save(tmp_path, content))
    assert result.exit_code == 0, result.stderr
    assert {record["cusip"] for record in records(result)} == {MSFT, AMC}
    line = records(result)[0]["origin"]["line"]
    assert content.decode("utf-8-sig").split("\n")[line - 1].startswith("20230303")


def test_sec_trailer_of_a_part_counts_its_own_rows(tmp_path: Path) -> None:
    """A wrong trailer is reported for the part that it ends, with its line in the file."""
    wrong = TWO.replace("count 2", "count 4")
    path = save(tmp_path, (ONE + wrong).encode())
    result = import_sec(path)
    assert result.exit_code == 1
    assert f'{path}:9: Trailer record count is "4"; accepted: 2' in result.stderr
    assert "damaged lines 1" in result.stderr


def test_sec_too_many_joined_files_are_refused(tmp_path: Path) -> None:
    """A file of headers is not read a thousand times."""
    result = import_sec(save(tmp_path, f"{HEADER}\n".encode() * (limits.ARCHIVE_FILES + 1)))
    assert result.exit_code == 2
    assert ":1001: the file has more than 1,000 headers" in result.stderr


@pytest.mark.parametrize(
    ("end", "price", "description"),
    [
        ("SOME INC|2.50", "2.50", "SOME INC"),
        ("SOME INC|2.50|", "2.50", "SOME INC"),
        ("SOME INC|2.50 | |", "2.50", "SOME INC"),
        ("SOME INC|", None, "SOME INC"),
        ("SOME INC| ", None, "SOME INC"),
        ("SOME INC||", None, "SOME INC"),
        ("SOME INC|.|", None, "SOME INC"),
        ("SOME|INC|2.50|", "2.50", "SOME|INC"),
        ("SOME|INC|", None, "SOME|INC"),
    ],
)
def test_sec_price_stands_before_bars_at_the_end(
    tmp_path: Path, end: str, price: str | None, description: str
) -> None:
    """Bars beyond those of the header do not hide the price; a blank price equals `.`."""
    line = f"20230301|{MSFT}|MSFT|100|{end}"
    result = import_sec(write(tmp_path, line))
    [record] = records(result)
    shown = record["origin"]["price"]
    assert (None if shown is None else str(shown), record["origin"]["description"]) == (
        price,
        description,
    )
    assert ("market_value" in record["origin"]["assumed"]) == (price is None)


def test_sec_line_in_utf_8_keeps_its_letters(tmp_path: Path) -> None:
    """A line that is valid UTF-8 is read so, any other as cp1252, in one file."""
    lines = [HEADER, row("20230301", name="CAFÉ"), row("20230301", AMC, name="CAFÉ")]
    parts = [line.encode("cp1252" if number == 2 else "utf-8") for number, line in enumerate(lines)]
    found = records(import_sec(save(tmp_path, b"\n".join(parts))))
    assert [record["origin"]["description"] for record in found] == ["CAFÉ", "CAFÉ"]


def test_threshold_lists_in_an_archive_are_all_read(tmp_path: Path) -> None:
    """Each list of an archive has the date of its own name or last line."""
    body = f"{NASDAQ}\r\nMSFT|A|Q|Y|N|\r\n"
    archive = pack(
        tmp_path,
        {
            "nasdaqth20230301.txt": body.encode("utf-16"),
            "th/nasdaqth20230302.txt": f"{NASDAQ}\r\n20230302210501\r\n".encode(),
            "third.txt": (codecs.BOM_UTF8 + f"{body}20230303\0".encode()),
        },
        "lists20991231.zip",
    )
    fails = write(tmp_path, *(row(f"2023030{day}") for day in "123"))
    result = import_lists(fails, [archive], "--every-day")
    assert result.exit_code == 0, result.stderr
    assert [record["reg_sho_threshold"] for record in records(result)] == [True, False, True]
    assert f"{archive} (nasdaqth20230301.txt): is UTF-16" in result.stderr
    assert f"{archive} (third.txt): 1 NUL bytes were left out" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a threshold list: it is empty"),
        (ONE.encode(), "is not a threshold list, but a fails-to-deliver file of the SEC"),
        (b"Symbol,Name\nAMC,A\n", "is not a threshold list: its first line must begin with"),
        (b"<html><body>", "is an HTML page"),
        (LIST.read_bytes().replace(b"\r\n", b" "), "is not a threshold list: its first line must"),
        (NASDAQ.encode() + b"\nAMC|A|Q|Y|N|\n", "has no date, neither in its last line"),
    ],
)
def test_threshold_file_of_another_kind_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """A file that is not a threshold list is named by its kind."""
    path = save(tmp_path, content, "list.txt")
    result = import_lists(write(tmp_path, row("20230301")), [path])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "\nfix: " in result.stderr


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 420), noise=st.binary(max_size=4))
def test_threshold_overwritten_bytes_never_cause_a_crash(
    tmp_path: Path, position: int, noise: bytes
) -> None:
    """With any bytes overwritten a list is read, reported or refused, and never read in part."""
    whole = LIST.read_bytes()
    path = save(tmp_path, whole[:position] + noise + whole[position + len(noise) :], "list.txt")
    fails = write(tmp_path, row("20230314", GME))
    result = import_lists(fails, [path], "--list-date", "20230314")
    assert result.exit_code in (0, 1, 2), result.stderr
    assert "Traceback" not in result.stderr
    assert json.dumps(result.stderr)
