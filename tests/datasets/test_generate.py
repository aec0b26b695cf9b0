"""`finops generate`: verified, deterministic, split without leakage; the files prove every
requirement.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest

from finops_cli.models.token_estimate import estimated_tokens
from tests.support.oracle import plan_oracle, triage_oracle
from tests.support.program import Finops
from tests.support.records import rows, rows_of_stage


def _digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("*.jsonl"))
    }


def test_every_requirement_is_met_at_the_cards_sizes(data: Path) -> None:
    """Categories, bands x tiers x states, stacks and the cap, boundaries, participants, tiers,
    ages, thirteen scenarios, tokens.
    """
    reports = json.loads((data / "report.json").read_bytes())
    assert [(report["stage"], report["rows"], report["bad_rows"]) for report in reports] == [
        ("triage", 10_000, 0),
        ("resolver", 10_000, 0),
    ]
    requirements = [each for report in reports for each in report["requirements"]]
    assert len(requirements) == 17
    assert [each for each in requirements if each["met"] is not True] == []


def test_report_from_the_files_says_what_the_run_said(
    data: Path, finops: Finops, tmp_path: Path
) -> None:
    """Recounting judges every row again and comes to the same figures; the page holds them and
    loads nothing.
    """
    page = tmp_path / "report.html"
    done = finops("dataset-report", data, "--json", "--html", page)
    told, counted = json.loads((data / "report.json").read_bytes()), json.loads(done.stdout)
    assert done.returncode == 0
    assert sorted(counted, key=lambda report: str(report["stage"])) == sorted(
        told, key=lambda report: str(report["stage"])
    )
    text = page.read_text()
    assert "every requirement met" in text
    assert "http" not in text
    assert "<script" not in text


def test_an_oracle_that_knows_only_the_specification_agrees(data: Path) -> None:
    """10,000 triage answers and 10,000 plans equal those of the independent implementation
    (`tests/support/oracle`) in every scored field.
    """
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


def test_rows_are_what_a_trainer_reads(data: Path) -> None:
    """Prompt and completion as messages; triage without thinking, the resolver behind a trace, all
    inside the trained length.
    """
    triage, resolver = rows_of_stage(data, "triage")[0], rows_of_stage(data, "resolver")
    assert [message["role"] for message in triage["prompt"] + triage["completion"]] == [
        "system",
        "user",
        "assistant",
    ]
    assert triage["chat_template_kwargs"] == {"enable_thinking": False}
    for row in resolver[::50]:
        said = row["completion"][0]["content"]
        assert row["chat_template_kwargs"] == {"enable_thinking": True}
        assert said.startswith("<think>\n1 Problem\n")
        assert json.loads(said.partition("\n</think>\n\n")[2])["resolution_steps"]
        assert (
            estimated_tokens("".join(m["content"] for m in row["prompt"])) + estimated_tokens(said)
            <= 5120
        )


def test_no_record_stands_in_both_splits(data: Path) -> None:
    """Nor one that differs only in identifiers and free text: told here from the files, not by the
    generator's own key.
    """
    free = ("fail_id", "cusip", "counterparty", "notes", "dk_reason")
    keys: dict[str, set[str]] = {}
    for split in ("train", "eval"):
        given = rows((data / f"triage-{split}.jsonl").read_bytes())
        records = [json.loads(row["record"]) for row in given]
        keys[split] = {
            json.dumps({k: v for k, v in r.items() if k not in free}, sort_keys=True)
            for r in records
        }
    assert len(keys["train"]) > 7_900
    assert not keys["train"] & keys["eval"]


@pytest.mark.parametrize("stage", ["triage", "resolver", "sentiment"])
def test_same_seed_same_bytes_whatever_the_workers(
    stage: str, finops: Finops, tmp_path: Path
) -> None:
    """Two runs, one and three workers; another seed gives other bytes; so does the profile of the
    market.
    """
    made = {}
    for name, options in {
        "a": ["--workers", "1"],
        "b": ["--workers", "3"],
        "c": ["--seed", "8"],
    }.items():
        done = finops(
            "generate", "--stage", stage, "-n", "450", "-o", tmp_path / name, "-q", *options
        )
        assert done.returncode == 0, done.stdout
        made[name] = _digests(tmp_path / name)
    assert made["a"] == made["b"]
    assert not set(made["a"].values()) & set(made["c"].values())


def test_the_card_is_enough_to_make_the_set_again(finops: Finops, tmp_path: Path) -> None:
    """Command, rules version and digests stand in README.md beside the files, with the front matter
    that `datasets` reads.
    """
    folder = tmp_path / "data"
    finops("generate", "--stage", "triage", "-n", "300", "--seed", "5", "-o", folder, "-q")
    card = (folder / "README.md").read_text()
    assert "finops generate --stage triage -n 300 --seed 5\n" in card
    assert all(digest in card for digest in _digests(folder).values())
    assert "path: triage-eval.jsonl" in card.split("---")[1]


def test_the_market_profile_has_the_markets_values_and_ages(finops: Finops, tmp_path: Path) -> None:
    """Most SEC fails are small: the median value is near 3,400 dollars, not millions (kb:
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


def test_parquet_holds_the_same_rows(finops: Finops, tmp_path: Path) -> None:
    finops("generate", "--stage", "resolver", "-n", "60", "--parquet", "-o", tmp_path, "-q")
    for file in tmp_path.glob("*.jsonl"):
        table = pyarrow.parquet.read_table(file.with_suffix(".parquet"))
        assert table.to_pylist() == [json.loads(line) for line in file.read_bytes().splitlines()]


def test_a_phrasebank_of_ones_own_becomes_rows(finops: Finops, tmp_path: Path) -> None:
    """`sentence@label`, damaged lines told, duplicates dropped; the rows pass the report's row
    checks.
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
    ("arguments", "says"),
    [
        (["-n", "0"], "rows"),
        (["--phrasebank", "x"], "--stage sentiment"),
        (["--stage", "poems"], "poems"),
    ],
)
def test_what_cannot_be_made_is_refused(
    arguments: list[str], says: str, finops: Finops, tmp_path: Path
) -> None:
    done = finops("generate", *arguments, "-o", tmp_path / "data")
    assert (done.returncode, says in done.stderr.decode()) == (2, True)


def test_records_do_not_contradict_themselves(data: Path) -> None:
    """A threshold state has a threshold security, a CNS fail is CNS-eligible, and shares have the
    price of shares.
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


def test_a_folder_keeps_its_other_sets(finops: Finops, tmp_path: Path) -> None:
    """The card of one stage leaves the files of another loadable; Parquet of other rows does not
    stay behind.
    """
    finops("generate", "--stage", "triage", "-n", "100", "--parquet", "-o", tmp_path, "-q")
    finops("generate", "--stage", "sentiment", "-n", "100", "-o", tmp_path, "-q")
    front = (tmp_path / "README.md").read_text().split("---")[1]
    assert "config_name: triage" in front
    assert "config_name: sentiment" in front
    finops("generate", "--stage", "triage", "-n", "120", "-o", tmp_path, "-q")
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.glob("*.part"))
