"""A run killed at any moment continues with --resume to the output of an uninterrupted run
(contracts, section 4).
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl, rows

RECORDS = 6_000


@pytest.fixture(scope="module")
def blotter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good records, broken ones and repeated names."""
    path = tmp_path_factory.mktemp("blotter") / "fails.jsonl"
    inventory = {
        "box_qty": 900,
        "stock_loan_available": 50,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }
    with path.open("wb") as file:
        for number in range(RECORDS):
            if number % 50 == 7:
                file.write(b"not a record\n")
            elif number % 50 == 8:
                file.write(jsonl(a_fail(fail_id="F-100")))
            else:
                file.write(
                    jsonl(
                        a_fail(
                            fail_id=f"F-{number}",
                            age_days=number % 20,
                            qty=number + 1,
                            inventory=inventory,
                        )
                    )
                )
    return path


@pytest.fixture(scope="module")
def uninterrupted(blotter: Path) -> tuple[bytes, bytes]:
    """Output and closing summary of a run that nothing disturbed."""
    done = subprocess.run(_command(blotter, None), capture_output=True, check=False)
    return done.stdout, done.stderr


def _command(blotter: Path, output: Path | None, *more: str) -> list[str]:
    where = [] if output is None else ["-o", str(output)]
    return [
        sys.executable,
        "-m",
        "finops_cli",
        "run",
        str(blotter),
        *where,
        "--no-timing",
        "--backend",
        "engine",
        *more,
    ]


def _killed_after(command: list[str], output: Path, lines: int) -> None:
    """Start `command` and kill it (-9) once its output has grown by about `lines` lines, or let it
    end.
    """
    before = output.stat().st_size if output.exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if output.exists() and output.stat().st_size >= before + lines * 900:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.001)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ten_kills_lose_and_repeat_nothing(
    workers: str, blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path, finops: Finops
) -> None:
    """Ten times kill -9 at a random place, the last line torn as well, then run to the end: same
    bytes, same summary.
    """
    output = tmp_path / "out.jsonl"
    place = random.Random(int(workers))
    for _ in range(10):
        _killed_after(
            _command(blotter, output, "--resume", "--workers", workers),
            output,
            place.randrange(0, 500),
        )
        if output.exists() and output.stat().st_size:
            with output.open("ab") as file:
                file.write(b'{"fail_id": "F-torn", "sta')
    assert not json.loads(output.with_name("out.jsonl.run.json").read_bytes())["complete"]
    done = subprocess.run(
        _command(blotter, output, "--resume", "--workers", workers),
        capture_output=True,
        check=False,
    )
    assert (output.read_bytes(), done.stderr) == uninterrupted
    assert done.returncode == 1
    assert json.loads(output.with_name("out.jsonl.run.json").read_bytes())["complete"]


