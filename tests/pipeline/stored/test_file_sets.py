"""Folders and patterns of files as one input: order, places, resuming, and what is refused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from finops_cli.pipeline.stored.patterns import would_find
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows

ENGINE = ("--backend", "engine", "--no-timing", "--quiet")
MONDAY_FILE = EXAMPLES / "monday.jsonl"
MONDAY = MONDAY_FILE.read_bytes().splitlines(keepends=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of Monday's fails, one of them packed, with a bad line and a repeated name."""
    path = tmp_path / "fails"
    path.mkdir()
    (path / "b.jsonl").write_bytes(b"".join([*MONDAY[:3], MONDAY[0]]))
    (path / "B.jsonl").write_bytes(b"".join(MONDAY[3:6]) + b"not a record\n")
    (path / "c.jsonl.gz").write_bytes(gzip.compress(b"".join(MONDAY[6:])))
    return path


@pytest.mark.slow
def test_folder_is_read_in_c_order_as_one_file(
    folder: Path, finops: Finops, tmp_path: Path
) -> None:
    """A folder and its pattern give the answers of the joined file, capitals first."""
    joined = tmp_path / "joined.jsonl"
    content = [(folder / name).read_bytes() for name in ("B.jsonl", "b.jsonl")]
    joined.write_bytes(b"".join(content) + b"".join(MONDAY[6:]))
    found = rows(finops("run", folder, *ENGINE).stdout)
    assert found == rows(finops("run", f"{folder}/*", *ENGINE, "--workers", "2").stdout)
    places = [each["provenance"].pop("source") for each in found]
    assert places == [
        *({"file": "B.jsonl", "line": line} for line in range(1, 5)),
        *({"file": "b.jsonl", "line": line} for line in range(1, 5)),
        *({"file": "c.jsonl.gz", "line": line} for line in range(1, 3)),
    ]
    whole = rows(finops("run", joined, *ENGINE).stdout)
    errors = [[each.pop("error", None) for each in lines] for lines in (found, whole)]
    assert found == whole
    assert [error and error["line"] for error in errors[1]] == [None] * 3 + [4] + [None] * 3 + [
        8,
        None,
        None,
    ]


def test_errors_name_the_file_and_its_line(folder: Path, finops: Finops, tmp_path: Path) -> None:
    """A rejected line names its file; a repeated name also the file that used it first."""
    output = tmp_path / "out.jsonl"
    (folder / "d.jsonl").write_bytes(MONDAY[3])
    finops("run", folder, *ENGINE, "-o", output)
    errors = [each["error"] for each in rows(output.read_bytes()) if "error" in each]
    assert errors[0]["message"].startswith("B.jsonl line 4: the line is not JSON")
    assert errors[1]["message"].startswith("b.jsonl line 4: fail_id F-1001 was used on b.jsonl l")
    assert errors[2]["message"].startswith("d.jsonl line 1: fail_id F-1004 was used on B.jsonl l")
    assert [(each["file"], each["line"]) for each in errors] == [
        ("B.jsonl", 4),
        ("b.jsonl", 4),
        ("d.jsonl", 1),
    ]
    assert finops("check", output).returncode == 0
    assert finops("audit", output).returncode == 0


@pytest.mark.parametrize("kept", [1, 4, 5, 9])
def test_run_of_a_folder_resumes(kept: int, folder: Path, finops: Finops, tmp_path: Path) -> None:
    """From any line, within a file and between two, `--resume` gives the same bytes."""
    output = tmp_path / "out.jsonl"
    finops("run", folder, *ENGINE, "-o", output)
    whole = output.read_bytes()
    note = output.with_name("out.jsonl.run.json")
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]) + b'{"fail_id"')
    finops("run", folder, *ENGINE, "-o", output, "--resume")
    assert output.read_bytes() == whole


def test_other_files_refuse_to_resume(folder: Path, finops: Finops, tmp_path: Path) -> None:
    """A file that was added, changed, renamed or removed is named, and nothing is written."""
    output = tmp_path / "out.jsonl"
    finops("run", folder, *ENGINE, "-o", output)
    before = output.read_bytes()

    def refused() -> str:
        done = finops("run", folder, *ENGINE, "-o", output, "--resume")
        assert done.returncode == 2
        assert output.read_bytes() == before
        return done.stderr.decode()

    added = folder / "z.jsonl"
    added.write_bytes(b"")
    assert f"added: {added}" in refused()
    added.unlink()
    (folder / "b.jsonl").rename(folder / "e.jsonl")
    told = refused()
    assert f"removed: {folder / 'b.jsonl'}" in told
    assert f"added: {folder / 'e.jsonl'}" in told
    (folder / "e.jsonl").rename(folder / "b.jsonl")
    (folder / "B.jsonl").write_bytes(MONDAY[0])
    assert f"changed: {folder / 'B.jsonl'}" in refused()


