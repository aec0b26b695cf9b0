"""Runs of files with columns that are interrupted, resumed, guarded or packed."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk_tables import (
    FIXED,
    HEADER,
    KINDS,
    MAPPING,
    TABLE,
    a_row,
    as_csv,
    as_workbook,
)
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows

BIG = [HEADER, *(a_row(number) for number in range(1, 1_501)), ["Total", *[""] * 10]]


def start(fails: Path, mapping: Path, output: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "finops_cli", "run", str(fails), "--map", str(mapping)),
        *(*FIXED, "-q", "-o", str(output), *more),
    ]


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING)
    return path


@pytest.fixture
def fails(tmp_path: Path) -> Path:
    path = tmp_path / "fails.csv"
    path.write_bytes(KINDS["csv"])
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("csv", "2"), ("xlsx", "1")])
def test_killed_run_of_a_table_resumes_to_equal_bytes(
    kind: str, workers: str, mapping: Path, tmp_path: Path
) -> None:
    """After kill -9 and a torn line, --resume gives the bytes of an undisturbed run."""
    fails, whole, output = (tmp_path / name for name in ("fails", "whole.jsonl", "out.jsonl"))
    fails.write_bytes(as_csv(BIG) if kind == "csv" else as_workbook(BIG))
    subprocess.run(start(fails, mapping, whole), check=False)
    command = start(fails, mapping, output, "--resume", "--workers", workers)
    for _ in range(3):
        before = output.stat().st_size if output.exists() else 0
        with subprocess.Popen(command) as process:
            while process.poll() is None:
                if output.exists() and output.stat().st_size > before:
                    process.kill()
                time.sleep(0.001)
        if output.stat().st_size < whole.stat().st_size:
            with output.open("ab") as file:
                file.write(b'{"fail_id": "R-torn", "sta')
    subprocess.run(command, check=False)
    assert output.read_bytes() == whole.read_bytes()
    assert len(rows(whole.read_bytes())) == 1_500


def test_workers_give_the_bytes_of_one_process(
    fails: Path, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """--workers 2 writes the lines of a table that one process writes."""
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    finops("run", fails, "--map", mapping, *FIXED, "-o", one)
    finops("run", fails, "--map", mapping, *FIXED, "-o", two, "--workers", 2)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("mapping", "the mapping of its columns (--map)"),
        ("row", "the content of the input"),
        ("kind", "the kind of the input: was csv, now jsonl"),
    ],
)
def test_resume_of_a_table_refuses_what_changed(
    change: str, difference: str, fails: Path, mapping: Path, tmp_path: Path, finops: Finops
) -> None:
    """A mapping, a row or a kind of file that changed makes other lines: --resume names it."""
    output = tmp_path / "out.jsonl"
    finops("run", fails, "--map", mapping, *FIXED, "-o", output)
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    options: tuple[Any, ...] = ("--map", mapping)
    if change == "mapping":
        mapping.write_text(MAPPING.replace('"No"', '"Yes"'))
    elif change == "row":
        fails.write_bytes(KINDS["csv"].replace(b"R-1,", b"R-X,"))
    else:
        fails.write_bytes(b"{}\n")
        options = ()
    done = finops("run", fails, *options, *FIXED, "-o", output, "--resume")
    assert done.returncode == 2
    assert difference in " ".join(done.stderr.decode().split())


def test_guard_require_looks_ahead_in_a_table(
    mapping: Path, tmp_path: Path, finops: Finops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--guard require stops before the first line where a later row has free text."""
    import finops_cli.guard.detector

    monkeypatch.setattr(finops_cli.guard.detector, "installed", lambda: False)
    fails, output = tmp_path / "fails.csv", tmp_path / "out.jsonl"
    fails.write_bytes(as_csv([*TABLE[:-1], a_row(41, Note="call Jane")]))
    done = finops("run", fails, "--map", mapping, *FIXED, "--guard", "require", "-o", output)
    assert done.returncode == 3
    assert "line 41: R-41 has free text" in " ".join(done.stderr.decode().split())
    assert not output.exists()


def test_run_of_packed_lines_gives_the_lines_of_the_file(tmp_path: Path, finops: Finops) -> None:
    """JSON Lines in .gz are read as the file itself; stderr says what was read."""
    plain = EXAMPLES / "monday.jsonl"
    packed = tmp_path / "monday.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    found = finops("run", packed, *FIXED)
    assert found.stdout == finops("run", plain, *FIXED).stdout
    assert f"{packed}: gzip: JSON Lines" in " ".join(found.stderr.decode().split())


def test_run_of_a_cut_file_ends_unfinished(tmp_path: Path, finops: Finops) -> None:
    """A packed file that is cut off gives whole lines, and exit 2: not all of it was read."""
    packed = tmp_path / "fails.gz"
    noise = random.Random(7)
    lines = [a_fail(fail_id=f"F-{at}", notes=noise.randbytes(150).hex()) for at in range(2_000)]
    packed.write_bytes(gzip.compress(jsonl(*lines))[:-20])
    output = tmp_path / "out.jsonl"
    done = finops("run", packed, *FIXED, "-q", "-o", output)
    assert done.returncode == 2
    assert "damaged or cut off" in done.stderr.decode()
    assert len(rows(output.read_bytes())) > 256
