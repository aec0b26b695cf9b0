"""Resuming a run: a run that was killed at any moment continues with `--resume` to the output of an
uninterrupted run.
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
from tests.support.soak import scaled

RECORDS = 12_000
MANY = 30_000
"""Records of a run that a signal surely meets: it lasts seconds."""


@pytest.fixture(scope="module")
def blotter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good records, broken ones and repeated names."""
    return write_blotter(tmp_path_factory.mktemp("blotter") / "fails.jsonl", RECORDS)


@pytest.fixture(scope="module")
def long_blotter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many such records."""
    return write_blotter(tmp_path_factory.mktemp("long") / "fails.jsonl", MANY)


def write_blotter(path: Path, count: int) -> Path:
    """Write so many lines and return their file."""
    inventory = {
        "box_qty": 900,
        "stock_loan_available": 50,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }
    with path.open("wb") as file:
        for number in range(count):
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
    done = subprocess.run(run_command(blotter, None), capture_output=True, check=False)
    return done.stdout, done.stderr


def run_command(blotter: Path, output: Path | None, *more: str) -> list[str]:
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


def kill_after(command: list[str], output: Path, lines: int) -> None:
    """Start `command` and kill it (-9) once its output has grown by about `lines` lines, or let it
    end.
    """
    before = output.stat().st_size if output.exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if output.exists() and output.stat().st_size >= before + lines * 900:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_resume_after_kills_gives_the_same_bytes(
    workers: str, blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path, finops: Finops
) -> None:
    """After five kills (ten in `just soak`) at random places and a torn last line, `--resume` gives
    the bytes and the summary of an uninterrupted run.
    """
    output = tmp_path / "out.jsonl"
    place = random.Random(int(workers))
    for _ in range(scaled(5, 10)):
        kill_after(
            run_command(blotter, output, "--resume", "--workers", workers),
            output,
            place.randrange(0, 500),
        )
        if output.exists() and output.stat().st_size:
            with output.open("ab") as file:
                file.write(b'{"fail_id": "F-torn", "sta')
    assert not json.loads(output.with_name("out.jsonl.run.json").read_bytes())["complete"]
    done = subprocess.run(
        run_command(blotter, output, "--resume", "--workers", workers),
        capture_output=True,
        check=False,
    )
    assert (output.read_bytes(), done.stderr) == uninterrupted
    assert done.returncode == 1
    assert json.loads(output.with_name("out.jsonl.run.json").read_bytes())["complete"]


@pytest.mark.slow
def test_resume_of_a_complete_run_writes_nothing(
    blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """`--resume` of a finished output prints the same summary and leaves the output unchanged."""
    output = tmp_path / "out.jsonl"
    for _ in range(2):
        done = subprocess.run(
            run_command(blotter, output, "--resume"), capture_output=True, check=False
        )
        assert (output.read_bytes(), done.stderr) == uninterrupted


def write_partial_run(tmp_path: Path, finops: Finops) -> tuple[Path, Path]:
    """A blotter of three records and the first line of its output."""
    fails, output = tmp_path / "fails.jsonl", tmp_path / "out.jsonl"
    fails.write_bytes(jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(3))))
    finops("run", fails, "-o", output, "-q")
    output.write_bytes(output.read_bytes().splitlines(keepends=True)[0])
    return fails, output


def list_differences(tmp_path: Path, fails: Path) -> Iterator[tuple[str, list[object]]]:
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


def test_resume_with_other_settings_is_refused(tmp_path: Path, finops: Finops) -> None:
    """With other rules, options, command or input, `--resume` ends with exit 2, names the
    difference and leaves the output unchanged.
    """
    fails, output = write_partial_run(tmp_path, finops)
    before = output.read_bytes()
    for name, arguments in list_differences(tmp_path, fails):
        done = finops(*arguments, "-o", output, "--resume")
        assert (done.returncode, output.read_bytes()) == (2, before)
        assert name in done.stderr.decode()


def test_resume_of_an_output_of_unknown_origin_is_refused(tmp_path: Path, finops: Finops) -> None:
    """`--resume` refuses an output without a readable run note, or whose lines do not match the
    input.
    """
    fails, output = write_partial_run(tmp_path, finops)
    note = output.with_name("out.jsonl.run.json")
    kept = note.read_bytes()
    for content in (None, b"{"):
        note.unlink() if content is None else note.write_bytes(content)
        assert finops("run", fails, "-o", output, "--resume").returncode == 2
    note.write_bytes(kept)
    line = output.read_bytes()
    for content, message in (
        (line * 2, "answers F-0, the input has F-1"),
        (four_lines(line), "more lines"),
    ):
        output.write_bytes(content)
        done = finops("run", fails, "-o", output, "--resume")
        assert (done.returncode, message in done.stderr.decode()) == (2, True)
        assert output.read_bytes() == content


def four_lines(line: bytes) -> bytes:
    return b"".join(line.replace(b"F-0", f"F-{number}".encode()) for number in range(4))


def test_incomplete_output_is_replaced_only_with_overwrite(tmp_path: Path, finops: Finops) -> None:
    """Without `--resume` an incomplete output is replaced only with `--overwrite`."""
    fails, output = write_partial_run(tmp_path, finops)
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
def test_resume_removes_a_torn_last_line(torn: bytes, tmp_path: Path, finops: Finops) -> None:
    """`--resume` removes a torn last line of any length, also when it is the first line."""
    fails, output = write_partial_run(tmp_path, finops)
    for whole in (output.read_bytes(), b""):
        output.write_bytes(whole + torn)
        assert finops("run", fails, "-o", output, "--resume", "-q").returncode == 0
        assert [row["fail_id"] for row in rows(output.read_bytes())] == ["F-0", "F-1", "F-2"]


@pytest.mark.slow
def test_second_run_on_the_same_output_is_refused(
    long_blotter: Path, tmp_path: Path, finops: Finops
) -> None:
    """A second run on an output that another run is writing is refused, and the first run ends
    normally.
    """
    output = tmp_path / "out.jsonl"
    first = subprocess.Popen(run_command(long_blotter, output), stderr=subprocess.DEVNULL)
    while not output.exists() or not output.stat().st_size:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    second = finops("run", long_blotter, "-o", output, "--resume", "--no-timing")
    first.send_signal(signal.SIGCONT)
    first.wait()
    assert (second.returncode, b"another finops" in second.stderr) == (2, True)
    assert len(rows(output.read_bytes())) == MANY


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """The worker processes of a run end within 20 seconds after the run is killed."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(60_000)))
    process = subprocess.Popen(
        run_command(fails, tmp_path / "out.jsonl", "--workers", "2"), stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (children := list_workers(process.pid)):
        time.sleep(0.01)
    assert process.returncode is None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while (
        any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def list_workers(parent: int) -> list[int]:
    """The worker processes of `parent`, once there are two of them; on some platforms Python's
    resource tracker is one more.
    """
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    children = [int(pid) for pid in tasks.read_text().split()] if tasks.exists() else []
    return children if len(children) >= 2 else []


def test_resume_with_a_pipe_is_refused(tmp_path: Path, finops: Finops) -> None:
    """`--resume` needs an input file and an output file, because a pipe cannot be read again."""
    for arguments in (
        ["run", "-", "-o", tmp_path / "out.jsonl"],
        ["run", tmp_path / "fails.jsonl"],
    ):
        (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail()))
        assert finops(*arguments, "--resume", stdin=jsonl(a_fail())).returncode == 2


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_interrupted_run_ends_and_names_resume(
    number: signal.Signals, status: int, tmp_path: Path, long_blotter: Path
) -> None:
    """Ctrl-C ends a run with exit 130 and whole lines; TERM and HUP end it so too, and the parent
    sees the signal. The message names `--resume`.
    """
    output = tmp_path / "out.jsonl"
    process = subprocess.Popen(run_command(long_blotter, output), stderr=subprocess.PIPE)
    while not output.exists() or not output.stat().st_size:
        time.sleep(0.001)
    process.send_signal(number)
    _, messages = process.communicate()
    assert process.returncode == status
    assert b"--resume" in messages
    assert b"Traceback" not in messages
    assert all(row["status"] for row in rows(output.read_bytes()))


@pytest.mark.slow
def test_run_with_three_workers_writes_the_same_bytes(
    blotter: Path, uninterrupted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """The output and the summary do not depend on the number of workers."""
    output = tmp_path / "out.jsonl"
    done = subprocess.run(
        run_command(blotter, output, "--workers", "3"), capture_output=True, check=False
    )
    assert (output.read_bytes(), done.stderr) == uninterrupted
