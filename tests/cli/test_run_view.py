"""`finops run`, `triage` and `resolve` on a terminal, and `--format`."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.terminal import interrupt_at, run_on_terminal

MONDAY = EXAMPLES / "monday.jsonl"
DAMAGED = EXAMPLES / "damaged.jsonl"
CASES = EXAMPLES / "cards" / "cases.jsonl"
ENGINE = ("--backend", "engine", "--no-timing")


@pytest.mark.cli
@pytest.mark.parametrize("width", [80, 120])
def test_run_on_a_terminal_prints_the_list(width: int, tmp_path: Path, finops: Finops) -> None:
    """On a terminal a run without -o prints the list that `finops list` prints of its output, in
    the width of the terminal, and the summary on stderr.
    """
    shown = run_on_terminal("run", MONDAY, *ENGINE, columns=width)
    output = tmp_path / "out.jsonl"
    finops("run", MONDAY, *ENGINE, "-o", output)
    listed = run_on_terminal("list", output, columns=width)
    assert (shown.status, shown.screen) == (0, listed.screen)
    assert "\x1b[1;31mCRITICAL\x1b[0m" in shown.screen
    assert max(len(line) for line in shown.screen.splitlines()) <= width + len("\x1b[1;31m\x1b[0m")
    assert "status       ok 8" in shown.messages


@pytest.mark.slow
@pytest.mark.cli
def test_no_color_leaves_only_the_colour_out() -> None:
    """NO_COLOR takes the colours away and nothing else."""
    coloured = run_on_terminal("run", MONDAY, *ENGINE).screen
    plain = run_on_terminal("run", MONDAY, *ENGINE, environment={"NO_COLOR": "1"}).screen
    assert "\x1b" not in plain
    for code in ("\x1b[1;31m", "\x1b[33m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


@pytest.mark.slow
@pytest.mark.cli
@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (("triage", MONDAY), "#  tier "),
        (("resolve", CASES), "#  fail    status"),
        (("run", MONDAY, "--format", "jsonl"), '{"fail_id":"F-1001"'),
    ],
)
def test_each_command_has_its_list_on_a_terminal(arguments: tuple[object, ...], first: str) -> None:
    """`triage` and `resolve` print a list too; --format jsonl prints lines on a terminal."""
    shown = run_on_terminal(*arguments, "--backend", "engine")
    assert (shown.status, shown.screen[: len(first)]) == (0, first)


@pytest.mark.parametrize("command", ["run", "triage"])
def test_run_into_a_pipe_gives_lines_of_json(command: str, finops: Finops) -> None:
    """A run writes JSON Lines into a pipe."""
    assert len(rows(finops(command, MONDAY, *ENGINE).stdout)) == 8


def test_table_in_a_pipe_is_plain_and_80_columns(finops: Finops) -> None:
    """`--format table` into a pipe has no colour, and the lines fit 80 columns."""
    done = finops("run", MONDAY, *ENGINE, "--format", "table")
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_rejected_records_are_listed_and_keep_the_exit_code(finops: Finops) -> None:
    """The exit code of a view is the one of the run; rejected lines come last, with the error."""
    done = finops("run", DAMAGED, *ENGINE, "--format", "table")
    lines = finops("run", DAMAGED, *ENGINE)
    assert done.returncode == lines.returncode == 1
    assert b"rejected: line 2: cusip is 594918105" in done.stdout


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "html"])
def test_suffix_of_the_output_chooses_the_format(
    suffix: str, tmp_path: Path, finops: Finops
) -> None:
    """`-o list.xlsx` writes a workbook, list.csv a CSV file, list.html a page; each whole, and
    without a note of the run beside it.
    """
    output = tmp_path / f"list.{suffix}"
    done = finops("run", MONDAY, *ENGINE, "-o", output)
    assert (done.returncode, done.stdout) == (0, b"")
    assert [each.name for each in tmp_path.iterdir()] == [output.name]
    if suffix == "csv":
        found = list(csv.DictReader(io.StringIO(output.read_text("utf-8-sig"))))
        assert [row["fail_id"] for row in found][:2] == ["F-1003", "F-1008"]
    elif suffix == "xlsx":
        names = zipfile.ZipFile(output).namelist()
        assert "xl/worksheets/sheet1.xml" in names
    else:
        assert output.read_text().startswith("<!doctype html>") or "<html" in output.read_text()


def test_format_jsonl_wins_over_the_suffix(tmp_path: Path, finops: Finops) -> None:
    """A format that is given counts, and the suffix does not."""
    output = tmp_path / "lines.csv"
    finops("run", MONDAY, *ENGINE, "-o", output, "--format", "jsonl")
    assert len(rows(output.read_bytes())) == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "xlsx"), "--format xlsx needs a file"),
        (("--format", "html"), "--format html needs a file"),
        (("--format", "table", "--resume"), "--resume"),
        (("-o", "list.xlsx", "--resume"), "--resume continues lines of JSON"),
        (("--format", "pdf"), "--format is pdf. Expected one of: auto, table, jsonl"),
    ],
)
def test_run_refuses_a_view_that_it_cannot_write(
    options: tuple[str, ...],
    said: str,
    tmp_path: Path,
    finops: Finops,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A workbook and a page need a file; only lines of JSON can be resumed."""
    monkeypatch.chdir(tmp_path)
    done = finops("run", MONDAY, *ENGINE, *options)
    assert (done.returncode, said in done.stderr.decode()) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_view_does_not_replace_a_file_unasked(tmp_path: Path, finops: Finops) -> None:
    """A workbook that is there already stays, before any record is processed; --overwrite replaces
    it.
    """
    output = tmp_path / "list.xlsx"
    output.write_bytes(b"mine")
    done = finops("run", MONDAY, *ENGINE, "-o", output)
    assert (done.returncode, output.read_bytes()) == (2, b"mine")
    assert finops("run", MONDAY, *ENGINE, "-o", output, "--overwrite").returncode == 0
    assert output.read_bytes()[:2] == b"PK"


