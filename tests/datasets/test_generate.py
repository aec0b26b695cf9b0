"""The command `finops generate`: verified, deterministic rows, split without leakage, whose files
meet every requirement.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from finops_cli.models.token_estimate import estimated_tokens
from tests.support.oracle import plan_oracle, triage_oracle
from tests.support.program import Finops
from tests.support.records import CARD_ROWS, rows, rows_of_stage
from tests.support.soak import scaled


def digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("*.jsonl"))
    }


ALL_ROWS = pytest.mark.parametrize(
    "data", [pytest.param(CARD_ROWS, marks=pytest.mark.slow)], indirect=True
)


@ALL_ROWS
def test_generate_meets_every_requirement_with_10_000_rows(data: Path) -> None:
    """Sets with the 10,000 rows of the cards have no bad row and meet all requirements (2,000 rows
    of the resolver, 10,000 in `just soak`).
    """
    reports = json.loads((data / "report.json").read_bytes())
    assert [(report["stage"], report["rows"], report["bad_rows"]) for report in reports] == [
        ("triage", 10_000, 0),
        ("resolver", scaled(2_000, 10_000), 0),
    ]
    requirements = [each for report in reports for each in report["requirements"]]
    assert len(requirements) == 17
    assert [each for each in requirements if each["met"] is not True] == []


@pytest.mark.slow
def test_dataset_report_of_the_files_equals_the_run(
    few_rows: Path, finops: Finops, tmp_path: Path
) -> None:
    """A report from the files equals the report of the run, and its page loads nothing from a
    network.
    """
    page = tmp_path / "report.html"
    done = finops("dataset-report", few_rows, "--json", "--html", page)
    written, recounted = (
        json.loads((few_rows / "report.json").read_bytes()),
        json.loads(done.stdout),
    )
    assert sorted(recounted, key=lambda report: str(report["stage"])) == sorted(
        written, key=lambda report: str(report["stage"])
    )
    text = page.read_text()
    assert ("every requirement met" in text) == (done.returncode == 0)
    assert "http" not in text
    assert "<script" not in text


def test_generated_answers_equal_the_oracle(data: Path) -> None:
    """Triage answers and plans equal those of the independent oracle in every scored field."""
    for row in rows_of_stage(data, "triage"):
        record, answer = (
            json.loads(row[name], parse_float=Decimal) for name in ("record", "answer")
        )
        assert json.loads(row["completion"][0]["content"], parse_float=Decimal) == answer
        expected = triage_oracle.triage(record)
        assert {name: answer[name] for name in expected} == expected, row["id"]
    for row in rows_of_stage(data, "resolver"):
        case, answer = (json.loads(row[name], parse_float=Decimal) for name in ("record", "answer"))
        expected = plan_oracle.resolution(case)
        assert expected["total_coverable"] == answer["total_coverable"]
        assert [
            (s["action"], s["dtc"], s["qty"], s["remaining_short"])
            for s in answer["resolution_steps"]
        ] == [
            (s["action"], s["dtc"], s["qty"], s["remaining_short"])
            for s in expected["resolution_steps"]
        ], row["id"]


def test_generated_rows_have_messages_within_the_length(data: Path) -> None:
    """Rows have prompt and completion as messages, triage without and resolver with reasoning, all
    within the trained length.
    """
    triage, resolver = rows_of_stage(data, "triage")[0], rows_of_stage(data, "resolver")
    assert [message["role"] for message in triage["prompt"] + triage["completion"]] == [
        "system",
        "user",
        "assistant",
    ]
    assert triage["chat_template_kwargs"] == {"enable_thinking": False}
    for row in resolver[::50]:
        text = row["completion"][0]["content"]
        assert row["chat_template_kwargs"] == {"enable_thinking": True}
        assert text.startswith("<think>\n1 Problem\n")
        assert json.loads(text.partition("\n</think>\n\n")[2])["resolution_steps"]
        assert (
            estimated_tokens("".join(m["content"] for m in row["prompt"])) + estimated_tokens(text)
            <= 5120
        )


def test_generated_splits_share_no_record(data: Path) -> None:
    """No record is in both splits, not even with other identifiers and free text."""
    free = ("fail_id", "cusip", "counterparty", "notes", "dk_reason")
    keys: dict[str, set[str]] = {}
    for split in ("train", "eval"):
        split_rows = rows((data / f"triage-{split}.jsonl").read_bytes())
        records = [json.loads(row["record"]) for row in split_rows]
        keys[split] = {
            json.dumps({k: v for k, v in r.items() if k not in free}, sort_keys=True)
            for r in records
        }
    assert len(keys["train"]) > 0.79 * sum(1 for _ in rows_of_stage(data, "triage"))
    assert not keys["train"] & keys["eval"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["triage", "resolver", "sentiment"])
def test_generate_with_the_same_seed_gives_the_same_bytes(
    stage: str, finops: Finops, tmp_path: Path
) -> None:
    """The same seed gives the same files with any number of workers, and another seed gives other
    files.
    """
    made = {}
    for name, options in {
        "a": ["--workers", "1"],
        "b": ["--workers", "3"],
        "c": ["--seed", "8"],
    }.items():
        done = finops(
            "generate", "--stage", stage, "-n", "150", "-o", tmp_path / name, "-q", *options
        )
        assert done.returncode == 0, done.stdout
        made[name] = digests(tmp_path / name)
    assert made["a"] == made["b"]
    assert not set(made["a"].values()) & set(made["c"].values())


@pytest.mark.slow
def test_generated_card_has_command_and_digests(finops: Finops, tmp_path: Path) -> None:
    """The README.md beside the files has the command, the digests and the front matter for
    `datasets`.
    """
    folder = tmp_path / "data"
    finops("generate", "--stage", "triage", "-n", "300", "--seed", "5", "-o", folder, "-q")
    card = (folder / "README.md").read_text()
    assert "finops generate --stage triage -n 300 --seed 5\n" in card
    assert all(digest in card for digest in digests(folder).values())
    front = yaml.safe_load(card.split("---")[1])
    assert front["configs"][0]["data_files"][1] == {"split": "eval", "path": "triage-eval.jsonl"}
    assert front["task_categories"] == ["text-generation"]
    assert front["size_categories"] == ["n<1K"]


def section_of(folder: Path, stage: str) -> str:
    card = (folder / "README.md").read_text()
    return card.partition(f"<!-- finops: {stage} -->")[2].partition("<!-- finops: end -->")[0]


@pytest.mark.slow
def test_later_stage_keeps_the_section_of_an_earlier_one(finops: Finops, tmp_path: Path) -> None:
    """The card of a folder describes every stage in it. A section stays as long as the files are
    those that it describes; else it says so.
    """
    finops("generate", "--stage", "triage", "-n", "60", "--seed", "5", "-o", tmp_path, "-q")
    before = section_of(tmp_path, "triage")
    done = finops("generate", "--stage", "sentiment", "-n", "60", "-o", tmp_path)
    assert section_of(tmp_path, "triage") == before
    assert "--seed 5" in before
    assert b"no section" not in done.stderr
    assert "config_name: sentiment" in (tmp_path / "README.md").read_text()
    with (tmp_path / "triage-train.jsonl").open("ab") as file:
        file.write(b"{}\n")
    done = finops("generate", "--stage", "sentiment", "-n", "60", "-o", tmp_path)
    assert b"no section of README.md fits the files of triage" in done.stderr
    assert "were changed since" in section_of(tmp_path, "triage")


def test_generate_finds_what_an_interrupted_one_left(finops: Finops, tmp_path: Path) -> None:
    """The unfinished files of a killed run are named and deleted, and finished ones without a
    section in the card are named.
    """
    (tmp_path / "resolver-train.jsonl.part").write_text("half a row")
    (tmp_path / "sentiment-train.jsonl").write_text("{}\n")
    done = finops("generate", "--stage", "triage", "-n", "60", "-o", tmp_path)
    assert b"resolver-train.jsonl.part: left by an interrupted generate; deleted" in done.stderr
    assert b"no section of README.md fits the files of sentiment" in done.stderr
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_example_of_the_card_runs(
    finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python code of the card loads the rows with the library `datasets`."""
    pytest.importorskip("datasets")
    finops("generate", "--stage", "triage", "-n", "60", "-o", tmp_path, "-q")
    code = (tmp_path / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - what users copy
    assert len(names["rows"]) == len((tmp_path / "triage-train.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_generate_market_profile_has_small_fails(finops: Finops, tmp_path: Path) -> None:
    """With the market profile most fails are small, with a median value near 3,400 dollars (kb:
    data.market_values).
    """
    finops(
        "generate", "--stage", "triage", "-n", "2000", "--profile", "market", "-o", tmp_path, "-q"
    )
    values = sorted(
        Decimal(str(json.loads(row["record"])["market_value"]))
        for row in rows_of_stage(tmp_path, "triage")
    )
    assert 2000 < values[len(values) // 2] < 5500
    assert sum(value < 100_000 for value in values) > 1650


@pytest.mark.slow
def test_generated_parquet_has_the_same_rows(finops: Finops, tmp_path: Path) -> None:
    """The Parquet files have the rows of the JSONL files."""
    parquet = pytest.importorskip("pyarrow.parquet")
    finops("generate", "--stage", "resolver", "-n", "60", "--parquet", "-o", tmp_path, "-q")
    for file in tmp_path.glob("*.jsonl"):
        table = parquet.read_table(file.with_suffix(".parquet"))
        assert table.to_pylist() == [json.loads(line) for line in file.read_bytes().splitlines()]


def test_generate_from_a_phrasebank_skips_bad_and_repeated(finops: Finops, tmp_path: Path) -> None:
    """Sentences of a user's phrasebank become rows. Damaged lines are reported and duplicates are
    dropped.
    """
    bank = tmp_path / "Sentences_50Agree.txt"
    bank.write_bytes(
        b"Profit rose to EUR 3.1 mn .@positive\nSales fell .@negative\nSales fell .@negative\nno"
        b" label here\n"
    )
    done = finops("generate", "--stage", "sentiment", "--phrasebank", bank, "-o", tmp_path / "data")
    labels = sorted(row["answer"] for row in rows_of_stage(tmp_path / "data", "sentiment"))
    assert labels == ["negative", "positive"]
    assert b"1 duplicates" in done.stderr
    assert b"Sentences_50Agree.txt:4" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "rows"),
        (["--phrasebank", "x"], "--stage sentiment"),
        (["--stage", "poems"], "poems"),
    ],
)
def test_generate_refuses_an_impossible_request(
    arguments: list[str], message: str, finops: Finops, tmp_path: Path
) -> None:
    """An impossible number of rows, option or stage ends with exit 2 and a message."""
    done = finops("generate", *arguments, "-o", tmp_path / "data")
    assert (done.returncode, message in done.stderr.decode()) == (2, True)


def test_generated_records_are_consistent(data: Path) -> None:
    """A threshold state has a threshold security, a CNS fail is CNS eligible, and prices per share
    are realistic.
    """
    prices = []
    for row in rows_of_stage(data, "triage"):
        record, category = json.loads(row["record"]), json.loads(row["answer"])["category"]
        assert record.get("reg_sho_status") != "THRESHOLD" or record["reg_sho_threshold"]
        assert record.get("reg_sho_status") != "NONE" or not record["reg_sho_threshold"]
        assert category != "CNS_FAIL" or record.get("cns_eligible", True)
        price = record["market_value"] / record["qty"]
        assert record["qty"] == 1 or price >= 0.01
        prices.append(price)
    assert 5 < sorted(prices)[len(prices) // 2] < 100


@pytest.mark.slow
def test_generate_keeps_other_stages_in_the_folder(finops: Finops, tmp_path: Path) -> None:
    """A new stage leaves the sets of other stages loadable. Parquet files of replaced rows are
    removed.
    """
    finops("generate", "--stage", "triage", "-n", "100", "--parquet", "-o", tmp_path, "-q")
    finops("generate", "--stage", "sentiment", "-n", "100", "-o", tmp_path, "-q")
    front = (tmp_path / "README.md").read_text().split("---")[1]
    assert "config_name: triage" in front
    assert "config_name: sentiment" in front
    finops("generate", "--stage", "triage", "-n", "120", "-o", tmp_path, "-q")
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.glob("*.part"))