def test_no_file_is_lost_silently(folder: Path, finops: Finops, tmp_path: Path) -> None:
    """Empty and nested folders, broken links, tables and mappings end the run with a cure."""

    def refused(*arguments: object) -> str:
        done = finops("run", *arguments, *ENGINE)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"\nfix: " in done.stderr
        return done.stderr.decode()

    (tmp_path / "empty").mkdir()
    assert "the folder holds no file" in refused(tmp_path / "empty")
    assert "no file has a name of this pattern" in refused(f"{folder}/*.csv")
    assert "is for one file with columns" in refused(folder, "--accept")
    (folder / "inner").mkdir()
    assert "inner: is a folder within the input" in refused(folder)
    (folder / "inner" / "x.jsonl").write_bytes(jsonl(a_fail(fail_id="F-inner")))
    lines = rows(finops("run", f"{folder}/**/*", *ENGINE).stdout)
    assert lines[-1]["provenance"]["source"] == {"file": "inner/x.jsonl", "line": 1}
    (folder / "inner" / "x.jsonl").unlink()
    (folder / "inner").rmdir()
    (folder / "gone.jsonl").symlink_to("nowhere")
    assert "gone.jsonl: no such file" in refused(folder)
    (folder / "gone.jsonl").unlink()
    (folder / "table.csv").write_bytes((EXAMPLES / "csv" / "blotter.csv").read_bytes())
    assert "table.csv: is CSV" in refused(folder)


def test_files_that_are_no_input_are_named(folder: Path, finops: Finops) -> None:
    """Hidden files and the notes of runs are left out, and the summary names them."""
    (folder / ".hidden").write_bytes(b"x")
    (folder / "b.jsonl.run.json").write_bytes(b"{}")
    done = finops("run", folder, "--backend", "engine")
    assert b"not read: .hidden, b.jsonl.run.json" in done.stderr
    assert len(rows(done.stdout)) == 10


@pytest.mark.parametrize("name", ["new.jsonl", "new.jsonl.gz"])
def test_output_within_the_input_is_refused(name: str, folder: Path, finops: Finops) -> None:
    """An output that the folder or the pattern would read is refused before it is written."""
    for given in (folder, f"{folder}/*.jsonl", f"{folder}/**/*.json*"):
        done = finops("run", given, *ENGINE, "-o", folder / name)
        assert done.returncode == 2
        assert b"which this run writes" in done.stderr
    assert not (folder / name).exists()


def test_names_of_any_bytes_are_read(folder: Path, finops: Finops, tmp_path: Path) -> None:
    """A newline in a name, bytes that are not UTF-8 and a name with wildcards are read."""
    (folder / "new\nline.jsonl").write_bytes(jsonl(a_fail(fail_id="F-1")))
    (folder / os.fsdecode(b"\xff.jsonl")).write_bytes(jsonl(a_fail(fail_id="F-2")))
    output = tmp_path / "out.jsonl"
    finops("run", folder, *ENGINE, "-o", output)
    names = [each["provenance"]["source"]["file"] for each in rows(output.read_bytes())]
    assert names[-2:] == ["new\nline.jsonl", "\\xff.jsonl"]
    literal = tmp_path / "a[1]*.jsonl"
    literal.write_bytes(MONDAY[0])
    [line] = rows(finops("run", literal, *ENGINE).stdout)
    assert "source" not in line["provenance"]


@pytest.mark.parametrize(
    ("pattern", "name", "is_found"),
    [
        ("a/*.jsonl", "a/x.jsonl", True),
        ("a/*.jsonl", "a/b/x.jsonl", False),
        ("a/**/*.jsonl", "a/x.jsonl", True),
        ("a/**/*.jsonl", "a/b/c/x.jsonl", True),
        ("a/[xy].jsonl", "a/z.jsonl", False),
    ],
)
def test_patterns_mean_the_names_that_glob_finds(
    pattern: str, name: str, is_found: bool, tmp_path: Path
) -> None:
    """The names that a pattern would mean are those that it finds once they exist."""
    path = tmp_path / name
    assert would_find(tmp_path / pattern, path) is is_found
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert (path in tmp_path.glob(pattern)) is is_found


