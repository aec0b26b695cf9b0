"""finops list -o list.csv, list.xlsx, list.html."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.program import EXAMPLES, call_finops

openpyxl = pytest.importorskip("openpyxl")
MONDAY = EXAMPLES / "monday.expected.jsonl"
HEADS = {"csv": b"\xef\xbb\xbftier,", "xlsx": b"PK", "html": b"<!doctype html>"}


@pytest.mark.parametrize(
    ("name", "option", "kind"),
    [
        ("l.csv", None, "csv"),
        ("l.XLSX", None, "xlsx"),
        ("l.html", None, "html"),
        ("l.htm", None, "html"),
        ("l.txt", "csv", "csv"),
        ("l.csv", "html", "html"),
    ],
)
def test_suffix_names_the_format(name: str, option: str | None, kind: str, tmp_path: Path) -> None:
    """The suffix of -o decides unless --format does."""
    chosen = [] if option is None else ["--format", option]
    done = call_finops("list", MONDAY, "-o", tmp_path / name, *chosen)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert (tmp_path / name).read_bytes().startswith(HEADS[kind])
    assert b"8 of 8 lines" in done.stderr


@pytest.mark.parametrize("kind", ["csv", "xlsx", "html"])
def test_pipe_gets_the_file(kind: str) -> None:
    """Without -o each format goes to stdout, unless stdout is a terminal."""
    done = call_finops("list", MONDAY, "--format", kind, "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(HEADS[kind])
    assert done.stderr == b""


def test_workbook_of_the_desk_is_not_overwritten(tmp_path: Path) -> None:
    """A workbook with comments is replaced only where --keep takes them over."""
    path = tmp_path / "list.xlsx"
    assert call_finops("list", MONDAY, "-o", path).returncode == 0
    assert call_finops("list", MONDAY, "-o", path, "--overwrite").returncode == 0
    book = openpyxl.load_workbook(path)
    titles = [cell.value for cell in book["List"][1]]
    book["List"].cell(2, titles.index("Owner") + 1).value = "Ann"
    book.save(path)
    filled = path.read_bytes()
    done = call_finops("list", MONDAY, "-o", path, "--overwrite")
    assert done.returncode == 2
    assert b"a comment into 1 row, which" in done.stderr
    assert path.read_bytes() == filled
    done = call_finops("list", MONDAY, "-o", path, "--keep", path)
    assert done.returncode == 0, done.stderr
    assert b"carried over 1 of 1" in done.stderr
    owner = openpyxl.load_workbook(path)["List"].cell(2, titles.index("Owner") + 1)
    assert owner.value == "Ann"


@pytest.mark.parametrize("name", ["l.csv", "l.xlsx", "l.html", "l.jsonl", "l.txt"])
@pytest.mark.parametrize("command", ["list", "run"])
def test_file_that_holds_data_is_not_replaced(tmp_path: Path, command: str, name: str) -> None:
    """Any file that holds data is replaced only with --overwrite, by the list and by a run."""
    path, source = tmp_path / name, MONDAY if command == "list" else EXAMPLES / "monday.jsonl"
    path.write_text("the plan of the desk")
    form = ["--format", "table"] if name == "l.txt" else []
    done = call_finops(command, source, "-o", path, "-q", *form)
    assert done.returncode == 2
    assert b"--overwrite" in done.stderr
    assert path.read_text() == "the plan of the desk"
    assert call_finops(command, source, "-o", path, "-q", *form, "--overwrite").returncode == 0
    assert path.read_bytes() != b"the plan of the desk"


def test_keep_of_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe is no workbook, and nobody waits for it."""
    pipe = tmp_path / "pipe.xlsx"
    os.mkfifo(pipe)
    done = call_finops("list", MONDAY, "-o", tmp_path / "l.xlsx", "--keep", pipe)
    assert done.returncode == 2
    assert b"is a pipe or a device" in done.stderr


def test_new_output_is_for_its_owner_only(tmp_path: Path) -> None:
    """A new output, its note and a list can be read by their owner only. A file that exists keeps
    its mode.
    """
    out, shared = tmp_path / "out.jsonl", tmp_path / "shared.csv"
    shared.touch()
    shared.chmod(0o640)
    assert call_finops("run", EXAMPLES / "monday.jsonl", "-o", out, "-q").returncode == 0
    assert call_finops("list", out, "-o", tmp_path / "l.xlsx", "-q").returncode == 0
    assert call_finops("list", out, "-o", shared, "-q").returncode == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    private = dict.fromkeys(("out.jsonl", "out.jsonl.run.json", "l.xlsx"), 0o600)
    assert modes == {**private, "shared.csv": 0o640}


@pytest.mark.parametrize("name", ["l.xlsx.part", "out.jsonl.run.json.new"])
def test_link_under_a_name_of_finops_is_not_followed(tmp_path: Path, name: str) -> None:
    """A link under a name that finops makes up leads nowhere: the file behind it stays."""
    victim, out = tmp_path / "victim", tmp_path / "out.jsonl"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    made = call_finops("run", EXAMPLES / "monday.jsonl", "-o", out, "-q")
    listed = call_finops("list", MONDAY, "-o", tmp_path / "l.xlsx", "-q")
    assert 2 in (made.returncode, listed.returncode)
    assert victim.read_text() == "precious"


def test_keep_is_for_workbooks_that_exist(tmp_path: Path) -> None:
    """--keep with another format, or of no file, is a usage error, and writes nothing."""
    done = call_finops("list", MONDAY, "-o", tmp_path / "l.csv", "--keep", tmp_path / "y.xlsx")
    assert done.returncode == 2
    assert b"--keep" in done.stderr
    done = call_finops("list", MONDAY, "-o", tmp_path / "l.xlsx", "--keep", tmp_path / "y.xlsx")
    assert done.returncode == 2
    assert b"no such file" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sources_name_the_input_of_the_run(tmp_path: Path) -> None:
    """The note beside an output says which file the run read; it is one of the sources."""
    out, path = tmp_path / "out.jsonl", tmp_path / "list.xlsx"
    done = call_finops("run", EXAMPLES / "monday.jsonl", "-o", out, "--backend", "engine", "-q")
    assert done.returncode == 0, done.stderr
    assert call_finops("list", out, "-o", path, "--tier", "CRITICAL").returncode == 0
    rows = {row[0]: row[2] for row in openpyxl.load_workbook(path)["Sources"].values}
    assert rows["Output of finops"].startswith("out.jsonl, sha256 ")
    assert "bytes of jsonl, sha256 " in rows["Input of the run"]
    assert rows["Shown"] == "3 of 8 lines (tier CRITICAL)"
