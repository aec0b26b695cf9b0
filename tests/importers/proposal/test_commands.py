"""finops import csv and finops run with a file that has no mapping yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import Finops

EXPORTS = Path(__file__).parents[1] / "exports"
ENGINE = ("--backend", "engine", "--quiet")
COMPLETE = ("bloomberg.csv", "custodian-eu.csv", "excel-made.csv", "feed.tsv", "us-preamble.csv")


@pytest.mark.parametrize("name", COMPLETE)
def test_run_of_a_complete_export_needs_one_command(name: str, finops: Finops) -> None:
    """A file that decides everything is run as it is."""
    done = finops("run", EXPORTS / name, "--accept", *ENGINE)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 40


def test_run_takes_the_moment_that_a_file_lacks(finops: Finops) -> None:
    """A file with settlement dates and no day of the data needs `--as-of`, and nothing else."""
    file = EXPORTS / "prime-broker.csv"
    refused = finops("run", file, "--accept", *ENGINE)
    assert refused.returncode == 2
    assert b"fix: give --as-of, or keep the mapping" in refused.stderr
    done = finops("run", file, "--accept", "--as-of", "2026-11-25", *ENGINE)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 40


def test_accepted_mapping_says_what_it_leaves_open(finops: Finops) -> None:
    """Nobody has read an accepted mapping, so stderr names what it does not decide or use."""
    done = finops("run", EXPORTS / "us-preamble.csv", "--accept", "--backend", "engine")
    assert b"not given    cp_fail_rate_pct: no column has it" in done.stderr
    assert b"not used     Sec Desc: the description of a security" in done.stderr


def test_import_without_a_mapping_prints_one_and_exits_2(finops: Finops) -> None:
    """The proposal is on stdout; stderr says that nothing was imported."""
    done = finops("import", "csv", EXPORTS / "feed.tsv")
    assert done.returncode == 2
    assert b"columns:\n" in done.stdout
    assert b"nothing is imported yet; add --accept" in done.stderr


def test_proposal_that_was_completed_runs(finops: Finops, tmp_path: Path) -> None:
    """The missing facts are written into the saved mapping; then the file runs."""
    file, saved = EXPORTS / "clearing-cns.csv", tmp_path / "map.yaml"
    assert finops("run", file, "--save-map", saved, *ENGINE).returncode == 2
    text = saved.read_text()
    answers = '  counterparty: DTC-0000\n  inventory_coverage_pct: "0"\n'
    saved.write_text(text.replace("constants:\n", f"constants:\n{answers}", 1))
    done = finops("run", file, "--map", saved, *ENGINE)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 40
