"""Two commands and one output: the second is refused, and what the first wrote stays."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from finops_cli.errors import ResumeRefused
from finops_cli.files.safe_io import locked_folder, whole, work_folder, writing
from tests.support.program import EXAMPLES, ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

MONDAY = EXAMPLES / "monday.jsonl"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def waiting_run(output: Path) -> Iterator[IO[bytes]]:
    """A run from a pipe that has written one line of `output` and waits for the next record."""
    command = [sys.executable, "-m", "finops_cli", "run", "-", "-o", str(output), "-q"]
    process = subprocess.Popen(
        [*command, "--backend", "engine"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
        process.stdin.write(jsonl(a_fail(fail_id="F-first")))
        process.stdin.flush()
        while not output.exists() or not output.stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        yield process.stdin
        process.stdin.close()
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_output_of_a_run_from_a_pipe_is_locked(tmp_path: Path, finops: Finops) -> None:
    """While a run from a pipe writes an output, no other command empties or replaces it."""
    output = tmp_path / "out.jsonl"
    with waiting_run(output) as records:
        for call in (
            ("run", MONDAY, "-o", output, "--overwrite"),
            ("run", MONDAY, "-o", output, "--resume"),
            ("triage", MONDAY, "-o", output, "--overwrite"),
            ("check", EXAMPLES / "monday.expected.jsonl", "-o", output, "--overwrite"),
            (
                "import",
                "csv",
                EXAMPLES / "csv/blotter.csv",
                "--accept",
                "-o",
                output,
                "--overwrite",
            ),
            ("list", EXAMPLES / "monday.expected.jsonl", "-o", output, "--overwrite"),
        ):
            done = finops(*call, *(("--backend", "engine") if call[0] in ("run", "triage") else ()))
            assert done.returncode == 2, (call, done.stderr)
            assert b"another finops is writing it" in done.stderr or b"--resume" in done.stderr
        piped = finops("run", "-", "-o", output, "--overwrite", stdin=jsonl(a_fail()))
        assert b"another finops is writing it" in piped.stderr
        records.write(jsonl(a_fail(fail_id="F-second")))
        records.flush()
    assert [row["fail_id"] for row in rows(output.read_bytes())] == ["F-first", "F-second"]


def test_file_that_is_written_is_not_emptied(tmp_path: Path) -> None:
    """The second writer of a file is refused before it empties the file, in place or as a whole;
    a new file appears only at its end.
    """
    output = tmp_path / "out.jsonl"
    with writing(output, []) as file:
        file.write(b"kept\n")
        file.flush()
        for second in (writing(output, []), whole(output)):
            with pytest.raises(ResumeRefused, match="another finops is writing it"), second:
                pass
    assert output.read_bytes() == b"kept\n"
    assert names(tmp_path) == ["out.jsonl"]
    with whole(output), pytest.raises(ResumeRefused), writing(output, []):
        pass


def test_note_of_an_earlier_output_does_not_resume_a_later_one(
    tmp_path: Path, finops: Finops
) -> None:
    """A run from a pipe deletes the note of the output that it replaces: with it, `--resume` would
    finish its lines with answers of other rules.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(3))))
    assert finops("run", fails, "-o", output, "-q").returncode == 0
    first = jsonl(a_fail(fail_id="F-0"))
    assert finops("run", "-", "-o", output, "-q", "--overwrite", stdin=first).returncode == 0
    assert not output.with_name("out.jsonl.run.json").exists()
    before = output.read_bytes()
    assert finops("run", fails, "-o", output, "--resume", "-q").returncode == 2
    assert output.read_bytes() == before


def test_file_named_like_a_note_is_kept(tmp_path: Path, finops: Finops) -> None:
    """A file of the user that only has the name of a note is not deleted."""
    other = tmp_path / "out.jsonl.run.json"
    other.write_text('{"my": "notes"}')
    done = finops("run", "-", "-o", tmp_path / "out.jsonl", "-q", stdin=jsonl(a_fail()))
    assert (done.returncode, other.read_text()) == (0, '{"my": "notes"}')