@pytest.mark.slow
@pytest.mark.cli
@pytest.mark.parametrize("suffix", ["xlsx", "txt"])
def test_interrupt_leaves_no_half_file(suffix: str, tmp_path: Path) -> None:
    """A run that is interrupted ends with 130, and there is neither the file nor a part of it."""
    output = tmp_path / f"list.{suffix}"
    format_ = "xlsx" if suffix == "xlsx" else "table"
    shown = interrupt_at(
        b" 1 records",
        *("run", "-", *ENGINE, "--format", format_, "-o", output),
        stdin=jsonl(a_fail()),
        environment={"TMPDIR": str(tmp_path)},
    )
    assert (shown.status, shown.screen) == (130, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cli
def test_interrupted_list_shows_what_was_answered() -> None:
    """A table on stdout that is interrupted shows the records that have an answer."""
    shown = interrupt_at(
        b" 1 records",
        *("run", "-", *ENGINE, "--format", "table"),
        stdin=jsonl(a_fail(fail_id="answered")),
    )
    assert shown.status == 130
    assert "answered" in shown.screen
    assert "interrupted after 1 records" in shown.messages


@pytest.mark.cli
def test_run_without_openpyxl_refuses_before_it_runs(tmp_path: Path) -> None:
    """Without the extra a workbook ends with 3 and names the extra; no record is processed."""
    (tmp_path / "openpyxl.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "finops_cli", "run", str(MONDAY), "-o", str(tmp_path / "l.xlsx")],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 3
    assert b"a workbook needs openpyxl" in done.stderr
    assert b"records " not in done.stderr


def test_view_has_the_fails_of_the_run(tmp_path: Path, finops: Finops) -> None:
    """The list of a view has each fail of the lines, and says the same thing to do."""
    lines = rows(finops("run", MONDAY, *ENGINE).stdout)
    output = tmp_path / "list.csv"
    finops("run", MONDAY, *ENGINE, "-o", output)
    found = list(csv.DictReader(io.StringIO(output.read_text("utf-8-sig"))))
    told = {row["fail_id"]: row["what_to_do"] for row in found}
    assert told == {line["fail_id"]: line["headline"]["text"] for line in lines}
