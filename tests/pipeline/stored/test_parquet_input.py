"""Records in Parquet: the column `line`, flat and nested columns, and files that are damaged."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.pipeline.stored.parquet_source import ANSWERS, SAME_FACTS
from finops_cli.views.ranked_list import COLUMNS
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows

pytestmark = pytest.mark.slow
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
MONDAY = EXAMPLES / "monday.jsonl"
ENGINE = ("--backend", "engine", "--no-timing", "--quiet")
BIG = 3_000_000


def write(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    """Write a Parquet file of these columns."""
    path = folder / "fails.parquet"
    parquet.write_table(pa.table(columns), path, **options)
    return path


def records(**changes: list[Any]) -> dict[str, Any]:
    """Columns of three fails, with some columns replaced; None leaves a column out."""
    given = {name: [value] * 3 for name, value in a_fail().items() if name != "fail_id"}
    given["fail_id"] = ["F-1", "F-2", "F-3"]
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def problems(line: dict[str, Any]) -> str:
    return str(line["error"]["message"])


def test_lines_of_a_column_give_the_output_of_the_file(finops: Finops, tmp_path: Path) -> None:
    """The column `line` is read as the lines of a file, text forms of a record included."""
    texts = MONDAY.read_text().splitlines()
    path = write(tmp_path, {"desk": ["x"] * len(texts), "line": texts}, row_group_size=3)
    plain = finops("run", MONDAY, *ENGINE).stdout
    assert finops("run", path, *ENGINE).stdout == plain
    assert finops("run", path, *ENGINE, "--workers", "2").stdout == plain


def test_columns_of_fields_give_the_output_of_the_file(finops: Finops, tmp_path: Path) -> None:
    """Columns called like fields are read, dotted, as structs, and as lists of structs."""
    inventory = {
        "box_qty": 10,
        "stock_loan_available": 5,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }
    ftr = {
        "dtc": "DTC-0161",
        "qty": 70,
        "age_days": 3,
        "settlement_type": "RVP",
        "settlement_date": "T+1",
        "cp_fail_rate_pct": 2.5,
        "partial_delivery_history": True,
    }
    fails = [a_fail(fail_id=f"F-{at}", inventory=inventory, ftrs=[ftr]) for at in range(3)]
    plain = finops("run", "-", *ENGINE, "--no-receives", stdin=jsonl(*fails)).stdout
    names = ["F-0", "F-1", "F-2"]
    nested = records(fail_id=names, inventory=[inventory] * 3, ftrs=[[ftr]] * 3)
    dotted = records(fail_id=names, ftrs=[[ftr]] * 3)
    dotted |= {f"inventory.{name}": [value] * 3 for name, value in inventory.items()}
    for columns in (nested, dotted):
        path = write(tmp_path, columns)
        assert finops("run", path, *ENGINE, "--no-receives").stdout == plain


def test_numbers_are_exact(finops: Finops, tmp_path: Path) -> None:
    """Decimals of any precision and floats of any width keep the digits that they show."""
    values = ["1.50", "3.14159265358979323846264338327950288", "0"]
    columns = records(
        market_value=pa.array(map(Decimal, values), pa.decimal256(76, 40)),
        inventory_coverage_pct=pa.array([0.1, 1.1, 33.3], pa.float32()),
        cp_fail_rate_pct=pa.array([0.1, 1.1, 3.3], pa.float64()),
    )
    lines = finops("run", write(tmp_path, columns), *ENGINE).stdout.splitlines()
    assert b'"market_value":1.5,' in lines[0]
    assert b'"market_value":3.14159265358979323846264338327950288,' in lines[1]
    assert all(each["status"] == "ok" for each in rows(b"\n".join(lines)))


def test_rows_that_give_no_record_are_rejected_by_number(finops: Finops, tmp_path: Path) -> None:
    """NaN, infinity, a number of 60 digits and a null are reasons of their own rows."""
    columns = records(
        inventory_coverage_pct=[1.0, math.nan, math.inf],
        market_value=pa.array([Decimal("9" * 60), Decimal(1), Decimal(1)], pa.decimal256(76, 0)),
    )
    one, two, three = rows(finops("run", write(tmp_path, columns), *ENGINE).stdout)
    assert problems(one).startswith("line 1: market_value is 9999")
    assert problems(two).startswith("line 2: inventory_coverage_pct is NaN; accepted: a finite")
    assert problems(three).startswith("line 3: inventory_coverage_pct is inf")
    assert (one["fail_id"], two["fail_id"], three["fail_id"]) == ("F-1", "F-2", "F-3")
    lines = ['{\n"fail_id": "X"}', None, "", "{bad"]
    found = rows(finops("run", write(tmp_path, {"line": lines}), *ENGINE).stdout)
    assert [each["fail_id"] for each in found] == ["X", "line-2", "line-3", "line-4"]
    assert "the column `line` is null" in problems(found[1])


def test_null_is_an_absent_field(finops: Finops, tmp_path: Path) -> None:
    """A null cell is a field that the record leaves out: derived, assumed or missing."""
    columns = records(qty=[100, None, 100], side=[None, "Sell", "Sell"])
    one, two, three = rows(finops("run", write(tmp_path, columns), *ENGINE).stdout)
    assert one["origin"]["derived"] == ["side"]
    assert problems(two).startswith("line 2: qty is missing")
    assert three["status"] == "ok"


def test_times_are_days_and_moments(finops: Finops, tmp_path: Path) -> None:
    """Dates, timestamps at midnight and timestamps with a zone are read as the clock's facts."""
    naive, moment = datetime.fromisoformat("2026-11-10"), datetime(2026, 11, 18, 13, 30, tzinfo=UTC)
    as_of = pa.array([moment] * 3, pa.timestamp("us", "America/New_York"))
    outputs = []
    for days in (
        pa.array([naive] * 3, pa.timestamp("ns")),
        pa.array([date(2026, 11, 10)] * 3),
        pa.array(["2026-11-10"] * 3),
    ):
        columns = records(**{"clock_facts.settlement_date": days, "clock_facts.as_of": as_of})
        outputs.append(finops("run", write(tmp_path, columns), *ENGINE).stdout)
    assert outputs[0] == outputs[1] == outputs[2]
    assert rows(outputs[0])[0]["clock"]["as_of"] == "2026-11-18T08:30"


