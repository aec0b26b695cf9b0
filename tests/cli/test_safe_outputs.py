"""An output never destroys what the same command reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl

SLOW = pytest.mark.slow
"""Each command is a process of its own: two of them are tested everywhere, all of them by CI."""


@pytest.mark.parametrize(
    "command",
    [
        "run - -o {file} -q < {file}",
        pytest.param("run - -q < {file} >> {file}", marks=SLOW),
        "run {file} -q >> {file}",
        pytest.param("run - --stats-json {file} -q < {file}", marks=SLOW),
        pytest.param("check - -o {file} -q < {file}", marks=SLOW),
        pytest.param("check {file} --fails - -o {file} -q < {file}", marks=SLOW),
        pytest.param("import csv - --map {mapping} -o {file} -q < {file}", marks=SLOW),
        pytest.param("import csv - --map {mapping} -q < {file} >> {file}", marks=SLOW),
    ],
)
def test_stdin_is_not_overwritten(command: str, tmp_path: Path) -> None:
    """Rule: a file behind stdin, or one that stdout is appended to, is refused as an output."""
    file = tmp_path / "m.jsonl"
    file.write_bytes(jsonl(a_fail()))
    line = command.format(file=file, mapping=EXAMPLES / "csv/mapping.yaml")
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m finops_cli {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "\nfix: " in done.stderr
    assert file.read_bytes() == jsonl(a_fail())


def test_page_of_a_dataset_report_does_not_overwrite_the_data(
    tmp_path: Path, finops: Finops
) -> None:
    """Rule: --html refuses each file that the report reads, and a folder that does not exist."""
    assert finops("generate", "--stage", "triage", "-n", "20", "-o", tmp_path).returncode in (0, 1)
    data = tmp_path / "triage-train.jsonl"
    before = data.read_bytes()
    for given in (tmp_path, data):
        done = finops("dataset-report", given, "--html", data)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"choose another file for --html" in done.stderr
    assert data.read_bytes() == before
    done = finops("dataset-report", tmp_path, "--html", tmp_path / "absent" / "page.html")
    assert (done.returncode, (tmp_path / "absent").exists()) == (2, False)


def test_phrasebank_without_a_row_writes_nothing(tmp_path: Path, finops: Finops) -> None:
    """Rule: a source of which not one line can be used ends with 2, and no file is written."""
    source = tmp_path / "bin.dat"
    source.write_bytes(bytes(range(256)) * 4)
    folder = tmp_path / "data"
    done = finops("generate", "--stage", "sentiment", "--phrasebank", source, "-o", folder)
    assert done.returncode == 2
    assert b"not one line can be used" in done.stderr
    assert list(folder.glob("*")) == []


@pytest.mark.skipif(os.geteuid() == 0 and which("setpriv") is None, reason="root reads everything")
@pytest.mark.parametrize(
    "command",
    [
        "run {file}",
        pytest.param("check {file}", marks=SLOW),
        "import csv {blotter} --map {file}",
        pytest.param("train --stage triage --config {file} --dry-run", marks=SLOW),
        pytest.param("drift {fails} --baseline {file}", marks=SLOW),
        pytest.param(
            "evaluate --stage triage --backend engine --data {file} -o {folder}/e", marks=SLOW
        ),
        pytest.param("dataset-report {file}", marks=SLOW),
        pytest.param("create --stage triage --gguf {file} --dry-run", marks=SLOW),
        pytest.param("--kb {locked} kb list", marks=SLOW),
    ],
)
def test_file_that_may_not_be_read_gets_one_message(command: str, tmp_path: Path) -> None:
    """Rule: a file without permission ends with 2, names the file, and has a cure."""
    file, locked = tmp_path / "locked.jsonl", tmp_path / "locked"
    file.write_text("{}\n")
    locked.mkdir()
    (locked / "x.toml").write_text("")
    for path in (file, locked):
        path.chmod(0)
    line = command.format(
        file=file,
        folder=tmp_path,
        locked=locked,
        fails=EXAMPLES / "monday.expected.jsonl",
        blotter=EXAMPLES / "csv/blotter.csv",
    )
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    as_user = prefix if os.geteuid() == 0 else []  # root may read everything
    done = subprocess.run(
        [*as_user, sys.executable, "-m", "finops_cli", *line.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert str(locked) in done.stderr
    assert "\nfix: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("clock",), ("run", "--backend", "engine")])
def test_output_does_not_replace_rules_or_the_calendar(
    arguments: tuple[str, ...], tmp_path: Path, finops: Finops
) -> None:
    """Rule: the desk's calendar and rules are inputs, and no output."""
    calendar = tmp_path / "cal.toml"
    calendar.write_text("2026-12-09 = { trading = false }\n")
    name, *more = arguments
    call = (name, EXAMPLES / "monday.jsonl", *more, "--as-of", "2026-11-30")
    done = finops(*call, "--calendar", calendar, "-o", calendar)
    assert done.returncode == 2
    assert calendar.read_text() == "2026-12-09 = { trading = false }\n"
    rules = Path(shutil.copytree(ROOT / "kb", tmp_path / "kb")) / "scoring.toml"
    before = rules.read_bytes()
    assert finops("--kb", rules.parent, *call, "-o", rules).returncode == 2
    assert rules.read_bytes() == before