def test_cases_in_a_folder_are_resolved(finops: Finops, tmp_path: Path) -> None:
    """`finops resolve` reads a folder of cases."""
    content = (EXAMPLES / "cards" / "cases.jsonl").read_bytes()
    (tmp_path / "cases.jsonl").write_bytes(content)
    found = rows(finops("resolve", tmp_path, *ENGINE).stdout)
    assert len(found) == content.count(b"\n")
    assert found[0]["provenance"]["source"]["file"] == "cases.jsonl"


def test_pattern_that_the_shell_expanded_is_explained(folder: Path, finops: Finops) -> None:
    """Several files in place of one argument are refused with the way to give them."""
    done = finops("run", *sorted(folder.iterdir()), *ENGINE)
    assert done.returncode == 2
    assert b"a pattern between single quotes" in done.stderr


def test_check_compares_a_run_with_its_folder(folder: Path, finops: Finops, tmp_path: Path) -> None:
    """The fails of `check` are the folder or the pattern that was run; a missing file shows."""
    output = tmp_path / "out.jsonl"
    finops("run", folder, *ENGINE, "-o", output)
    for fails in (folder, f"{folder}/*"):
        assert finops("check", output, "--fails", fails).returncode == 0
    (folder / "b.jsonl").unlink()
    found = rows(finops("check", output, "--fails", folder).stdout)
    assert {each["findings"][0]["rule"] for each in found if not each["ok"]} >= {"check.order"}


def test_verdicts_do_not_replace_a_file_of_the_folder(folder: Path, finops: Finops) -> None:
    """A file that `check` reads is not its output."""
    done = finops("check", MONDAY_FILE, "--fails", folder, "-o", folder / "b.jsonl", "--overwrite")
    assert done.returncode == 2
    assert b"b.jsonl is the input and also the output" in done.stderr


def test_book_of_a_folder_is_that_of_the_joined_file(
    folder: Path, finops: Finops, tmp_path: Path
) -> None:
    """A book of several files has the plan of one file, names the files, and is proved by them."""
    joined, proof = tmp_path / "joined.jsonl", tmp_path / "proof.jsonl"
    content = [(folder / name).read_bytes() for name in ("B.jsonl", "b.jsonl")]
    joined.write_bytes(b"".join(content) + b"".join(MONDAY[6:]))
    output = tmp_path / "out.jsonl"
    quiet = ("--no-timing", "--quiet")
    finops("book", f"{folder}/*", *quiet, "-o", output, "--certificate", proof)
    checked = finops("check", output, "--fails", folder, "--certificate", proof)
    assert checked.returncode == 0, checked.stdout
    found, whole = rows(output.read_bytes()), rows(finops("book", joined, *quiet).stdout)
    assert [each["provenance"].pop("source")["file"] for each in found] == [
        *["B.jsonl"] * 4,
        *["b.jsonl"] * 4,
        *["c.jsonl.gz"] * 2,
    ]
    problems = [each["error"]["problems"][0] for each in found if "error" in each]
    [first, second] = [each for each in problems if each["rule"] == "book.snapshot_conflict"]
    assert "b.jsonl line 2 has 5000, c.jsonl.gz line 1 has 3000" in first["message"]
    assert "c.jsonl.gz line 1 has 3000, b.jsonl line 2 has 5000" in second["message"]
    for each in (*found, *whole):
        each.pop("error", None)
    assert found == whole


def test_evaluation_of_a_folder_reads_every_file(
    folder: Path, finops: Finops, tmp_path: Path
) -> None:
    """The records of an evaluation are those of all files, in C order."""
    (folder / "B.jsonl").write_bytes(b"".join(MONDAY[3:6]))
    given = ("--stage", "triage", "--backend", "engine", "--no-baselines", "--quiet")
    done = finops("evaluate", *given, "--data", folder, "-o", tmp_path / "ev", "--no-timing")
    assert b"records            8 (fails)" in done.stdout, done.stderr
    kept = (tmp_path / "ev/records.jsonl").read_bytes()
    assert kept == b"".join([*MONDAY[3:6], *MONDAY[:3], MONDAY[0], *MONDAY[6:]])