@pytest.mark.parametrize("part", ["kb", "backend", "prompt_sha256"])
def test_lines_of_another_origin_are_not_resumed(part: str, tmp_path: Path, finops: Finops) -> None:
    """Whatever the note says: a line that was made with other rules, another backend or other
    prompts ends `--resume`, and nothing is written.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(3))))
    assert finops("run", fails, "-o", output, "-q").returncode == 0
    lines = output.read_bytes().splitlines(keepends=True)
    lines[1] = re.sub(
        rb'"%s":(null|"[^"]*")' % part.encode(), b'"%s":"other"' % part.encode(), lines[1]
    )
    output.write_bytes(b"".join(lines[:2]))
    refused = finops("run", fails, "-o", output, "--resume", "-q")
    assert refused.returncode == 2
    assert b"line 2 was made with other" in refused.stderr
    assert output.read_bytes() == b"".join(lines[:2])


def test_locked_folder_is_refused_to_the_next(tmp_path: Path, finops: Finops) -> None:
    """Two `generate` into one folder would mix the rows of two seeds: the second one is refused,
    and afterwards nothing of the lock is left.
    """
    with locked_folder(tmp_path):
        done = finops("generate", "--stage", "triage", "-n", "20", "-o", tmp_path)
    assert done.returncode == 2
    assert b"another finops is writing it" in done.stderr
    assert names(tmp_path) == []
    done = finops("generate", "--stage", "triage", "-n", "20", "-o", tmp_path)
    assert done.returncode in (0, 1)


def test_abandoned_work_folder_is_deleted(tmp_path: Path) -> None:
    """The folder of a killed command is deleted at the next start; that of a running one and a
    link of the same name stay.
    """
    (tmp_path / "work-old").mkdir()
    (tmp_path / "work-old" / "f16.gguf").write_bytes(b"large")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work-link").symlink_to(tmp_path / "elsewhere")
    with work_folder(tmp_path, "work-") as first, work_folder(tmp_path, "work-") as second:
        assert first.is_dir()
        assert second.is_dir()
        assert not (tmp_path / "work-old").exists()
    assert names(tmp_path) == ["elsewhere", "work-link"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["append", "replace", "join"])
def test_input_that_changes_during_a_run_is_named(
    change: str, tmp_path: Path, finops: Finops
) -> None:
    """The run ends with 2 and names the file, and its note does not say that it is complete; so
    `--resume` refuses the other input.
    """
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    stock = tmp_path / "stock.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(20_000))))
    stock.write_bytes(jsonl({"cusip": "594918104", "box_qty": 5}))
    command = [sys.executable, "-m", "finops_cli", "run", str(fails), "-o", str(output), "-q"]
    command += ["--inventory", str(stock), "--backend", "engine"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while not output.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    if change == "append":
        with fails.open("ab") as file:
            file.write(jsonl(a_fail(fail_id="F-new")))
    elif change == "replace":
        shutil.copy(MONDAY, tmp_path / "new.jsonl")
        (tmp_path / "new.jsonl").replace(fails)
    else:
        stock.write_bytes(jsonl({"cusip": "594918104", "box_qty": 6}))
    process.send_signal(signal.SIGCONT)
    _, messages = process.communicate()
    named = stock if change == "join" else fails
    assert process.returncode == 2, messages
    assert f"{named}: was changed during the run".encode() in messages
    assert b'"complete": true' not in output.with_name("out.jsonl.run.json").read_bytes()
    assert finops("run", fails, "-o", output, "--resume", "-q").returncode == 2


def test_input_that_is_only_touched_is_no_change(tmp_path: Path) -> None:
    """A new time with the same content is no change."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(300))))
    command = [sys.executable, "-m", "finops_cli", "run", str(fails), "-o", str(output), "-q"]
    process = subprocess.Popen([*command, "--backend", "engine"], cwd=ROOT)
    while not output.exists():
        time.sleep(0.001)
    fails.touch()
    assert process.wait() == 0