def test_columns_of_answers_are_left_out_and_named(finops: Finops, tmp_path: Path) -> None:
    """The columns of a list that hold answers are not read, and the summary says so."""
    path = write(tmp_path, records(tier=["LOW"] * 3, score=[1.0] * 3))
    done = finops("run", path, "--backend", "engine", "--no-timing")
    assert done.returncode == 0
    assert b"they hold answers: tier, score" in b" ".join(done.stderr.split())
    facts = {"fail_id", "side", "qty", "counterparty", "market_value", "age_days"}
    facts |= {"cusip", "symbol", "counterparty_name", *SAME_FACTS}
    assert set(COLUMNS) - facts == ANSWERS


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({**records(), "cp_fail_rate": [1.0] * 3}, "did you mean cp_fail_rate_pct?"),
        (records(notes=pa.array([b"x"] * 3)), "the column notes has the type binary"),
        (records(notes=pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64()))), "map<"),
        ({"line": [1]}, "the column `line` has the type int64"),
        ({}, "has no columns"),
        (
            records(inventory=[{"box_qty": 1}] * 3, **{"inventory.box_qty": [1] * 3}),
            "the columns inventory and inventory.box_qty give one field",
        ),
        (
            records(
                settlement_date=["2026-11-10"] * 3,
                **{"clock_facts.settlement_date": ["2026-11-17"] * 3},
            ),
            "the columns settlement_date and clock_facts.settlement_date give one field",
        ),
    ],
)
def test_columns_that_cannot_be_read_end_the_run(
    columns: dict[str, Any], said: str, finops: Finops, tmp_path: Path
) -> None:
    """A column that is not a field, or of another type, ends the run with 2 and a cure."""
    done = finops("run", write(tmp_path, columns), *ENGINE)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert b"fix: " in done.stderr
    assert done.stdout == b""


def test_columns_of_one_name_are_refused(finops: Finops, tmp_path: Path) -> None:
    """Two columns of one name leave open which one counts."""
    path = tmp_path / "twice.parquet"
    table = pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["qty", "qty"])
    parquet.write_table(table, path)
    assert b"2 columns are called qty" in finops("run", path, *ENGINE).stderr


