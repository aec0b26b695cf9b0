"""The command `finops import csv`: a mapping turns a desk's blotter into fail records, and damage
is reported by line and column.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.program import EXAMPLES, Result, invoke
from tests.support.soak import scaled

CSV_EXAMPLES = EXAMPLES / "csv"
HEADER = "Ref,Security,Side,Shares,Contra,Days,Value,CNS Pos,CNS,Threshold,Coverage,Rate"
GOOD = 'D-1,594918104,Sell,"5,000",DTC-0005,7,$2.1M,"(5,000)",FTD,Yes,10%,4%'
MAPPING = """
columns:
  fail_id: Ref
  cusip: Security
  side: Side
  qty: Shares
  counterparty: Contra
  age_days: Days
  market_value: Value
  cns_position: CNS Pos
  cns_direction: CNS
  reg_sho_threshold: Threshold
  inventory_coverage_pct: Coverage
  cp_fail_rate_pct: Rate
"""


def import_blotter(
    folder: Path, blotter: str | bytes, mapping: str = MAPPING, *more: str
) -> Result:
    source, rules = folder / "blotter.csv", folder / "mapping.yaml"
    source.write_bytes(blotter.encode() if isinstance(blotter, str) else blotter)
    rules.write_text(mapping)
    return invoke(["import", "csv", str(source), "--map", str(rules), *more])


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def fail_ids(result: Result) -> list[str | None]:
    return [record.get("fail_id") for record in records(result)]


def good_row(name: str) -> str:
    return GOOD.replace("D-1,", f"{name},", 1)


def test_csv_row_is_mapped_to_an_exact_record(tmp_path: Path) -> None:
    """A row becomes the record that the mapping describes, with exact values and its origin. An
    empty cell leaves its field out.
    """
    result = import_blotter(
        tmp_path, f"{HEADER}\n{GOOD}\n{good_row('D-2').replace('(5,000)', '')}\n"
    )
    assert result.exit_code == 0, result.stderr
    first, second = records(result)
    assert first == {
        "fail_id": "D-1",
        "cusip": "594918104",
        "side": "Sell",
        "qty": 5000,
        "counterparty": "DTC-0005",
        "age_days": 7,
        "market_value": 2100000,
        "cns_position": -5000,
        "cns_direction": "FTD",
        "reg_sho_threshold": True,
        "inventory_coverage_pct": 10,
        "cp_fail_rate_pct": 4,
        "origin": {"source": "csv", "file": "blotter.csv", "line": 2},
    }
    assert "cns_position" not in second


def test_csv_example_is_imported_and_accepted_by_run(tmp_path: Path) -> None:
    """`finops run` accepts the records of the example, also behind a note over two lines."""
    out, ran = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    call = [
        "import",
        "csv",
        str(CSV_EXAMPLES / "blotter.csv"),
        "--map",
        str(CSV_EXAMPLES / "mapping.yaml"),
        "-o",
        str(out),
    ]
    assert invoke(call).exit_code == 0
    given = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["origin"]["line"] for record in given] == [2, 3, 4, 5, 7]
    assert given[0]["inventory"] == {
        "box_qty": 500,
        "stock_loan_available": 1000,
        "recall_outstanding": 2000,
        "pending_receives": 0,
    }
    assert "inventory" not in given[2]
    assert given[3]["cns_direction"] == "N_A"
    assert given[3]["origin"]["assumed"] == ["cns_eligible"]
    result = invoke(["run", str(out), "-o", str(ran), "--backend", "engine"])
    assert result.exit_code == 0, result.stderr
    assert len(ran.read_text().splitlines()) == 5


def test_csv_from_stdin_equals_csv_from_file() -> None:
    """A blotter on stdin gives the records of the file, with another file name."""
    mapping, source = str(CSV_EXAMPLES / "mapping.yaml"), CSV_EXAMPLES / "blotter.csv"
    piped = invoke(["import", "csv", "-", "--map", mapping], input=source.read_bytes())
    from_file = invoke(["import", "csv", str(source), "--map", mapping])
    assert piped.exit_code == 0
    assert piped.stdout == from_file.stdout.replace('"blotter.csv"', '"stdin"')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "594918104",
            "594918105",
            "column 'Security': cusip is 594918105, check digit 5; accepted: ",
        ),
        ("594918104", "5.94918E+08", "column 'Security': cusip is \"5.94918E+08\"; accepted: "),
        ("Sell", "SELL", "column 'Side': side is \"SELL\"; accepted: Buy, Sell"),
        ('"5,000",', '"5 k",', "column 'Shares' (qty) is \"5 k\", a number with the unit 'K'; acc"),
        (
            '"5,000",',
            '"5,00",',
            "column 'Shares' (qty) is \"5,00\", a number where ',' is decimal and '.' groups",
        ),
        ('"5,000",', '"(5,000)",', "column 'Shares': qty is -5000; accepted: "),
        ('"5,000",', ",", "column 'Shares' is empty, so that qty is missing; accepted: "),
        (
            "$2.1M",
            "-3",
            "column 'Value': market_value is -3; accepted: a number of US dollars",
        ),
        ("$2.1M", "$9999999B", "column 'Value': market_value is "),
        (
            "Yes",
            "maybe",
            (
                "column 'Threshold' (reg_sho_threshold) is \"maybe\"; accepted: Yes, No, Y, N,"
                " true, false, 1 or 0"
            ),
        ),
        (
            "10%",
            "ten",
            "column 'Coverage' (inventory_coverage_pct) is \"ten\"; accepted: a percentage",
        ),
        (",4%", ",400%", "column 'Rate': cp_fail_rate_pct is 400; accepted: "),
        (",4%", "", "the row has 11 cells, and the header 12; accepted: "),
        (",4%", ",4%,,x", "the row has 14 cells, and the header 12; accepted: "),
        (",7,", ",7\0,", "the row holds a NUL byte; accepted: "),
        ("D-1", "x" * 70_000, "the row has a cell of more than 65,536 characters; accepted: "),
        ("D-1", "x" * 200, "column 'Ref': fail_id is "),
    ],
)
def test_csv_bad_row_is_reported_and_others_are_imported(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """A bad row is reported on stderr with its line, column, value and the accepted values. The
    exit code is 1, and the other rows are imported.
    """
    result = import_blotter(
        tmp_path, f"{HEADER}\n{good_row('D-0')}\n{GOOD.replace(old, new, 1)}\n{good_row('D-2')}\n"
    )
    assert result.exit_code == 1
    assert f"blotter.csv:3: {message}" in result.stderr
    assert fail_ids(result) == ["D-0", "D-2"]
    assert "damaged lines 1" in result.stderr


def test_csv_row_with_two_problems_reports_both(tmp_path: Path) -> None:
    """A row with an unreadable cell and an invalid value reports both problems."""
    result = import_blotter(
        tmp_path, f"{HEADER}\n{GOOD.replace('Yes', 'maybe').replace('Sell', 'SELL')}\n"
    )
    assert "column 'Threshold' (reg_sho_threshold)" in result.stderr
    assert "column 'Side': side" in result.stderr
    assert "reg_sho_threshold is missing" not in result.stderr


def test_csv_unclosed_quote_damages_only_its_row(tmp_path: Path) -> None:
    """An unclosed quote damages only its own row, and the lines after it are read again."""
    plain = GOOD.replace('"5,000"', "5000").replace('"(5,000)"', "-5000")
    many = [plain.replace("D-1", f"E-{number}") for number in range(900)]
    broken = plain.replace("D-1", '"D-1')
    result = import_blotter(
        tmp_path,
        "\n".join([HEADER, good_row("D-0"), broken, *many, broken, good_row("D-2"), broken]),
    )
    assert [line.split(": ")[0].rpartition(":")[2] for line in result.stderr.splitlines()[:-1]] == [
        "3",
        "904",
        "906",
    ]
    assert fail_ids(result) == ["D-0", *(f"E-{n}" for n in range(900)), "D-2"]
    assert [record["origin"]["line"] for record in records(result)][-1] == 905


def test_csv_blank_rows_are_skipped(tmp_path: Path) -> None:
    """Empty lines and rows of empty cells are neither records nor damage."""
    result = import_blotter(tmp_path, f"{HEADER}\r\n\r\n{GOOD}\r\n,,,,,,,,,,,\r\n")
    assert (result.exit_code, fail_ids(result)) == (0, ["D-1"])
    assert records(result)[0]["origin"]["line"] == 3


def test_csv_repeated_fail_id_is_rejected(tmp_path: Path) -> None:
    """A second row with the same `fail_id` is damage and names the line of the first."""
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n{good_row('D-2')}\n{GOOD}\n")
    assert result.exit_code == 1
    assert "blotter.csv:4: column 'Ref': fail_id D-1 was used on line 2 already" in result.stderr
    assert fail_ids(result) == ["D-1", "D-2"]


def test_csv_values_of_the_mapping_translate_cells(tmp_path: Path) -> None:
    """A cell must be one of the words under `values`. Any other cell is damage, and YAML words such
    as Yes and 1 stay text.
    """
    mapping = MAPPING.replace("side: Side", "side: {column: Side, values: {Yes: Buy, 1: Sell}}")
    rows = [
        good_row(name).replace("Sell", word).replace("FTD", direction)
        for name, word, direction in (("A", "1", "FTD"), ("B", "Yes", "FTR"), ("C", "Sell", "FTD"))
    ]
    result = import_blotter(tmp_path, "\n".join([HEADER, *rows]), mapping)
    assert [record["side"] for record in records(result)] == ["Sell", "Buy"]
    assert "blotter.csv:4: column 'Side' (side) is \"Sell\"; accepted: Yes, 1" in result.stderr


def test_csv_constants_fill_every_record_as_assumed(tmp_path: Path) -> None:
    """A constant of the mapping is in every record and is listed under `origin.assumed`."""
    mapping = MAPPING.replace("  cusip: Security\n", "")
    mapping += "constants: {cusip: 012345674, cns_eligible: No, inventory.box_qty: 10,\n"
    mapping += (
        "  inventory.stock_loan_available: 0, inventory.recall_outstanding: 0,"
        " inventory.pending_receives: 0}\n"
    )
    result = import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n", mapping)
    assert result.exit_code == 0, result.stderr
    [record] = records(result)
    assert (record["cusip"], record["cns_eligible"], record["inventory"]["box_qty"]) == (
        "012345674",
        False,
        10,
    )
    assert {"cusip", "cns_eligible", "inventory.box_qty"} <= set(record["origin"]["assumed"])


def test_csv_delimiter_and_encoding_follow_the_mapping(tmp_path: Path) -> None:
    """The mapping sets delimiter and encoding; invalid bytes are reported by line."""
    mapping = MAPPING + '  notes: Note\ncsv: {delimiter: "\\t", encoding: cp1252}\n'
    head, line = (
        HEADER.replace(",", "\t") + "\tNote",
        GOOD.replace('"', "").replace("5,000", "5000").replace(",", "\t"),
    )
    result = import_blotter(tmp_path, f"{head}\n{line}\tcafé\n".encode("cp1252"), mapping)
    assert records(result)[0]["notes"] == "café"
    as_utf8 = import_blotter(
        tmp_path,
        f"{head}\n{line}\tcafé\n".encode("cp1252"),
        mapping.replace(", encoding: cp1252", ""),
    )
    assert as_utf8.exit_code == 1
    assert "blotter.csv:2: column 'Note' (notes) is " in as_utf8.stderr
    assert fail_ids(import_blotter(tmp_path, f"{HEADER}\n{GOOD}\n".encode("utf-8-sig"))) == ["D-1"]
    assert fail_ids(
        import_blotter(
            tmp_path, f"{HEADER}\n{GOOD}\n".encode("utf-16"), MAPPING + "csv: {encoding: utf-16}\n"
        )
    ) == ["D-1"]


@pytest.mark.slow
@settings(max_examples=scaled(60, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 260), noise=st.binary(min_size=1, max_size=5))
def test_csv_damage_never_stops_the_rows_after_it(
    tmp_path: Path, position: int, noise: bytes
) -> None:
    """Any bytes inserted into a blotter leave the last row readable."""
    body = f"{GOOD}\n{good_row('D-2')}\n{good_row('D-3')}\n".encode()
    damaged = body[:position] + noise + body[position:]
    result = import_blotter(
        tmp_path, f"{HEADER}\n".encode() + damaged + f"\n{good_row('LAST')}\n".encode()
    )
    assert result.exit_code in (0, 1, 2), result.stderr
    assert fail_ids(result)[-1:] == ["LAST"]
