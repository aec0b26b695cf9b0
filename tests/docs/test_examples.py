"""Every example has its expected output, and gives it.

`just examples` writes the expected files anew; read the difference.
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
    "cards/fails.jsonl": "run",
    "cards/cases.jsonl": "resolve",
    "cards/published.jsonl": "check",
    "sec-fails/fails.jsonl": "run",
    "csv/fails.jsonl": "run",
}


def expected_of(example: Path) -> Path:
    return example.with_name(f"{example.stem}.expected.jsonl")


def without_provenance(output: bytes) -> list[dict[str, Any]]:
    """Rules version and latency differ from checkout to checkout; everything else is expected to
    the digit.
    """
    return [
        {key: value for key, value in row.items() if key != "provenance"} for row in rows(output)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_example_gives_its_expected_output(name: str, finops: Finops) -> None:
    example = EXAMPLES / name
    done = finops(COMMANDS[name], example)
    assert without_provenance(done.stdout) == rows(expected_of(example).read_bytes())


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command == "run"])
def test_the_checker_finds_nothing_wrong_with_what_finops_wrote(name: str, finops: Finops) -> None:
    """Alone, and held against the fails it answers."""
    output = finops("run", EXAMPLES / name).stdout
    assert finops("check", "-", stdin=output).returncode == 0
    assert finops("check", "-", "--fails", EXAMPLES / name, stdin=output).returncode == 0


def test_no_example_is_left_out() -> None:
    """Each JSONL under examples/ is either run here or is what one of them gives."""
    present = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.jsonl")}
    expected = {str(expected_of(Path(name))) for name in COMMANDS}
    assert present == set(COMMANDS) | expected


@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        (
            "sec-fails",
            (
                "cnsfails_202212a_202303a_excerpt.txt --threshold-list threshold-list-synthetic.txt"
                " --inventory-coverage-pct 30 --recall-pct 20 --borrow-pct 25"
            ),
        ),
        ("csv", "blotter.csv --map mapping.yaml"),
    ],
)
def test_imported_examples_are_what_the_importers_give(
    folder: str, arguments: str, finops: Finops
) -> None:
    """The fails of these folders come from the files beside them, by the command that their README
    shows.
    """
    named = [
        str(EXAMPLES / folder / word) if (EXAMPLES / folder / word).is_file() else word
        for word in arguments.split()
    ]
    done = finops("import", folder, *named)
    assert done.stdout == (EXAMPLES / folder / "fails.jsonl").read_bytes()
