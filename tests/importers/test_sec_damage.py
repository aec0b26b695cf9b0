"""Damaged files of the SEC: what is wrong is told by line, on stderr, with exit 1, and the other
rows go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.importers.test_sec_fails import (
    AMC,
    GME,
    HEADER,
    MSFT,
    REAL,
    ages,
    imported,
    records,
    row,
    write,
)


def trailers(count: int, shares: int) -> tuple[str, str]:
    return f"Trailer record count {count}", f"Trailer total quantity of shares {shares}"


def test_a_row_that_two_files_have_is_damage_in_the_second(tmp_path: Path) -> None:
    """Rule: one row per settlement date and CUSIP; the file that begins first keeps it."""
    first = write(tmp_path, row("20230301"), row("20230302", qty=7), name="a.txt")
    second = write(tmp_path, row("20230302", qty=8), name="b.txt")
    result = imported(second, first)
    assert result.exit_code == 1
    assert [record["qty"] for record in records(result)] == [7]
    assert f"{second}:2: CUSIP is " in result.stderr
    assert "a.txt:3" in result.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (row("20230231"), 'SETTLEMENT DATE is "20230231"; accepted: a date, YYYYMMDD'),
        (
            row("20230301", "594918105"),
            'CUSIP is "594918105"; accepted: a CUSIP whose check digit is right; 59491810 takes 4',
        ),
        (row("20230301", "59491810"), 'CUSIP is "59491810"; accepted: nine characters'),
        (
            row("20230301", qty="12x"),
            'QUANTITY (FAILS) is "12x"; accepted: a whole number of shares above 0',
        ),
        (row("20230301", qty=0), 'QUANTITY (FAILS) is "0"; accepted'),
        (row("20230301", qty=-5), 'QUANTITY (FAILS) is "-5"; accepted'),
        (row("20230301", qty="1" * 40), "QUANTITY (FAILS) is "),
        (row("20230301", price="-1.00"), 'PRICE is "-1.00"; accepted: US dollars of at least 0'),
        (row("20230301", price="NaN"), 'PRICE is "NaN"; accepted'),
        (row("20230301", price=""), 'PRICE is ""; accepted'),
        (
            row("20230301", qty=999_999_999_999, price="999999999"),
            "market_value is 999999998999000000001; accepted",
        ),
        ("20230301|594918104|MSFT", 'row is "20230301|594918104|MSFT"; accepted: six fields'),
        ("", 'row is ""; accepted: no blank line'),
    ],
)
def test_a_bad_row_is_told_by_line_and_its_neighbours_go_on(
    tmp_path: Path, line: str, told: str
) -> None:
    """Rule: `file:line: field value; accepted: ...` on stderr, exit 1, and every other row gives
    its record.
    """
    path = write(tmp_path, row("20230301", AMC), line, row("20230301", GME))
    result = imported(path)
    assert result.exit_code == 1
    assert f"{path}:3: {told}" in result.stderr
    assert [record["cusip"] for record in records(result)] == [AMC, GME]
    assert "damaged lines 1" in result.stderr


def test_every_problem_of_a_row_is_told(tmp_path: Path) -> None:
    """Rule: a row with three faults is one damaged line with three messages."""
    result = imported(write(tmp_path, row("2023", "X", price="free")))
    assert result.stderr.count("fails.txt:2: ") == 3
    assert "damaged lines 1" in result.stderr


def test_a_damaged_quantity_does_not_make_a_fail_look_fresh(tmp_path: Path) -> None:
    """Rule: a row that still names its day and CUSIP keeps the run unbroken, though it gives no
    record.
    """
    path = write(tmp_path, row("20230301"), row("20230302", qty="?"), row("20230303"))
    assert ages(imported(path)) == {f"SEC-20230303-{MSFT}": 2}


def test_dates_must_not_go_back_inside_a_file(tmp_path: Path) -> None:
    """Rule: a row dated before the rows above it is damage, and only it."""
    path = write(tmp_path, row("20230302"), row("20230301", AMC), row("20230302", GME))
    result = imported(path)
    assert result.exit_code == 1
    assert f"{path}:3: SETTLEMENT DATE is " in result.stderr
    assert [record["cusip"] for record in records(result)] == [MSFT, GME]


def test_one_date_too_late_does_not_condemn_the_rest_of_the_file(tmp_path: Path) -> None:
    """Rule: a row that the two after it disagree with is itself the wrong one."""
    path = write(
        tmp_path, row("20230301"), row("20290301", AMC), row("20230301", GME), row("20230302")
    )
    result = imported(path, "--every-day")
    assert f"{path}:3: SETTLEMENT DATE is " in result.stderr
    assert "damaged lines 1" in result.stderr
    assert ages(result) == {
        f"SEC-20230301-{MSFT}": 0,
        f"SEC-20230301-{GME}": 0,
        f"SEC-20230302-{MSFT}": 1,
    }


def test_trailers_that_agree_are_silent(tmp_path: Path) -> None:
    """Rule: the trailer counts all rows and all shares of its file; CRLF and a blank last line
    change nothing.
    """
    assert (
        imported(
            write(tmp_path, row("20230301"), row("20230302", qty=7), *trailers(2, 107))
        ).exit_code
        == 0
    )
    assert (
        imported(write(tmp_path, row("20230301"), *trailers(1, 100), "", end="\r\n")).exit_code == 0
    )


@pytest.mark.parametrize(
    ("closing", "line", "told"),
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
def test_a_trailer_that_disagrees_is_told(
    tmp_path: Path, closing: Sequence[str], line: int, told: str
) -> None:
    """Rule: a trailer that does not fit the rows means that the file was cut or changed; its rows
    are still used.
    """
    path = write(tmp_path, row("20230301"), row("20230302", qty=7), *closing)
    result = imported(path)
    assert result.exit_code == 1
    assert f"{path}:{line}: {told}" in result.stderr
    assert "damaged lines 1" in result.stderr
    assert [record["qty"] for record in records(result)] == [7]


def test_bad_rows_count_for_the_trailer(tmp_path: Path) -> None:
    """Rule: a row with a wrong check digit is still a row of the file, so the trailer that counts
    it is right.
    """
    result = imported(
        write(tmp_path, row("20230301"), row("20230301", "594918105", 5), *trailers(2, 105))
    )
    assert "damaged lines 1" in result.stderr


@pytest.mark.parametrize("header", ["SETTLEMENT DATE;CUSIP;SYMBOL", "", "PK\x03\x04\x14"])
def test_a_file_of_another_kind_is_told_once(tmp_path: Path, header: str) -> None:
    """Rule: a first line that is neither header nor row is told with the header there should be;
    the rest is not read.
    """
    result = imported(write(tmp_path, "anything", "at all", header=header))
    assert result.exit_code == 1
    assert f"fails.txt:1: header is {json.dumps(header)}; accepted: {HEADER}" in result.stderr
    assert "rows 0" in result.stderr


def test_a_missing_header_costs_no_row(tmp_path: Path) -> None:
    """Rule: a file that begins with a row has that row read, and the header told as missing."""
    result = imported(write(tmp_path, row("20230301", AMC), header=row("20230301")))
    assert result.exit_code == 1
    assert ":1: header is " in result.stderr
    assert [record["cusip"] for record in records(result)] == [MSFT, AMC]


def test_a_description_may_hold_bars_and_old_bytes(tmp_path: Path) -> None:
    """Rule: four fields from the left, the price from the right, cp1252: `CAFÉ|BAR INC` is one
    description.
    """
    [record] = records(imported(write(tmp_path, row("20230301", name="CAFÉ|BAR INC  "))))
    assert record["origin"]["description"] == "CAFÉ|BAR INC"
    assert record["market_value"] == 250


def test_bytes_that_no_encoding_has_never_stop_a_file(tmp_path: Path) -> None:
    """Rule: a byte that cp1252 lacks costs a row only where it hits a figure; NUL bytes neither."""
    path = tmp_path / "fails.txt"
    lines = [
        HEADER,
        row("20230301", name="A\x00B~"),
        row("20230301", AMC, qty="1~"),
        row("20230301", GME),
    ]
    path.write_bytes("\n".join(lines).encode("cp1252").replace(b"~", b"\x81"))
    result = imported(path)
    assert [record["cusip"] for record in records(result)] == [MSFT, GME]
    assert f"{path}:3: QUANTITY (FAILS) is " in result.stderr


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 700), noise=st.binary(max_size=4))
def test_no_damage_ends_in_a_traceback(tmp_path: Path, position: int, noise: bytes) -> None:
    """Rule: whatever bytes are overwritten, the exit code is 0 or 1, and there are no more records
    than lines.
    """
    whole = REAL.read_bytes()[:700]
    path = tmp_path / "fails.txt"
    path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
    result = imported(path, "--every-day")
    assert result.exit_code in (0, 1), result.exception
    assert len(records(result)) <= path.read_bytes().count(b"\n")


@pytest.mark.parametrize(
    "closing", ["20230314233004", "20230314233004|||||", "File Creation Time: 03142023 23:30", None]
)
def test_bad_rows_of_a_threshold_list_are_told(tmp_path: Path, closing: str | None) -> None:
    """Rule: a flag but Y or N, a row too short and a symbol given twice are told by line; the
    closing line is no row.
    """
    head = "Symbol|Security Name|Market Category|Reg SHO Threshold Flag|Rule 3210|Filler"
    body = ["MSFT|A | B INC|Q|Y|N|", "AMC|AMC INC|N|?|N|", "GME|GME", "MSFT|TWICE|Q|N|N|"]
    path = write(
        tmp_path, *body, *([closing] if closing else []), name="list.txt", header=head, end="\r\n"
    )
    result = imported(
        write(tmp_path, row("20230301"), row("20230301", AMC, symbol="AMC")),
        "--threshold-list",
        path,
    )
    assert result.exit_code == 1
    assert [line.split(";")[0] for line in result.stderr.splitlines()[:-1]] == [
        f'{path}:3: Reg SHO Threshold Flag is "?"',
        f'{path}:4: row is "GME|GME"',
        f'{path}:5: Symbol is "MSFT"',
    ]
    assert [record["reg_sho_threshold"] for record in records(result)] == [True, False]
