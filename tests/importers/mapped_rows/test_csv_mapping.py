"""MAPPING.yaml: what is refused, with every fault of the file and the header at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finops_cli.errors import UsageError
from finops_cli.importers.mapped_rows.mapping import read_mapping
from tests.importers.mapped_rows.test_csv_blotter import GOOD, HEADER, MAPPING, import_blotter


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            MAPPING.replace("columns:", "colums:"),
            "colums is not a known key (did you mean columns?)",
        ),
        (MAPPING.replace("columns:", "colums:"), "columns is missing"),
        (
            MAPPING + "csv: {separator: ;}\n",
            "csv.separator is not a known key. Expected one of: del",
        ),
        (MAPPING + "csv: {delimiter: tab}\n", "csv.delimiter is 'tab'. Expected one character"),
        (
            MAPPING + "csv: {encoding: klingon}\n",
            "csv.encoding is 'klingon'. Expected an encoding",
        ),
        (
            MAPPING.replace("side: Side", "side: {column: Side, value: {B: Buy}}"),
            "columns.side.value is not a known key (did you mean values?)",
        ),
        (
            MAPPING.replace("side: Side", "side: [Side]"),
            "columns.side is a list with 1 entry. Expected ",
        ),
        (
            MAPPING + "  quantity: Shares\n",
            "columns.quantity is not a field that a cell can hold. Expected one of: fail_id, cusip",
        ),
        (
            MAPPING + "constants: {ftrs: x}\n",
            "constants.ftrs is not a field that a cell can hold",
        ),
        (
            MAPPING + "  notes: Remarks\n",
            "column 'Remarks', mapped to notes, is not in the header\n  the header has: Ref, Secur",
        ),
        (
            MAPPING.replace("  qty: Shares\n", ""),
            "columns.qty is missing. Expected a column, or a value under constants",
        ),
        (
            MAPPING + "  inventory.recall_outstanding: Shares\n",
            "columns.inventory.box_qty is missing",
        ),
        (
            MAPPING + "constants: {qty: 5}\n",
            "constants.qty is given under columns too. Expected one of the two",
        ),
        (MAPPING + "  qty: Days\n", "qty is given twice; keep one"),
        (
            MAPPING + "constants: {cns_eligible: perhaps}\n",
            "constants.cns_eligible is 'perhaps'. Expected Yes, No",
        ),
        (
            MAPPING + "constants: {reg_sho_status: SOON}\n",
            'constants.reg_sho_status is "SOON". Expected APPROACHING',
        ),
        ("columns: [", "is not YAML"),
        ("", "the file is empty. Expected keys with values"),
        (
            "!!python/object/apply:os.system [true]",
            "the file is a list with 1 entry. Expected keys",
        ),
    ],
)
def test_csv_invalid_mapping_is_refused_before_any_record(
    tmp_path: Path, mapping: str, message: str
) -> None:
    """An invalid mapping ends with exit 2, names the key and writes no output."""
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not re.search("Value error|Input should|pydantic", result.stderr)


def test_csv_mapping_with_six_errors_lists_all_of_them(tmp_path: Path) -> None:
    """All errors of a mapping are reported at once, each with its path."""
    mapping = MAPPING.replace("side: Side", "side: {colum: Side}") + (
        "  quantity: Shares\ncsv: {delimiter: tab, encoding: klingon}\nconstant: {}\n"
    )
    message = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping).stderr
    assert "mapping.yaml has 6 faults:" in message
    for path in (
        "columns.side.column is missing",
        "columns.side.colum is not a known key",
        "columns.quantity is not a field",
        "csv.delimiter is 'tab'",
        "csv.encoding is 'klingon'",
        "constant is not a known key (did you mean constants?)",
    ):
        assert f"\n  {path}" in message


def test_mapping_with_faults_in_every_layer_lists_them_together(tmp_path: Path) -> None:
    """Rule: the types, the fields, the constants and the meanings of cells are checked at once."""
    mapping = MAPPING.replace("side: Side", "side: {column: Side, values: {B: Buyy, S: 3}}") + (
        "constants: {side: sell, notes: {a: 1}, cns_eligible: perhaps}\n"
    )
    message = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping).stderr
    for fault in (
        "constants.notes is an object with 1 field",
        "constants.side is given under columns too",
        'constants.side is "sell". Expected ',
        "constants.cns_eligible is 'perhaps'",
        'columns.side.values.B is "Buyy". Expected ',
        'columns.side.values.S is "3"',
    ):
        assert fault in message
    assert "\nfix: " in message


def test_mapping_with_several_wrong_columns_names_each(tmp_path: Path) -> None:
    """Rule: every column that the header lacks is named, each with the nearest one that it has."""
    mapping = MAPPING.replace("Shares", "Sharez").replace("Days", "Dayz")
    message = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping).stderr
    assert "lacks 2 columns of the mapping" in message
    assert (
        "column 'Sharez', mapped to qty, is not in the header (did you mean 'Shares'?)" in message
    )
    assert "column 'Dayz', mapped to age_days, is not in the header" in message
    assert "\nfix: correct the names" in message


@pytest.mark.parametrize(
    ("header", "mapping", "cure"),
    [
        (HEADER, MAPPING + 'csv: {delimiter: ";"}\n', 'write csv: {delimiter: ","} in '),
        (HEADER, MAPPING.replace("columns:", "delimter: x\ncolumns:"), "did you mean csv.delimi"),
    ],
)
def test_wrong_delimiter_is_recognised(
    tmp_path: Path, header: str, mapping: str, cure: str
) -> None:
    """Rule: where another delimiter finds every column, the cure names it."""
    result = import_blotter(tmp_path, f"{header}\n", mapping)
    assert result.exit_code == 2
    assert cure in result.stderr


def test_encoding_against_the_file_is_refused(tmp_path: Path) -> None:
    """Rule: UTF-16 read as UTF-8 gets the cure, not a message about its bytes alone."""
    text = f"{HEADER}\n{GOOD}\n".encode("utf-16")
    result = import_blotter(tmp_path, text, MAPPING + "csv: {encoding: utf-8}\n")
    assert result.exit_code == 2
    assert "looks like UTF-16: save it as UTF-8" in result.stderr


@pytest.mark.parametrize(
    "row", ['"', '"a"b,c', "x" * 70_000, GOOD.replace("D-1", '"D-1')], ids=range(4)
)
def test_damaged_row_is_described_without_words_of_python(tmp_path: Path, row: str) -> None:
    """Rule: a fault of the CSV format is a plain sentence."""
    message = import_blotter(tmp_path, f"{HEADER}\n{row}\n").stderr
    assert not re.search("unexpected end|field limit|expected after|delimiter", message)
    assert "the row " in message


def test_blank_cell_is_visible_among_the_accepted_ones(tmp_path: Path) -> None:
    """Rule: a cell that may be blank is listed as (empty)."""
    mapping = MAPPING.replace("side: Side", 'side: {column: Side, values: {B: Buy, "": Sell}}')
    message = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping).stderr
    assert "accepted: B, (empty)" in message


def test_csv_empty_file_or_ambiguous_header_is_refused(tmp_path: Path) -> None:
    """An empty file and a header with a mapped column twice are refused."""
    assert "has no header: it is empty" in import_blotter(tmp_path, "").stderr
    twice = import_blotter(
        tmp_path, f"{HEADER.replace('Days', 'Shares')}\n{GOOD}\n", MAPPING.replace("Days", "Shares")
    )
    assert twice.exit_code == 2
    assert "column 'Shares', mapped to qty, stands 2 times in the header" in twice.stderr


def test_mapping_may_lack_what_an_option_supplies(tmp_path: Path) -> None:
    """`--as-of` gives the moment of the data, so that a mapping without it can be read. A field
    that an option supplies may be lacking; the coverage is assumed where nothing gives it.
    """
    file = tmp_path / "map.yaml"
    required = ("cusip", "side", "qty", "counterparty", "market_value")
    text = "columns:\n" + "".join(f"  {field}: {field}\n" for field in required)
    file.write_text(text + "  settlement_date: Due\n")
    with pytest.raises(UsageError, match="reg_sho_threshold is missing"):
        read_mapping(file)
    assert "settlement_date" in read_mapping(file, ["reg_sho_threshold"]).columns