def test_a_complete_run_resumed_changes_nothing(
    blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """--resume of a finished output reports it again and writes nothing."""
    output = tmp_path / "out.jsonl"
    for _ in range(2):
        done = subprocess.run(
            _command(blotter, output, "--resume"), capture_output=True, check=False
        )
        assert (output.read_bytes(), done.stderr) == uninterrupted


def _partial(tmp_path: Path, finops: Finops) -> tuple[Path, Path]:
    """A blotter of three records and the first line of its output."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(3))))
    finops("run", fails, "-o", output, "-q")
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    return fails, output


def _differences(tmp_path: Path, fails: Path) -> Iterator[tuple[str, list[object]]]:
    kb = tmp_path / "kb"
    kb.mkdir()
    for file in (ROOT / "kb").glob("*.toml"):
        (kb / file.name).write_bytes(
            file.read_bytes().replace(b"value = 50000\n", b"value = 60000\n")
        )
    yield "rules", ["--kb", kb, "run", fails]
    yield "--timing", ["run", fails, "--no-timing"]
    yield "the command", ["triage", fails]
    fails.write_bytes(fails.read_bytes().replace(b"F-2", b"F-9"))
    yield "content of the input", ["run", fails]


def test_resume_refuses_and_names_what_differs(tmp_path: Path, finops: Finops) -> None:
    """Other rules, options, command or input (even behind the part that is done): exit 2, and the
    output is left alone.
    """
    fails, output = _partial(tmp_path, finops)
    before = output.read_bytes()
    for name, arguments in _differences(tmp_path, fails):
        done = finops(*arguments, "-o", output, "--resume")
        assert (done.returncode, output.read_bytes()) == (2, before)
        assert name in done.stderr.decode()


def test_resume_refuses_output_of_unknown_origin(tmp_path: Path, finops: Finops) -> None:
    """Lines without the note that says what made them, with a note that cannot be read, or more
    lines than input.
    """
    fails, output = _partial(tmp_path, finops)
    note = output.with_name("out.jsonl.run.json")
    kept = note.read_bytes()
    for content in (None, b"{"):
        note.unlink() if content is None else note.write_bytes(content)
        assert finops("run", fails, "-o", output, "--resume").returncode == 2
    note.write_bytes(kept)
    line = output.read_bytes()
    for content, says in (
        (line * 2, "answers F-0, the input has F-1"),
        (_lines_of_four(line), "more lines"),
    ):
        output.write_bytes(content)
        done = finops("run", fails, "-o", output, "--resume")
        assert (done.returncode, says in done.stderr.decode()) == (2, True)
        assert output.read_bytes() == content


def _lines_of_four(line: bytes) -> bytes:
    return b"".join(line.replace(b"F-0", f"F-{number}".encode()) for number in range(4))


def test_an_interrupted_run_is_not_lost_by_accident(tmp_path: Path, finops: Finops) -> None:
    """Without --resume an output that is not complete is only replaced by --overwrite."""
    fails, output = _partial(tmp_path, finops)
    note = output.with_name("out.jsonl.run.json")
    note.write_bytes(
        note.read_bytes()
        .replace(b"true", b"false", 1)
        .replace(b'"complete": true', b'"complete": false')
    )
    before = output.read_bytes()
    refused = finops("run", fails, "-o", output)
    assert (refused.returncode, output.read_bytes()) == (2, before)
    assert b"--overwrite" in refused.stderr
    assert finops("run", fails, "-o", output, "--overwrite", "-q").returncode == 0
    assert len(rows(output.read_bytes())) == 3


@pytest.mark.parametrize("torn", [b'{"fail_id": "F-0", "sta', b'{"fail_id": "' + b"x" * 200_000])
def test_a_torn_line_of_any_length_is_cut(torn: bytes, tmp_path: Path, finops: Finops) -> None:
    """Behind the first line, and where the very first line is torn."""
    fails, output = _partial(tmp_path, finops)
    for whole in (output.read_bytes(), b""):
        output.write_bytes(whole + torn)
        assert finops("run", fails, "-o", output, "--resume", "-q").returncode == 0
        assert [row["fail_id"] for row in rows(output.read_bytes())] == ["F-0", "F-1", "F-2"]


def test_two_runs_never_write_one_output(blotter: Path, tmp_path: Path, finops: Finops) -> None:
    """A second run on an output that one is writing is refused and harms nothing."""
    output = tmp_path / "out.jsonl"
    first = subprocess.Popen(_command(blotter, output), stderr=subprocess.DEVNULL)
    while not output.exists() or not output.stat().st_size:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    second = finops("run", blotter, "-o", output, "--resume", "--no-timing")
    first.send_signal(signal.SIGCONT)
    first.wait()
    assert (second.returncode, b"another finops" in second.stderr) == (2, True)
    assert len(rows(output.read_bytes())) == RECORDS


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of a run leaves no process behind."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(60_000)))
    process = subprocess.Popen(
        _command(fails, tmp_path / "out.jsonl", "--workers", "2"), stderr=subprocess.DEVNULL
    )
    while not (children := _children(process.pid)):
        time.sleep(0.01)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while (
        any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def _children(parent: int) -> list[int]:
    """The worker processes of `parent`, once there are two of them beside Python's resource
    tracker.
    """
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    children = [int(pid) for pid in tasks.read_text().split()] if tasks.exists() else []
    return children if len(children) > 2 else []


def test_resume_needs_files_on_both_sides(tmp_path: Path, finops: Finops) -> None:
    """A pipe cannot be read again."""
    for arguments in (
        ["run", "-", "-o", tmp_path / "out.jsonl"],
        ["run", tmp_path / "fails.jsonl"],
    ):
        (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail()))
        assert finops(*arguments, "--resume", stdin=jsonl(a_fail())).returncode == 2


def test_interrupt_says_how_to_go_on(tmp_path: Path, blotter: Path) -> None:
    """Ctrl-C: exit 130, whole lines only, and the message names --resume."""
    output = tmp_path / "out.jsonl"
    process = subprocess.Popen(_command(blotter, output), stderr=subprocess.PIPE)
    while not output.exists() or not output.stat().st_size:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate()
    assert process.returncode == 130
    assert b"--resume" in talk
    assert b"Traceback" not in talk
    assert all(row["status"] for row in rows(output.read_bytes()))


def test_several_workers_write_what_one_writes(
    blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Order, repeated names and summary do not depend on the number of workers."""
    output = tmp_path / "out.jsonl"
    done = subprocess.run(
        _command(blotter, output, "--workers", "3"), capture_output=True, check=False
    )
    assert (output.read_bytes(), done.stderr) == uninterrupted
