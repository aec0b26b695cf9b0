"""`finops dataset-report` finds every tampered, misplaced or repeated row, and every requirement
that is not met.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finops


def _edited(row: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(row, default=float))
    change(changed)
    return changed


def _wrong_score(row: dict[str, Any]) -> None:
    row["answer"] = row["answer"].replace('"priority_score":', '"priority_score":1')
    row["completion"][0]["content"] = row["answer"]


def _other_completion(row: dict[str, Any]) -> None:
    row["completion"][0]["content"] += " "


def _other_prompt(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] = row["prompt"][1]["content"].replace("Side: ", "Side:  ")


def _other_split(row: dict[str, Any]) -> None:
    row["split"] = "eval"


def _no_record(row: dict[str, Any]) -> None:
    row["record"] = "{}"


def _no_json(row: dict[str, Any]) -> None:
    row["record"] = "{"


def _nested(row: dict[str, Any]) -> None:
    row["record"] = "[" * 100_000


def _pirate(row: dict[str, Any]) -> None:
    row["prompt"][0]["content"] = "You are a pirate."


def _thinking(row: dict[str, Any]) -> None:
    row["chat_template_kwargs"]["enable_thinking"] = True


def _other_words(row: dict[str, Any]) -> None:
    answer = json.loads(row["answer"])
    row["answer"] = row["completion"][0]["content"] = json.dumps(
        {**answer, "reason": "because"}, separators=(",", ":")
    )


def _nothing_asked(row: dict[str, Any]) -> None:
    row["prompt"] = row["completion"] = []


def _other_column(row: dict[str, Any]) -> None:
    row["stray"] = 1


@pytest.mark.parametrize(
    "change",
    [
        _wrong_score,
        _other_completion,
        _other_prompt,
        _other_split,
        _no_record,
        _no_json,
        _nested,
        _pirate,
        _thinking,
        _other_words,
        _nothing_asked,
        _other_column,
    ],
)
def test_report_finds_a_row_that_was_tampered_with(
    change: Callable[[dict[str, Any]], None], data: Path, finops: Finops, tmp_path: Path
) -> None:
    """One row among many: exit 1, and the row is named."""
    lines = (data / "triage-train.jsonl").read_bytes().splitlines(keepends=True)[:30]
    lines[17] = json.dumps(_edited(json.loads(lines[17]), change)).encode() + b"\n"
    (tmp_path / "triage.jsonl").write_bytes(b"".join(lines))
    done = finops("dataset-report", tmp_path / "triage.jsonl")
    assert (done.returncode, b"triage.jsonl:18" in done.stdout) == (1, True)


def test_report_finds_leaks_and_repetition(data: Path, finops: Finops, tmp_path: Path) -> None:
    """A training row in the file of the evaluation split, by whatever name it calls itself, and a
    row told twice.
    """
    lines = (data / "triage-train.jsonl").read_bytes().splitlines(keepends=True)[:20]
    (tmp_path / "triage-eval.jsonl").write_bytes(lines[0])
    (tmp_path / "triage.jsonl").write_bytes(
        b"".join(lines) + lines[3] + lines[4].replace(b"-00000005", b"-99999999")
    )
    said = finops("dataset-report", tmp_path).stdout.decode()
    assert "triage-eval.jsonl:1: data.row: " in said
    assert "stands in a file of eval" in said
    assert "triage.jsonl:21: " in said
    assert "triage.jsonl:22: " in said


def test_report_finds_a_gutted_trace(data: Path, finops: Finops, tmp_path: Path) -> None:
    """A section without its steps says nothing false, but is not what finops writes."""
    lines = (data / "resolver-train.jsonl").read_bytes().splitlines(keepends=True)[:5]
    row = json.loads(lines[1])
    head, _, rest = row["completion"][0]["content"].partition("4 Chase walk-through\n")
    row["completion"][0]["content"] = (
        f"{head}4 Chase walk-through\nnothing\n5 Partials{rest.partition('5 Partials')[2]}"
    )
    (tmp_path / "resolver.jsonl").write_bytes(lines[0] + json.dumps(row).encode() + b"\n")
    done = finops("dataset-report", tmp_path / "resolver.jsonl")
    assert (done.returncode, b"resolver.jsonl:2: " in done.stdout) == (1, True)


def test_report_finds_a_false_number_in_a_trace(data: Path, finops: Finops, tmp_path: Path) -> None:
    lines = (data / "resolver-train.jsonl").read_bytes().splitlines(keepends=True)[:5]
    row = json.loads(lines[2])
    row["completion"][0]["content"] = row["completion"][0]["content"].replace("=", "=1", 1)
    lines[2] = json.dumps(row).encode() + b"\n"
    (tmp_path / "resolver.jsonl").write_bytes(b"".join(lines))
    done = finops("dataset-report", tmp_path / "resolver.jsonl")
    assert (done.returncode, b"resolver.jsonl:3: trace." in done.stdout) == (1, True)


def test_report_finds_a_requirement_that_is_not_met(
    data: Path, finops: Finops, tmp_path: Path
) -> None:
    """A set without its B2B fails does not hold the card's categories any more."""
    lines = (data / "triage-train.jsonl").read_bytes().splitlines(keepends=True)[:2000]
    (tmp_path / "triage.jsonl").write_bytes(
        b"".join(line for line in lines if b"B2B_PENDING" not in line)
    )
    done = finops("dataset-report", tmp_path / "triage.jsonl")
    assert done.returncode == 1
    assert "NOT MET  categories" in done.stdout.decode()


def test_report_takes_a_sentiment_row_without_a_sentence(finops: Finops, tmp_path: Path) -> None:
    """It is a bad row among the others, not the end of the report."""
    finops("generate", "--stage", "sentiment", "-n", "60", "-o", tmp_path, "-q")
    file = tmp_path / "sentiment-train.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(
        b"".join([json.dumps({**json.loads(lines[0]), "record": "{"}).encode() + b"\n", *lines[1:]])
    )
    done = finops("dataset-report", tmp_path)
    assert (done.returncode, b"sentiment-train.jsonl:1: " in done.stdout) == (1, True)
    assert b"Traceback" not in done.stderr
