"""The command `finops dataset-report`: it finds every changed, misplaced or repeated row and every
requirement that is not met.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finops, call_finops


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fifty rows of triage and of the resolver, of which the tests change some."""
    folder = tmp_path_factory.mktemp("written")
    call_finops("generate", "--seed", "11", "-q", "-n", 50, "-o", folder)
    return folder


def edit(row: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(row, default=float))
    change(changed)
    return changed


def set_wrong_score(row: dict[str, Any]) -> None:
    row["answer"] = row["answer"].replace('"priority_score":', '"priority_score":1')
    row["completion"][0]["content"] = row["answer"]


def change_completion(row: dict[str, Any]) -> None:
    row["completion"][0]["content"] += " "


def change_prompt(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] = row["prompt"][1]["content"].replace("Side: ", "Side:  ")


def change_split(row: dict[str, Any]) -> None:
    row["split"] = "eval"


def empty_record(row: dict[str, Any]) -> None:
    row["record"] = "{}"


def break_json(row: dict[str, Any]) -> None:
    row["record"] = "{"


def nest_record(row: dict[str, Any]) -> None:
    row["record"] = "[" * 100_000


def change_system_prompt(row: dict[str, Any]) -> None:
    row["prompt"][0]["content"] = "You are a pirate."


def allow_reasoning(row: dict[str, Any]) -> None:
    row["chat_template_kwargs"]["enable_thinking"] = True


def change_reason(row: dict[str, Any]) -> None:
    answer = json.loads(row["answer"])
    row["answer"] = row["completion"][0]["content"] = json.dumps(
        {**answer, "reason": "because"}, separators=(",", ":")
    )


def remove_messages(row: dict[str, Any]) -> None:
    row["prompt"] = row["completion"] = []


def add_column(row: dict[str, Any]) -> None:
    row["stray"] = 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        set_wrong_score,
        change_completion,
        change_prompt,
        change_split,
        empty_record,
        break_json,
        nest_record,
        change_system_prompt,
        allow_reasoning,
        change_reason,
        remove_messages,
        add_column,
    ],
)
def test_dataset_report_names_a_changed_row(
    change: Callable[[dict[str, Any]], None], written: Path, finops: Finops, tmp_path: Path
) -> None:
    """One changed row among many gives exit 1, and the report names its file and line."""
    lines = (written / "triage-train.jsonl").read_bytes().splitlines(keepends=True)[:30]
    lines[17] = json.dumps(edit(json.loads(lines[17]), change)).encode() + b"\n"
    (tmp_path / "triage.jsonl").write_bytes(b"".join(lines))
    done = finops("dataset-report", tmp_path / "triage.jsonl")
    assert (done.returncode, b"triage.jsonl:18" in done.stdout) == (1, True)


def test_dataset_report_finds_leaked_and_repeated_rows(
    written: Path, finops: Finops, tmp_path: Path
) -> None:
    """A training row in the evaluation file and a repeated row are reported, whatever their `id`
    says.
    """
    lines = (written / "triage-train.jsonl").read_bytes().splitlines(keepends=True)[:20]
    (tmp_path / "triage-eval.jsonl").write_bytes(lines[0])
    (tmp_path / "triage.jsonl").write_bytes(
        b"".join(lines) + lines[3] + lines[4].replace(b"-00000005", b"-99999999")
    )
    output = finops("dataset-report", tmp_path).stdout.decode()
    assert "triage-eval.jsonl:1: data.row: " in output
    assert "is in a file of eval" in output
    assert "triage.jsonl:21: " in output
    assert "triage.jsonl:22: " in output


def test_dataset_report_finds_reasoning_without_its_steps(
    written: Path, finops: Finops, tmp_path: Path
) -> None:
    """A reasoning section without its steps contains nothing false, but is reported because finops
    does not write it.
    """
    lines = (written / "resolver-train.jsonl").read_bytes().splitlines(keepends=True)[:5]
    row = json.loads(lines[1])
    head, _, rest = row["completion"][0]["content"].partition("4 Chase walk-through\n")
    row["completion"][0]["content"] = (
        f"{head}4 Chase walk-through\nnothing\n5 Partials{rest.partition('5 Partials')[2]}"
    )
    (tmp_path / "resolver.jsonl").write_bytes(lines[0] + json.dumps(row).encode() + b"\n")
    done = finops("dataset-report", tmp_path / "resolver.jsonl")
    assert (done.returncode, b"resolver.jsonl:2: " in done.stdout) == (1, True)


def test_dataset_report_finds_a_wrong_number_in_reasoning(
    written: Path, finops: Finops, tmp_path: Path
) -> None:
    """A wrong number in the reasoning of a row is reported with file, line and rule."""
    lines = (written / "resolver-train.jsonl").read_bytes().splitlines(keepends=True)[:5]
    row = json.loads(lines[2])
    row["completion"][0]["content"] = row["completion"][0]["content"].replace("=", "=1", 1)
    lines[2] = json.dumps(row).encode() + b"\n"
    (tmp_path / "resolver.jsonl").write_bytes(b"".join(lines))
    done = finops("dataset-report", tmp_path / "resolver.jsonl")
    assert (done.returncode, b"resolver.jsonl:3: trace." in done.stdout) == (1, True)


@pytest.mark.slow
def test_dataset_report_finds_a_requirement_not_met(finops: Finops, tmp_path: Path) -> None:
    """A set without one of the categories of the card is reported as NOT MET, with exit 1."""
    finops("generate", "--stage", "triage", "-n", 2_000, "-o", tmp_path, "-q")
    lines = (tmp_path / "triage-train.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "triage.jsonl").write_bytes(
        b"".join(line for line in lines if b"B2B_PENDING" not in line)
    )
    done = finops("dataset-report", tmp_path / "triage.jsonl")
    assert done.returncode == 1
    assert "NOT MET  categories" in done.stdout.decode()


def test_dataset_report_survives_a_row_without_a_sentence(finops: Finops, tmp_path: Path) -> None:
    """A sentiment row without a sentence is reported as a bad row, without a traceback."""
    finops("generate", "--stage", "sentiment", "-n", "60", "-o", tmp_path, "-q")
    file = tmp_path / "sentiment-train.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(
        b"".join([json.dumps({**json.loads(lines[0]), "record": "{"}).encode() + b"\n", *lines[1:]])
    )
    done = finops("dataset-report", tmp_path)
    assert (done.returncode, b"sentiment-train.jsonl:1: " in done.stdout) == (1, True)
    assert b"Traceback" not in done.stderr