@pytest.mark.parametrize("cut", [slice(0, 4), slice(0, -20), slice(0, -1)])
def test_cut_file_is_refused(cut: slice, finops: Finops, tmp_path: Path) -> None:
    """A file without its footer is not a Parquet file, and nothing of it is read."""
    path = write(tmp_path, records())
    path.write_bytes(path.read_bytes()[cut])
    done = finops("run", path, *ENGINE)
    assert done.returncode == 2
    assert b"cannot be read" in done.stderr
    assert b"Traceback" not in done.stderr


def test_damaged_page_ends_the_run_with_whole_lines(finops: Finops, tmp_path: Path) -> None:
    """Damage within a file ends the run with 2; what was written so far is whole."""
    path = write(tmp_path, {"line": MONDAY.read_text().splitlines()}, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)
    done = finops("run", path, *ENGINE)
    assert done.returncode == 2
    assert b"cannot be read" in done.stderr


def test_bombs_end_the_run(finops: Finops, tmp_path: Path) -> None:
    """A text of megabytes that all rows share, and pages of zeros, end the run early."""
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * BIG])
    options = {"dictionary_pagesize_limit": 1 << 26}
    for columns in ({"line": shared}, {"line": ["0" * 1_000_000] * 300}):
        done = finops("run", write(tmp_path, columns, **options), *ENGINE)
        assert done.returncode == 2
        assert b"unpacks to more than 250 times its size" in done.stderr


def test_resumed_run_of_rows_gives_the_same_bytes(finops: Finops, tmp_path: Path) -> None:
    """A run of a Parquet file resumes from half of its output; another file is refused."""
    path, output = write(tmp_path, records()), tmp_path / "out.jsonl"
    finops("run", path, *ENGINE, "-o", output)
    whole = output.read_bytes()
    note = output.with_name("out.jsonl.run.json")
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    output.write_bytes(whole[: len(whole) // 2])
    assert finops("run", path, *ENGINE, "-o", output, "--resume").returncode == 0
    assert output.read_bytes() == whole
    write(tmp_path, records(qty=[1, 2, 3]))
    assert finops("run", path, *ENGINE, "-o", output, "--resume").returncode == 2


def test_cases_in_parquet_are_resolved(finops: Finops, tmp_path: Path) -> None:
    """`finops resolve` reads cases from Parquet, and `evaluate --data` reads the lines of one."""
    cases = EXAMPLES / "cards" / "cases.jsonl"
    path = write(tmp_path, {"line": cases.read_text().splitlines()})
    plain = finops("resolve", cases, *ENGINE).stdout
    assert finops("resolve", path, *ENGINE).stdout == plain
    fails = write(tmp_path, {"line": MONDAY.read_text().splitlines()})
    evaluated = ("evaluate", "--stage", "triage", "--backend", "engine", "--no-baselines", "-q")
    done = finops(*evaluated, "--data", fails, "-o", tmp_path / "results")
    assert done.returncode == 0, done.stderr


def test_mapping_is_not_for_parquet(finops: Finops, tmp_path: Path) -> None:
    """`--map` and `--accept` are refused: the columns are called like the fields."""
    done = finops("run", write(tmp_path, records()), *ENGINE, "--accept")
    assert done.returncode == 2
    assert b"--accept is for CSV and .xlsx" in done.stderr


def test_evaluation_reads_columns_as_a_run_does(finops: Finops, tmp_path: Path) -> None:
    """Records in columns are evaluated as their lines of JSON; a row without a record is named."""
    given = ("--stage", "triage", "--backend", "engine", "--no-baselines", "--quiet")
    path = write(tmp_path, records(market_value=[Decimal("1.50"), Decimal(2), Decimal(3)]))
    done = finops("evaluate", *given, "--data", path, "-o", tmp_path / "ev")
    assert b"records            3 (fails.parquet)" in done.stdout, done.stderr
    kept = rows((tmp_path / "ev/records.jsonl").read_bytes())
    assert [each["fail_id"] for each in kept] == ["F-1", "F-2", "F-3"]
    bad = write(tmp_path, records(market_value=[1.5, math.nan, 3.0]))
    refused = finops("evaluate", *given, "--data", bad, "-o", tmp_path / "bad")
    assert refused.returncode == 2
    assert b"fails.parquet row 2: " in refused.stderr


def test_check_reads_the_columns_that_were_run(finops: Finops, tmp_path: Path) -> None:
    """The fails of `check` may be the Parquet file that was run."""
    path, output = write(tmp_path, records()), tmp_path / "out.jsonl"
    finops("run", path, *ENGINE, "-o", output)
    assert finops("check", output, "--fails", path).returncode == 0
