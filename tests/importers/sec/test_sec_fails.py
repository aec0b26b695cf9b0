"""The command `finops import sec-fails`: rows of the SEC's fails-to-deliver files become fail
records.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.program import EXAMPLES, Result, invoke

SEC_EXAMPLES = EXAMPLES / "sec-fails"
REAL = SEC_EXAMPLES / "cnsfails_202212a_202303a_excerpt.txt"
LIST = SEC_EXAMPLES / "threshold-list-synthetic.txt"
HEADER = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
MSFT, AMC, GME = "594918104", "00165C104", "36467W109"

ASSUMED = (
    *(
        "--counterparty",
        "DTC-0005",
        "--cp-fail-rate-pct",
        "6%",
        "--security-fail-rate-pct-adv",
        "2.5",
    ),
    *(
        "--inventory-coverage-pct",
        "33.3",
        "--recall-pct",
        "30",
        "--borrow-pct",
        "12.5",
        "--price-if-missing",
        "1.5",
    ),
)


def row(
    day: str,
    cusip: str = MSFT,
    qty: object = 100,
    price: str = "2.50",
    name: str = "SOME INC",
    symbol: str = "MSFT",
) -> str:
    return f"{day}|{cusip}|{symbol}|{qty}|{name}|{price}"


def write(
    folder: Path, *lines: str, name: str = "fails.txt", header: str = HEADER, end: str = "\n"
) -> Path:
    path = folder / name
    path.write_bytes("".join(line + end for line in (header, *lines)).encode("cp1252"))
    return path


def import_sec(*arguments: object) -> Result:
    return invoke(["import", "sec-fails", *map(str, arguments)])


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def ages(result: Result) -> dict[str, int]:
    return {record["fail_id"]: record["age_days"] for record in records(result)}


def test_sec_import_gives_one_record_per_cusip_of_last_day() -> None:
    """Each CUSIP that fails on the latest date gives one record, whose age counts the unbroken days
    before it.
    """
    result = import_sec(REAL)
    assert result.exit_code == 0
    assert len(records(result)) == REAL.read_text().count("\n20230314|") == 10
    [beyond_meat] = [record for record in records(result) if record["origin"]["symbol"] == "BYND"]
    assert beyond_meat == {
        "fail_id": "SEC-20230314-08862E109",
        "cusip": "08862E109",
        "symbol": "BYND",
        "side": "Sell",
        "qty": 71756,
        "counterparty": "DTC-0000",
        "age_days": 69,
        "market_value": Decimal("1262905.60"),
        "cns_position": -71756,
        "cns_direction": "FTD",
        "reg_sho_threshold": False,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": 0,
        "inventory": {
            "box_qty": 0,
            "stock_loan_available": 0,
            "recall_outstanding": 0,
            "pending_receives": 0,
        },
        "clock_facts": {"as_of": "2023-03-14T16:00", "settlement_date": "2022-12-01"},
        "origin": {
            "source": "sec-fails",
            "file": REAL.name,
            "line": 507,
            "symbol": "BYND",
            "description": "BEYOND MEAT INC COM (DE)",
            "price": Decimal("17.60"),
            "settlement_date": "20230314",
            "run_may_be_older": True,
            "assumed": [
                "counterparty",
                "cp_fail_rate_pct",
                "inventory_coverage_pct",
                "inventory",
                "clock_facts.as_of",
                "clock_facts.settlement_date",
                "reg_sho_threshold",
            ],
        },
    }


def test_sec_records_of_every_day_are_accepted_by_run(tmp_path: Path) -> None:
    """`finops run` accepts every record that the import writes, with every assumption set."""
    blotter, out = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    assert (
        import_sec(REAL, "--every-day", *ASSUMED, "--threshold-list", LIST, "-o", blotter).exit_code
        == 0
    )
    ran = invoke(["run", str(blotter), "-o", str(out), "--backend", "engine"])
    assert ran.exit_code == 0, ran.stderr
    assert [json.loads(line)["status"] for line in out.read_text().splitlines()] == ["ok"] * (
        REAL.read_text().count("\n") - 1
    )


def test_sec_coverage_of_few_shares_is_that_of_the_box(tmp_path: Path) -> None:
    """A box rounded down to whole shares gives the coverage, so that the two agree."""
    file = write(tmp_path, row("20230301", qty=2))
    [record] = records(import_sec(file, "--inventory-coverage-pct", "30"))
    assert (record["inventory"]["box_qty"], record["inventory_coverage_pct"]) == (0, 0)


def test_sec_options_fill_missing_fields_as_assumed(tmp_path: Path) -> None:
    """Options fill the fields that the data lacks, as percentages of the quantity rounded down.
    Each is listed under `origin.assumed`.
    """
    [record] = records(import_sec(write(tmp_path, row("20230301", qty=1001, price=".")), *ASSUMED))
    assert record["counterparty"] == "DTC-0005"
    assert record["cp_fail_rate_pct"] == 6
    assert record["security_fail_rate_pct_adv"] == Decimal("2.5")
    assert record["inventory_coverage_pct"] == Decimal("33.3")
    assert record["inventory"] == {
        "box_qty": 333,
        "stock_loan_available": 125,
        "recall_outstanding": 300,
        "pending_receives": 0,
    }
    assert record["market_value"] == Decimal("1501.5")
    assert record["origin"]["price"] is None
    assert set(record["origin"]["assumed"]) == {
        *(
            "counterparty",
            "cp_fail_rate_pct",
            "security_fail_rate_pct_adv",
            "inventory_coverage_pct",
            "inventory",
        ),
        *("reg_sho_threshold", "market_value"),
        *("clock_facts.as_of", "clock_facts.settlement_date"),
    }


def test_sec_age_restarts_after_a_day_without_a_row(tmp_path: Path) -> None:
    """The age counts settlement days with a row. A settlement day without a row for the CUSIP
    starts the count again.
    """
    days = [
        row("20230301"),
        row("20230302"),
        row("20230303", AMC),
        row("20230306"),
        row("20230307"),
    ]
    result = import_sec(write(tmp_path, *days), "--every-day")
    assert [
        (record["cusip"], record["age_days"], record["origin"]["run_may_be_older"])
        for record in records(result)
    ] == [(MSFT, 0, True), (MSFT, 1, True), (AMC, 0, False), (MSFT, 0, False), (MSFT, 1, False)]


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    failing=st.lists(
        st.sets(st.sampled_from([MSFT, AMC, GME]), min_size=1), min_size=1, max_size=12
    ),
    cut=st.integers(0, 12),
)
def test_sec_ages_do_not_depend_on_the_split_into_files(
    tmp_path: Path, failing: list[set[str]], cut: int
) -> None:
    """The age is the number of consecutive earlier days with a fail, however the days are divided
    over files in any order.
    """
    days = [f"{date(2023, 3, 1) + timedelta(number):%Y%m%d}" for number in range(len(failing))]
    lines = [
        [row(day, cusip) for cusip in sorted(cusips)]
        for day, cusips in zip(days, failing, strict=True)
    ]
    early = write(tmp_path, *(line for day in lines[:cut] for line in day), name="early.txt")
    late = write(tmp_path, *(line for day in lines[cut:] for line in day), name="late.txt")
    expected = {
        f"SEC-{day}-{cusip}": next(
            (back for back in range(number) if cusip not in failing[number - back - 1]), number
        )
        for number, day in enumerate(days)
        for cusip in failing[number]
    }
    result = import_sec(late, early, "--every-day")
    assert result.exit_code == 0, result.stderr
    assert ages(result) == expected


def test_sec_overlapping_files_are_one_series_of_days(tmp_path: Path) -> None:
    """The dates of all files together decide the ages, also where the files overlap."""
    long = write(tmp_path, row("20230301"), row("20230302"), row("20230303"), name="a.txt")
    short = write(tmp_path, row("20230302", AMC), row("20230303", AMC), name="b.txt")
    assert ages(import_sec(short, long)) == {f"SEC-20230303-{MSFT}": 2, f"SEC-20230303-{AMC}": 1}


def test_sec_gap_in_the_dates_makes_ages_uncertain(tmp_path: Path) -> None:
    """More than five calendar days between two dates are reported as a gap. A fail across or at the
    gap has `run_may_be_older`.
    """
    before = [row("20230301", AMC), row("20230302")]
    path = write(tmp_path, *before, row("20230320"), row("20230320", GME), row("20230321", AMC))
    result = import_sec(path, "--every-day")
    assert result.exit_code == 0
    assert "between 20230302 and 20230320" in result.stderr
    found = [
        (record["age_days"], record["origin"]["run_may_be_older"]) for record in records(result)
    ]
    assert found[2:] == [(1, True), (0, True), (0, False)]


def test_sec_as_of_selects_a_day_or_lists_the_nearest(tmp_path: Path) -> None:
    """`--as-of` selects a settlement day of the files. Another date ends with exit 2, names the
    nearest days and leaves the output unchanged.
    """
    out = tmp_path / "out.jsonl"
    out.write_text("kept\n")
    picked = import_sec(REAL, "--as-of", "20221216")
    assert picked.exit_code == 0
    assert {record["origin"]["settlement_date"] for record in records(picked)} == {"20221216"}
    refused = import_sec(REAL, "--as-of", "20230204", "-o", out, "--overwrite")
    assert refused.exit_code == 2
    assert (
        "70 days from 20221201 to 20230314, the nearest being 20230202, 20230203, 20230206"
        in refused.stderr
    )
    assert out.read_text() == "kept\n"
    assert import_sec(REAL, "--as-of", "yesterday").exit_code == 2
    assert import_sec(REAL, "--as-of", "20221216", "--every-day").exit_code == 2


def test_threshold_list_sets_the_flag_by_symbol() -> None:
    """Flag Y in the list marks a threshold security. A symbol that is not in the list counts as not
    on it, marked as assumed.
    """
    result = import_sec(REAL, "--threshold-list", LIST)
    assert result.exit_code == 0
    flags = {
        record["origin"]["symbol"]: (
            record["reg_sho_threshold"],
            "reg_sho_threshold" in record["origin"]["assumed"],
        )
        for record in records(result)
    }
    assert (flags["AMC"], flags["BYND"], flags["GME"]) == (
        (True, False),
        (False, False),
        (False, True),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "missing.txt does not exist"),
        ([SEC_EXAMPLES], "is a folder"),
        ([REAL, REAL], "given twice"),
        ([REAL, "--counterparty", "5"], '--counterparty is "5"; accepted: '),
        ([REAL, "--cp-fail-rate-pct", "101"], "--cp-fail-rate-pct is 101; accepted: "),
        ([REAL, "--recall-pct", "-1"], "--recall-pct is '-1'; accepted: "),
        ([REAL, "--price-if-missing", "cheap"], "--price-if-missing is 'cheap'; accepted: "),
        ([REAL, "--threshold-list", REAL], "is not a threshold list"),
        ([REAL, "-o", REAL], "is the input and also the output"),
        ([REAL, "-o", SEC_EXAMPLES], "is a folder"),
    ],
)
def test_sec_invalid_option_exits_2_with_accepted_values(
    arguments: list[object], message: str
) -> None:
    """A call that cannot be executed ends with exit 2, no output, and a message that names the
    option and the accepted values.
    """
    before = REAL.read_bytes()
    result = import_sec(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert REAL.read_bytes() == before