def test_refused_agenda_keeps_the_earlier_output(tmp_path: Path, finops: Finops) -> None:
    """Rule: an agenda or calendar file that cannot be made leaves the earlier one."""
    earlier = tmp_path / "old.ics"
    earlier.write_text("OLD")
    done = finops("clock", EXAMPLES / "monday.jsonl", "--format", "ics", "-o", earlier)
    assert (done.returncode, earlier.read_text()) == (2, "OLD")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("run {monday} --backend ollama --host 127.0.0.1:9", 3),
        ("run {monday} --as-of 2040-01-01", 2),
        ("run {monday} --calendar /dev/zero --as-of 2026-11-30", 2),
        ("run {monday} --inventory {binary}", 2),
        ("run {table}", 2),
        ("check {expected} --fails absent.jsonl", 2),
        ("clock {monday} --as-of nonsense", 2),
        ("import csv {table} --map /dev/zero", 2),
        ("import csv {table} --map {binary}", 2),
        ("list {binary}", 2),
        ("list {expected} --since {binary}", 2),
        ("net {binary}", 2),
    ],
)
def test_refused_command_keeps_the_output_it_may_replace(
    command: str, status: int, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a command that is refused has emptied nothing, although --overwrite would allow it."""
    output, binary = tmp_path / "out.jsonl", tmp_path / "binary"
    output.write_text("EARLIER\n")
    binary.write_bytes(bytes(range(256)) * 8)
    line = command.format(
        monday=EXAMPLES / "monday.jsonl",
        expected=EXAMPLES / "monday.expected.jsonl",
        table=EXAMPLES / "csv/blotter.csv",
        binary=binary,
    )
    done = finops(*line.split(), "-o", output, "--overwrite")
    assert (done.returncode, output.read_text()) == (status, "EARLIER\n"), done.stderr
    assert b"\nfix: " in done.stderr


@pytest.mark.parametrize("name", ["out.jsonl.run.json.new", "list.csv.part", "stats.json.part"])
def test_link_under_a_name_of_finops_is_not_followed(
    name: str, tmp_path: Path, finops: Finops
) -> None:
    """Rule: a link that somebody put under a name that finops chooses ends with 2; the file that it
    leads to stays as it is.
    """
    target = tmp_path / "victim"
    target.write_text("VICTIM")
    (tmp_path / name).symlink_to(target)
    done = finops("run", EXAMPLES / "monday.jsonl", "-o", tmp_path / "out.jsonl", "-q")
    if name.startswith("list"):
        expected = EXAMPLES / "monday.expected.jsonl"
        done = finops("list", expected, "-o", tmp_path / "list.csv", "-q")
    elif name.startswith("stats"):
        stats = ("--stats-json", tmp_path / "stats.json")
        done = finops("run", EXAMPLES / "monday.jsonl", *stats, "-o", tmp_path / "o.jsonl", "-q")
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert target.read_text() == "VICTIM"
