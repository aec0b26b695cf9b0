"""Damaged SEC files: each problem is reported by line on stderr with exit 1, and the other rows are
imported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.importers.sec.test_sec_fails import (
    AMC,
    GME,
    HEADER,
    MSFT,
    REAL,
    ages,
    import_sec,
    records,
    row,
    write,
)
from tests.support.soak import scaled


def trailers(count: int, shares: int) -> tuple[str, str]:
    return f"Trailer record count {count}", f"Trailer total quantity of shares {shares}"


def test_sec_row_in_two_files_is_damage_in_the_second(tmp_path: Path) -> None:
    """Two files may not have a row for the same date and CUSIP. The file that starts first keeps
    it.
    """
    first = write(tmp_path, row("20230301"), row("20230302", qty=7), name="a.txt")
    second = write(tmp_path, row("20230302", qty=8), name="b.txt")
    result = import_sec(second, first)
    assert result.exit_code == 1
    assert [record["qty"] for record in records(result)] == [7]
    assert f"{second}:2: CUSIP is " in result.stderr
    assert "a.txt:3" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row("20230231"), 'SETTLEMENT DATE is "20230231"; accepted: a date, YYYYMMDD'),
        (
            row("20230301", "594918105"),
            'CUSIP is "594918105"; accepted: a CUSIP whose check digit is right; 59491810 takes 4',
        ),
        (row("20230301", "59491810"), 'CUSIP is "59491810"; accepted: nine capital letters'),
        (
            row("20230301", qty="12x"),
            'QUANTITY (FAILS) is "12x"; accepted: a whole number of shares above 0',
        ),
        (row("20230301", qty=0), 'QUANTITY (FAILS) is "0"; accepted'),
        (row("20230301", qty=-5), 'QUANTITY (FAILS) is "-5"; accepted'),
        (row("20230301", qty="1" * 40), "QUANTITY (FAILS) is "),
        (row("20230301", price="-1.00"), 'PRICE is "-1.00"; accepted: US dollars of at least 0'),
        (row("20230301", price="NaN"), 'PRICE is "NaN"; accepted'),
        (
            row("20230301", qty=999_999_999_999, price="999999999"),
            "market_value is 999999998999000000001; accepted",
        ),
        ("20230301|594918104|MSFT", 'row is "20230301|594918104|MSFT"; accepted: six fields'),
        ("", 'row is ""; accepted: no blank line'),
    ],
)
def test_sec_bad_row_is_reported_and_others_are_imported(
    tmp_path: Path, line: str, message: str
) -> None:
    """A bad row is reported on stderr with its line, field, value and the accepted values. The exit
    code is 1, and the other rows are imported.
    """
    path = write(tmp_path, row("20230301", AMC), line, row("20230301", GME))
    result = import_sec(path)
    assert result.exit_code == 1
    assert f"{path}:3: {message}" in result.stderr
    assert [record["cusip"] for record in records(result)] == [AMC, GME]
    assert "damaged lines 1" in result.stderr


def test_sec_row_with_three_problems_is_one_damaged_line(tmp_path: Path) -> None:
    """A row with three problems gives three messages and counts as one damaged line."""
    result = import_sec(write(tmp_path, row("2023", "X", price="free")))
    assert result.stderr.count("fails.txt:2: ") == 3
    assert "damaged lines 1" in result.stderr


def test_sec_row_with_bad_quantity_keeps_the_age_counting(tmp_path: Path) -> None:
    """A row with a damaged quantity gives no record. It still counts as a day of the fail, so the
    age stays correct.
    """
    path = write(tmp_path, row("20230301"), row("20230302", qty="?"), row("20230303"))
    assert ages(import_sec(path)) == {f"SEC-20230303-{MSFT}": 2}


def test_sec_row_dated_before_the_previous_row_is_damage(tmp_path: Path) -> None:
    """A row that is dated before the rows above it is damage. The other rows are imported."""
    path = write(tmp_path, row("20230302"), row("20230301", AMC), row("20230302", GME))
    result = import_sec(path)
    assert result.exit_code == 1
    assert f"{path}:3: SETTLEMENT DATE is " in result.stderr
    assert [record["cusip"] for record in records(result)] == [MSFT, GME]


def test_sec_single_date_in_the_future_is_the_only_damage(tmp_path: Path) -> None:
    """If the two rows after a row are dated earlier, only that row is damage."""
    path = write(
        tmp_path, row("20230301"), row("20290301", AMC), row("20230301", GME), row("20230302")
    )
    result = import_sec(path, "--every-day")
    assert f"{path}:3: SETTLEMENT DATE is " in result.stderr
    assert "damaged lines 1" in result.stderr
    assert ages(result) == {
        f"SEC-20230301-{MSFT}": 0,
        f"SEC-20230301-{GME}": 0,
        f"SEC-20230302-{MSFT}": 1,
    }


def test_sec_correct_trailer_is_accepted(tmp_path: Path) -> None:
    """A trailer with the correct number of rows and shares is accepted, also with CRLF line ends
    and a blank last line.
    """
    assert (
        import_sec(
            write(tmp_path, row("20230301"), row("20230302", qty=7), *trailers(2, 107))
        ).exit_code
        == 0
    )
    assert (
        import_sec(write(tmp_path, row("20230301"), *trailers(1, 100), "", end="\r\n")).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("closing", "line", "message"),
    [
        (trailers(3, 107), 4, 'Trailer record count is "3"; accepted: 2'),
        (trailers(2, 108), 5, 'Trailer total quantity of shares is "108"; accepted: 107'),
        (
            ("Trailer record count many",),
            4,
            'trailer is "Trailer record count many"; accepted: Trailer record count N',
        ),
        ((*trailers(2, 107), row("20230302", AMC)), 6, "row is "),
    ],
)
def test_sec_wrong_trailer_is_damage_and_rows_are_used(
    tmp_path: Path, closing: Sequence[str], line: int, message: str
) -> None:
    """A trailer that disagrees with the rows is reported as damage, because the file may be
    incomplete. The rows are still used.
    """
    path = write(tmp_path, row("20230301"), row("20230302", qty=7), *closing)
    result = import_sec(path)
    assert result.exit_code == 1
    assert f"{path}:{line}: {message}" in result.stderr
    assert "damaged lines 1" in result.stderr
    assert [record["qty"] for record in records(result)] == [7]


def test_sec_trailer_counts_rows_with_a_bad_check_digit(tmp_path: Path) -> None:
    """A row with a wrong check digit counts for the trailer, so a trailer that includes it is
    correct.
    """
    result = import_sec(
        write(tmp_path, row("20230301"), row("20230301", "594918105", 5), *trailers(2, 105))
    )
    assert "damaged lines 1" in result.stderr


@pytest.mark.parametrize("header", ["SETTLEMENT DATE;CUSIP;SYMBOL", "hello"])
def test_sec_file_of_another_kind_is_reported_once(tmp_path: Path, header: str) -> None:
    """A file whose first line is neither a header nor a row gives one message with the expected
    header, and its rows are not read.
    """
    result = import_sec(write(tmp_path, "anything", "at all", header=header))
    assert result.exit_code == 1
    assert f"fails.txt:1: header is {json.dumps(header)}; accepted: {HEADER}" in result.stderr
    assert "rows 0" in result.stderr


def test_sec_missing_header_is_reported_and_first_row_read(tmp_path: Path) -> None:
    """A file that starts with a row is reported for its missing header, and that row is
    imported.
    """
    result = import_sec(write(tmp_path, row("20230301", AMC), header=row("20230301")))
    assert result.exit_code == 1
    assert ":1: header is " in result.stderr
    assert [record["cusip"] for record in records(result)] == [MSFT, AMC]


def test_sec_description_may_contain_bars_and_cp1252(tmp_path: Path) -> None:
    """A description may contain the separator `|` and characters of cp1252. The price is read from
    the right.
    """
    [record] = records(import_sec(write(tmp_path, row("20230301", name="CAFÉ|BAR INC  "))))
    assert record["origin"]["description"] == "CAFÉ|BAR INC"
    assert record["market_value"] == 250


def test_sec_undefined_byte_damages_only_a_number(tmp_path: Path) -> None:
    """A byte that cp1252 does not define damages a row only if it is inside a number. A NUL byte
    does no harm.
    """
    path = tmp_path / "fails.txt"
    lines = [
        HEADER,
        row("20230301", name="A\x00B~"),
        row("20230301", AMC, qty="1~"),
        row("20230301", GME),
    ]
    path.write_bytes("\n".join(lines).encode("cp1252").replace(b"~", b"\x81"))
    result = import_sec(path)
    assert [record["cusip"] for record in records(result)] == [MSFT, GME]
    assert f"{path}:3: QUANTITY (FAILS) is " in result.stderr


@pytest.mark.slow
@settings(max_examples=scaled(50, 150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 700), noise=st.binary(max_size=4))
def test_sec_overwritten_bytes_never_cause_a_crash(
    tmp_path: Path, position: int, noise: bytes
) -> None:
    """With any bytes overwritten the exit code is 0 or 1, and there are at most as many records as
    lines.
    """
    whole = REAL.read_bytes()[:700]
    path = tmp_path / "fails.txt"
    path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
    result = import_sec(path, "--every-day")
    assert result.exit_code in (0, 1), result.stderr
    assert len(records(result)) <= path.read_bytes().count(b"\n")


@pytest.mark.parametrize(
    "closing", ["20230301233004", "20230301233004|||||", "File Creation Time: 03012023 23:30", None]
)
def test_threshold_list_bad_rows_are_reported_by_line(tmp_path: Path, closing: str | None) -> None:
    """A wrong flag, a short row and a repeated symbol in a threshold list are reported by line. The
    closing line is not a row.
    """
    head = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Rule 3210|Filler"
    body = ["MSFT|A | B INC|Q|Y|N|", "AMC|AMC INC|N|?|N|", "GME|GME", "MSFT|TWICE|Q|N|N|"]
    path = write(
        tmp_path, *body, *([closing] if closing else []), name="list.txt", header=head, end="\r\n"
    )
    result = import_sec(
        write(tmp_path, row("20230301"), row("20230301", AMC, symbol="AMC")),
        "--threshold-list",
        path,
        *(() if closing else ("--list-date", "2023-03-01")),
        "--quiet",
    )
    assert result.exit_code == 1
    assert [line.split(";")[0] for line in result.stderr.splitlines()] == [
        f'{path}:3: Reg SHO Threshold Flag is "?"',
        f'{path}:4: row is "GME|GME"',
        f'{path}:5: Symbol is "MSFT"',
    ]
    assert [record["reg_sho_threshold"] for record in records(result)] == [True, False]
