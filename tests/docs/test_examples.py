"""The examples: each has an expected output file, and the commands print exactly that output. `just
examples` writes the expected files again; read the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows

COMMANDS = {
    "monday.jsonl": "run",
    "gridlock.jsonl": "run",
    "corporate-action.jsonl": "run",
    "back-to-back.jsonl": "run",
    "damaged.jsonl": "run",
    "book/fails.jsonl": f"book --inventory {EXAMPLES / 'book' / 'inventory.jsonl'}",
    "net/legs.jsonl": f"net --balances {EXAMPLES / 'net' / 'balances.jsonl'}",
    "net/deadlock.jsonl": "net",
    "net/own.jsonl": "net --own DTC-0999",
    "cards/fails.jsonl": "run",
    "cards/cases.jsonl": "resolve",
    "cards/published.jsonl": "check",
    "sec-fails/fails.jsonl": "run",
    "csv/fails.jsonl": "run",
    "csv/dated.jsonl": "run",
    "csv/european.jsonl": "run",
    "csv/broker.jsonl": "run",
    "clock/fails.jsonl": "clock --as-of 2026-11-18T08:30",
    "clock/worked.jsonl": "clock",
    "sentiment/texts.jsonl": "sentiment --backend baseline",
}
JOINED = {"clock/events.jsonl", "book/inventory.jsonl", "net/balances.jsonl"}
"""Files that are joined to the fails of an example."""
LABELLED = {"sentiment/hand-written.jsonl"}
"""Files of labelled texts for `finops evaluate --data`. Their results are figures, no lines."""

ANSWERED = {"audit/repaired.jsonl"}
"""Output lines of a model, for `finops audit --replaced`; a test of the checker judges them."""


def find_expected(example: Path) -> Path:
    return example.with_name(f"{example.stem}.expected.jsonl")


def remove_provenance(output: bytes) -> list[dict[str, Any]]:
    """Return the lines without the rules version and the latency, which differ between
    checkouts.
    """
    return [
        {key: value for key, value in row.items() if key != "provenance"} for row in rows(output)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_example_gives_its_expected_output(name: str, finops: Finops) -> None:
    """The command of an example prints the lines of its expected file."""
    example = EXAMPLES / name
    done = finops(*COMMANDS[name].split(), example)
    assert remove_provenance(done.stdout) == rows(find_expected(example).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command == "run"])
def test_check_of_an_example_run_finds_nothing(name: str, finops: Finops) -> None:
    """The checker accepts the output of each example, alone and with its fails."""
    output = finops("run", EXAMPLES / name).stdout
    assert finops("check", "-", stdin=output).returncode == 0
    assert finops("check", "-", "--fails", EXAMPLES / name, stdin=output).returncode == 0


def test_every_example_file_is_run_or_expected() -> None:
    """Each JSONL file under examples/ is the input or the expected output of a test in
    this module, is joined to an input, or has the labels of an evaluation.
    """
    present = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.jsonl")}
    expected = {str(find_expected(Path(name))) for name in COMMANDS}
    assert present == set(COMMANDS) | expected | JOINED | LABELLED | ANSWERED


def test_repaired_example_is_the_output_of_its_record(finops: Finops) -> None:
    """The answers of a model in the example are right after finops replaced what was wrong."""
    fails = (EXAMPLES / "monday.jsonl").read_bytes().splitlines(keepends=True)[:3]
    done = finops("check", EXAMPLES / "audit/repaired.jsonl", "--fails", "-", stdin=b"".join(fails))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("folder", "name", "arguments"),
    [
        (
            "sec-fails",
            "fails",
            (
                "cnsfails_202212a_202303a_excerpt.txt --threshold-list threshold-list-synthetic.txt"
                " --inventory-coverage-pct 30 --recall-pct 20 --borrow-pct 25"
            ),
        ),
        ("csv", "fails", "blotter.csv --map mapping.yaml"),
        ("csv", "dated", "dated-blotter.csv --map dated-mapping.yaml"),
        ("csv", "european", "european-blotter.csv --map european-mapping.yaml"),
        ("csv", "broker", "broker-export.csv --map broker-mapping.yaml"),
    ],
)
def test_imported_example_equals_the_importer_output(
    folder: str, name: str, arguments: str, finops: Finops
) -> None:
    """The fails of an import example equal the output of the import command in its README."""
    named = [
        str(EXAMPLES / folder / word) if (EXAMPLES / folder / word).is_file() else word
        for word in arguments.split()
    ]
    done = finops("import", folder, *named)
    assert done.stdout == (EXAMPLES / folder / f"{name}.jsonl").read_bytes()
