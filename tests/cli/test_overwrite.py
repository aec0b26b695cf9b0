"""A complete output is replaced only with --overwrite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl

RUN = ("run", EXAMPLES / "monday.jsonl", "--backend", "engine", "-q")


@pytest.mark.parametrize(
    "command",
    [
        RUN,
        ("triage", EXAMPLES / "monday.jsonl", "--backend", "engine", "-q"),
        ("resolve", EXAMPLES / "cards/cases.jsonl", "--backend", "engine", "-q"),
        ("check", EXAMPLES / "monday.expected.jsonl", "-q"),
        ("clock", EXAMPLES / "monday.jsonl", "--as-of", "2026-11-30", "-q"),
        ("clock", EXAMPLES / "monday.jsonl", "--as-of", "2026-11-30", "--format", "ics", "-q"),
        ("import", "csv", EXAMPLES / "csv/blotter.csv", "--map", EXAMPLES / "csv/mapping.yaml"),
        ("import", "sec-fails", *sorted((EXAMPLES / "sec-fails").glob("cns*.txt"))),
    ],
    ids=lambda command: " ".join(map(str, command[:2])).replace(str(EXAMPLES), ""),
)
def test_complete_output_is_replaced_only_with_overwrite(
    command: tuple[object, ...], tmp_path: Path, finops: Finops
) -> None:
    """Rule: an output that holds data is kept, with exit 2 and the cure; an empty one is used."""
    output = tmp_path / "out"
    output.touch()
    status = finops(*command, "-o", output).returncode
    assert status in (0, 1)
    before = output.read_bytes()
    assert before
    for content in (before, b"of another program\n"):
        output.write_bytes(content)
        refused = finops(*command, "-o", output)
        assert (refused.returncode, refused.stdout, output.read_bytes()) == (2, b"", content)
        assert b"\nfix: give --overwrite to replace it, or another file for -o\n" in refused.stderr
    assert finops(*command, "-o", output, "--overwrite").returncode == status
    assert output.read_bytes() not in (b"", b"of another program\n")


def test_output_of_another_input_or_of_a_pipe_is_kept(tmp_path: Path, finops: Finops) -> None:
    """Rule: it does not matter what the earlier output was made from, or whether it has a note."""
    output = tmp_path / "out.jsonl"
    assert finops(*RUN, "-o", output).returncode == 0
    before = output.read_bytes()
    stdin = jsonl(a_fail())
    refused = finops("run", "-", "--backend", "engine", "-o", output, stdin=stdin)
    assert (refused.returncode, output.read_bytes()) == (2, before)
    output.with_name("out.jsonl.run.json").unlink()
    assert finops(*RUN, "-o", output).returncode == 2
    replaced = finops("run", "-", "--backend", "engine", "-o", output, "--overwrite", stdin=stdin)
    assert (replaced.returncode, output.read_bytes().count(b"\n")) == (0, 1)


def test_resume_of_a_complete_output_changes_nothing(tmp_path: Path, finops: Finops) -> None:
    """Rule: a complete output has nothing to continue; --resume and --overwrite exclude each
    other.
    """
    output = tmp_path / "out.jsonl"
    assert finops(*RUN, "-o", output).returncode == 0
    before = output.read_bytes()
    assert finops(*RUN, "-o", output, "--resume").returncode == 0
    both = finops(*RUN, "-o", output, "--resume", "--overwrite")
    assert (both.returncode, output.read_bytes()) == (2, before)
    assert b"--resume and --overwrite contradict each other" in both.stderr
