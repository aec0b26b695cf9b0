"""`finops import sec-fails`: rows of the SEC's files become fail records, and damage is told by
line.
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
from typer.testing import CliRunner, Result

from finops_cli.cli import app
from tests.support.program import EXAMPLES

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


def imported(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", "sec-fails", *map(str, arguments)])


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def ages(result: Result) -> dict[str, int]:
    return {record["fail_id"]: record["age_days"] for record in records(result)}


def test_each_cusip_that_fails_on_the_latest_day_gives_a_record() -> None:
    """Rule: one record for each row of the latest date; the excerpt has 10, BYND without a break
    since 2022-12-01.
    """
    result = imported(REAL)
    assert result.exit_code == 0
    assert len(records(result)) == REAL.read_text().count("\n20230314|") == 10
    [beyond_meat] = [record for record in records(result) if record["origin"]["symbol"] == "BYND"]
    assert beyond_meat == {
        "fail_id": "SEC-20230314-08862E109",
        "cusip": "08862E109",
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
                "reg_sho_threshold",
            ],
        },
    }


def test_run_accepts_every_record(tmp_path: Path) -> None:
    """Rule: what import writes, run reads; with every assumption set no record is rejected
    either.
    """
    blotter, out = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    assert (
        imported(REAL, "--every-day", *ASSUMED, "--threshold-list", LIST, "-o", blotter).exit_code
        == 0
    )
    ran = CliRunner().invoke(app, ["run", str(blotter), "-o", str(out), "--backend", "engine"])
    assert ran.exit_code == 0, ran.stderr
    assert [json.loads(line)["status"] for line in out.read_text().splitlines()] == ["ok"] * (
        REAL.read_text().count("\n") - 1
    )


def test_options_fill_what_the_data_cannot_know_and_are_marked(tmp_path: Path) -> None:
    """Rule: shares are percentages of the quantity, rounded down; each option is listed under
    origin.assumed.
    """
    [record] = records(imported(write(tmp_path, row("20230301", qty=1001, price=".")), *ASSUMED))
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
    }


def test_age_counts_settlement_days_since_the_run_began(tmp_path: Path) -> None:
    """Rule: a settlement day without a row ends a run.

    MSFT fails on days 1 2 . 4 5: ages 0 1 . 0 1; AMC gives day 3 its date.
    """
    days = [
        row("20230301"),
        row("20230302"),
        row("20230303", AMC),
        row("20230306"),
        row("20230307"),
    ]
    result = imported(write(tmp_path, *days), "--every-day")
    assert [
        (record["cusip"], record["age_days"], record["origin"]["run_may_be_older"])
        for record in records(result)
    ] == [(MSFT, 0, True), (MSFT, 1, True), (AMC, 0, False), (MSFT, 0, False), (MSFT, 1, False)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    failing=st.lists(
        st.sets(st.sampled_from([MSFT, AMC, GME]), min_size=1), min_size=1, max_size=12
    ),
    cut=st.integers(0, 12),
)
def test_ages_are_those_of_a_plain_count_however_the_days_are_split_over_files(
    tmp_path: Path, failing: list[set[str]], cut: int
) -> None:
    """Rule: the age is the number of days just before this one on which the CUSIP failed; files may
    come in any order.
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
    result = imported(late, early, "--every-day")
    assert result.exit_code == 0, result.stderr
    assert ages(result) == expected


def test_files_that_overlap_are_read_as_one_series(tmp_path: Path) -> None:
    """Rule: ages follow the dates of all files together: AMC's file ends inside MSFT's, and both
    count day 2.
    """
    long = write(tmp_path, row("20230301"), row("20230302"), row("20230303"), name="a.txt")
    short = write(tmp_path, row("20230302", AMC), row("20230303", AMC), name="b.txt")
    assert ages(imported(short, long)) == {f"SEC-20230303-{MSFT}": 2, f"SEC-20230303-{AMC}": 1}


def test_days_that_no_file_has_are_told_and_make_runs_doubtful(tmp_path: Path) -> None:
    """Rule: more than 5 calendar days between two dates are a hole; a run across it, or from its
    edge, may be older.
    """
    before = [row("20230301", AMC), row("20230302")]
    path = write(tmp_path, *before, row("20230320"), row("20230320", GME), row("20230321", AMC))
    result = imported(path, "--every-day")
    assert result.exit_code == 0
    assert "between 20230302 and 20230320" in result.stderr
    found = [
        (record["age_days"], record["origin"]["run_may_be_older"]) for record in records(result)
    ]
    assert found[2:] == [(1, True), (0, True), (0, False)]


def test_as_of_picks_another_day_and_names_those_there_are(tmp_path: Path) -> None:
    """Rule: --as-of takes a settlement day of the files; any other ends with exit 2 and leaves the
    output alone.
    """
    out = tmp_path / "out.jsonl"
    out.write_text("kept\n")
    picked = imported(REAL, "--as-of", "20221216")
    assert picked.exit_code == 0
    assert {record["origin"]["settlement_date"] for record in records(picked)} == {"20221216"}
    refused = imported(REAL, "--as-of", "20230204", "-o", out)
    assert refused.exit_code == 2
    assert (
        "70 days from 20221201 to 20230314, the nearest being 20230202, 20230203, 20230206"
        in refused.stderr
    )
    assert out.read_text() == "kept\n"
    assert imported(REAL, "--as-of", "yesterday").exit_code == 2
    assert imported(REAL, "--as-of", "20221216", "--every-day").exit_code == 2


def test_the_threshold_list_joins_on_the_symbol() -> None:
    """Rule: flag Y makes a threshold security; a symbol that the list lacks is assumed to be none,
    and marked.
    """
    result = imported(REAL, "--threshold-list", LIST)
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
    ("arguments", "told"),
    [
        (["missing.txt"], "missing.txt does not exist"),
        ([SEC_EXAMPLES], "is a folder"),
        ([REAL, REAL], "given twice"),
        ([REAL, "--counterparty", "5"], '--counterparty is "5"; accepted: '),
        ([REAL, "--cp-fail-rate-pct", "101"], "--cp-fail-rate-pct is 101; accepted: "),
        ([REAL, "--recall-pct", "-1"], "--recall-pct is '-1'; accepted: "),
        ([REAL, "--price-if-missing", "cheap"], "--price-if-missing is 'cheap'; accepted: "),
        ([REAL, "--threshold-list", REAL], "is no threshold list"),
        ([REAL, "-o", REAL], "this call reads or writes that file already"),
        ([REAL, "-o", SEC_EXAMPLES], "is a folder"),
    ],
)
def test_a_call_that_cannot_be_carried_out_ends_with_2_and_says_what_to_do(
    arguments: list[object], told: str
) -> None:
    """Rule: exit 2, a message that names the option and what it accepts, and nothing on stdout."""
    before = REAL.read_bytes()
    result = imported(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert REAL.read_bytes() == before
