"""Named repairs of cells: each leads to one value and is done only where it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.domain import cusip as cusips
from finops_cli.importers.mapped_rows.repairs import DESCRIPTIONS, repair_value
from tests.importers.mapped_rows.test_csv_blotter import (
    GOOD,
    HEADER,
    MAPPING,
    import_blotter,
    records,
)
from tests.support.program import Result

ALL = frozenset(DESCRIPTIONS)
CUSIP, DTC = "cusip", "counterparty"


@pytest.mark.parametrize(
    ("field", "text", "value", "names"),
    [
        (CUSIP, "594918104", "594918104", []),
        (CUSIP, '="594918104"', "594918104", ["formula_text"]),
        (CUSIP, "'594918104", "594918104", ["apostrophe"]),
        (CUSIP, "594918-10-4", "594918104", ["hyphens"]),
        (CUSIP, "594918 10 4", "594918104", ["hyphens"]),
        (CUSIP, "'594918-104", "594918104", ["apostrophe", "hyphens"]),
        (CUSIP, "360206", "000360206", ["leading_zero"]),
        (CUSIP, "G1151C10", "G1151C101", ["check_digit"]),
        (CUSIP, "59491810", "594918104", ["check_digit"]),
        (CUSIP, "US5949181045", "594918104", ["us_isin"]),
        (CUSIP, "US 594918104 5", "594918104", ["hyphens", "us_isin"]),
        (DTC, "DTC-0352", "DTC-0352", []),
        (DTC, "352", "DTC-0352", ["pad_dtc"]),
        (DTC, "0352", "DTC-0352", ["pad_dtc"]),
        (DTC, "DTC352", "DTC-0352", ["pad_dtc"]),
        (DTC, "dtc-352", "DTC-0352", ["pad_dtc"]),
        (DTC, "DTC #352", "DTC-0352", ["pad_dtc"]),
        (DTC, "00000352", "DTC-0352", ["pad_dtc"]),
        (DTC, "352.0", "DTC-0352", ["pad_dtc"]),
        (DTC, '="0352"', "DTC-0352", ["formula_text", "pad_dtc"]),
    ],
)
def test_repair_that_fits_is_done_counted_and_marked(
    tmp_path: Path, field: str, text: str, value: str, names: list[str]
) -> None:
    """Rule: a repair that the mapping names is done, marked in `origin` and counted on stderr."""
    result = import_cell(tmp_path, field, text, sorted(_allowed(field)))
    assert result.exit_code == 0, result.stderr
    [record] = records(result)
    assert record[field] == value
    assert record["origin"].get("repaired", {}) == ({field: names} if names else {})
    for name in names:
        assert f"{field}: 1 cell repaired by {name}\n" in result.stderr
    assert ("repaired by" in result.stderr) is bool(names)


@pytest.mark.parametrize(
    ("field", "text", "fix"),
    [
        (CUSIP, '="594918104"', "write repairs: [formula_text] for this column"),
        (CUSIP, "594918-10-4", "write repairs: [hyphens] for this column"),
        (CUSIP, "360206", "write repairs: [leading_zero] for this column"),
        (CUSIP, "37833100", "write repairs: [leading_zero] or repairs: [check_digit] for this"),
        (CUSIP, "G1151C10", "write repairs: [check_digit] for this column"),
        (CUSIP, "US5949181045", "write repairs: [us_isin] for this column"),
        (CUSIP, "'594918-104", "write repairs: [apostrophe, hyphens] for this column"),
        (CUSIP, "3.78331E+07", "the number has lost digits: format the column as text"),
        (CUSIP, "8.88E+08", "the number has lost digits: format the column as text"),
        (DTC, "352", "write repairs: [pad_dtc] for this column"),
        (DTC, '="0352"', "write repairs: [formula_text, pad_dtc] for this column"),
        (DTC, "Goldman", 'write values: {"Goldman": VALUE} for this column'),
        ("qty", '="5000"', "write repairs: [formula_text] for this column"),
        ("qty", "(5000)", "write sign: drop, or sign: negate, for this column"),
        ("qty", "12.000", "write numbers: {decimal: "),
        ("qty", "", "fill in the cell, or leave the row out with rows: skip"),
        ("qty", "12,00", "if all numbers of the file are written so; else correct the cell"),
        ("side", "S", 'write values: {"S": VALUE} for this column'),
    ],
)
def test_repair_that_is_not_named_is_not_done(
    tmp_path: Path, field: str, text: str, fix: str
) -> None:
    """Rule: a cell that a key of the mapping would read is refused, and the message names it."""
    result = import_cell(tmp_path, field, text, [])
    assert (result.exit_code, result.stdout) == (1, "")
    assert fix in result.stderr
    assert "repaired by" not in result.stderr


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (CUSIP, "594918105"),
        (CUSIP, "59491810O4"),
        (CUSIP, "594918-105"),
        (CUSIP, "1234567"),
        (CUSIP, "G1151C1"),
        (CUSIP, "US5949181046"),
        (CUSIP, "CA0641491075"),
        (CUSIP, "GB0002634946"),
        (CUSIP, "3.78331E+07"),
        (CUSIP, '"=594918104"'),
        (DTC, "12345"),
        (DTC, "0"),
        (DTC, "0000"),
        (DTC, "-352"),
        (DTC, "352.5"),
        (DTC, "3 52"),
        (DTC, "DTC"),
        (DTC, "PRIVATE 352"),
    ],
)
def test_cell_that_no_repair_fits_is_refused(tmp_path: Path, field: str, text: str) -> None:
    """Rule: a repair leads to a valid value or leaves the cell as it is."""
    result = import_cell(tmp_path, field, text, sorted(_allowed(field) - {"check_digit"}))
    assert (result.exit_code, result.stdout) == (1, ""), result.stdout
    assert "repaired by" not in result.stderr


def test_eight_digits_with_two_meanings_are_refused(tmp_path: Path) -> None:
    """Rule: 37833100 is Apple without its zero, or another security without its check digit."""
    result = import_cell(tmp_path, CUSIP, "37833100", ["leading_zero", "check_digit"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "which may be 037833100 (leading_zero) or 378331003 (check_digit)" in result.stderr
    assert "fix: keep one of the two repairs in the mapping" in result.stderr
    for name, value in (("leading_zero", "037833100"), ("check_digit", "378331003")):
        [record] = records(import_cell(tmp_path, CUSIP, "37833100", [name]))
        assert record["cusip"] == value


EIGHT = st.text(cusips.ALPHABET[:36], min_size=8, max_size=8)


@given(EIGHT, st.sampled_from(("{}", "{}-", "'{}")))
def test_whole_cusip_is_never_read_as_another_one(eight: str, form: str) -> None:
    """Rule: no repair changes a valid CUSIP, with whatever is written around it."""
    cusip = eight + cusips.check_digit(eight)
    if form == "{}":
        assert repair_value(cusip, ALL, CUSIP) == [(cusip, ())]
    if form == "{}-":
        text = f"{cusip[:6]}-{cusip[6:8]}-{cusip[8]}"
        assert [each.text for each in repair_value(text, ALL, CUSIP)] == [cusip]


@given(st.text("0123456789", min_size=8, max_size=8))
def test_cusip_without_its_zero_has_its_own_meaning_among_others(digits: str) -> None:
    """Rule: where zeros are lost, the repairs find the CUSIP, or refuse because of another."""
    eight = "0" + digits[:7]
    cusip = eight + cusips.check_digit(eight)
    short = cusip.lstrip("0")
    found = [each.text for each in repair_value(short, ALL, CUSIP)]
    assert cusip in found or len(short) < 5
    assert [each.text for each in repair_value(short, frozenset({"leading_zero"}), CUSIP)] == (
        [cusip] if len(short) >= 5 else [short]
    )


@given(EIGHT, st.integers(0, 8), st.sampled_from(cusips.ALPHABET[:36]))
def test_cusip_with_a_wrong_character_is_refused(eight: str, place: int, sign: str) -> None:
    """Rule: one wrong character is never repaired to a CUSIP that differs from what is written."""
    cusip = eight + cusips.check_digit(eight)
    wrong = cusip[:place] + sign + cusip[place + 1 :]
    for each in repair_value(wrong, ALL, CUSIP):
        assert each.text == wrong


@given(st.integers(1, 9999), st.sampled_from(("{}", "{:04}", "DTC{}", "dtc-{:04}", "DTC {}")))
def test_participant_number_in_each_form_is_the_same(number: int, form: str) -> None:
    """Rule: a participant number has four digits, whatever is written before it."""
    assert [each.text for each in repair_value(form.format(number), ALL, DTC)] == [
        f"DTC-{number:04}"
    ]


def _allowed(field: str) -> set[str]:
    text = {"formula_text", "apostrophe"}
    own = {CUSIP: {"hyphens", "leading_zero", "check_digit", "us_isin"}, DTC: {"pad_dtc"}}
    return text | own.get(field, set())


def import_cell(folder: Path, field: str, text: str, repairs: list[str]) -> Result:
    """Import one row whose cell of `field` holds `text`."""
    columns = {CUSIP: "Security", DTC: "Contra", "qty": "Shares", "side": "Side"}
    old = {CUSIP: "594918104", DTC: "DTC-0005", "qty": '"5,000"', "side": "Sell"}
    column = columns[field]
    mapping = MAPPING.replace(
        f"{field}: {column}\n", f"{field}: {{column: {column}, repairs: [{', '.join(repairs)}]}}\n"
    )
    quoted = '"' + text.replace('"', '""') + '"'
    return import_blotter(folder, f"{HEADER}\n{GOOD.replace(old[field], quoted, 1)}\n", mapping)
