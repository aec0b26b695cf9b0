"""Work in processes: Ctrl-C is handled by the parent alone, from the first moment of a worker."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from finops_cli.parallel import in_processes
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl


class NoteAtStart:
    """Writes how its process treats Ctrl-C when the process reads its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return note_at_start, (self.folder,)


def note_at_start(folder: Path) -> None:
    import os

    handler = signal.getsignal(signal.SIGINT)
    (folder / str(os.getpid())).write_text("ignored" if handler is signal.SIG_IGN else "handled")


def do_nothing(_: object) -> None:
    pass


def wait_a_moment(piece: int) -> int:
    from time import sleep

    sleep(0.2)
    return piece


def describe_files(piece: int) -> list[int]:
    """The regular files that the worker has open."""
    import os
    import stat

    names = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    found = []
    for name in (each for each in names if each > 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(name).st_mode):
                found.append(name)
    return found


def describe_modules(_: int) -> bool:
    """True where the worker has a module that only a copy of this process has."""
    return MARK in sys.modules


MARK = "finops_test_mark"


@contextmanager
def second_thread() -> Iterator[None]:
    """A thread that waits, with which a process is not copied."""
    done = Event()
    thread = Thread(target=done.wait)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("other_thread", [False, True])
def test_every_worker_ignores_ctrl_c_before_it_runs_code(
    other_thread: bool, tmp_path: Path
) -> None:
    """Each worker process inherits that Ctrl-C is ignored, also one that starts later."""
    with second_thread() if other_thread else nullcontext():
        if other_thread:  # a new process reads the arguments before it calls anything
            pieces = in_processes(wait_a_moment, range(8), 3, do_nothing, (NoteAtStart(tmp_path),))
        else:
            pieces = in_processes(wait_a_moment, range(8), 3, note_at_start, (tmp_path,))
        assert list(pieces) == list(range(8))
    notes = [note.read_text() for note in tmp_path.iterdir()]
    assert len(notes) > 1
    assert set(notes) == {"ignored"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies processes")
@pytest.mark.parametrize("other_thread", [False, True])
def test_process_is_copied_only_with_one_thread(
    other_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are copies of a process with one thread; with more, they are new processes."""
    monkeypatch.setitem(sys.modules, MARK, sys)
    is_alone = has_one_thread()
    with second_thread() if other_thread else nullcontext():
        [copied] = in_processes(describe_modules, [0], 2, do_nothing, (None,))
    assert copied is (is_alone and not other_thread)


def has_one_thread() -> bool:
    """True in a process of one thread, once the threads of earlier work have ended."""
    counts = [0] * 10
    while len(set(counts[-10:])) > 1 or not counts[-1]:
        counts.append(len([*Path("/proc/self/task").iterdir()]))
        sleep(0.01)
    return counts[-1] == 1


_before_the_copy: list[object] = []


def seeks_garbage_in_what_was_copied(_: int) -> bool:
    return any(each is _before_the_copy for each in gc.get_objects())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies processes")
def test_copied_worker_seeks_no_garbage_in_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker looks for garbage only in what it makes; its parent goes on as before."""
    monkeypatch.setattr(sys.modules[__name__], "_before_the_copy", [object()])
    assert seeks_garbage_in_what_was_copied(0)
    is_alone = has_one_thread()
    [seeks] = in_processes(seeks_garbage_in_what_was_copied, [0], 2, do_nothing, (None,))
    assert seeks is not is_alone  # a process with more threads is not copied
    assert seeks_garbage_in_what_was_copied(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies processes")
def test_copied_worker_holds_no_file_of_its_parent(tmp_path: Path) -> None:
    """A worker closes the files that it inherits: else a killed run would stay locked."""
    with (tmp_path / "out.jsonl").open("wb") as file:
        found = list(in_processes(describe_files, range(2), 2, do_nothing, (None,)))
        assert found == [[], []]
        file.write(b"still open")


PROGRAM = """
import sys
from finops_cli.cli import main
try:
    main()
finally:
    print("concurrent.futures.process" in sys.modules)
"""
"""Runs finops, and says whether it had a pool of processes."""


def had_workers(*command: object) -> bool:
    """True where a command of two workers started other processes."""
    words = [sys.executable, "-c", PROGRAM, *map(str, command), "--workers", "2"]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    return {"True": True, "False": False}[done.stdout.strip()]


@pytest.mark.parametrize(("lines", "are_needed"), [(4_096, False), (4_097, True)])
def test_short_file_is_answered_without_workers(
    lines: int, are_needed: bool, tmp_path: Path, finops: Finops
) -> None:
    """A run starts other processes when it has answered four thousand lines, and not before. The
    lines are those of one process.
    """
    fails, output, alone = (tmp_path / name for name in ("fails.jsonl", "two.jsonl", "one.jsonl"))
    fails.write_bytes(jsonl(*[a_fail(fail_id=f"F-{n}", qty=n + 1) for n in range(lines)]))
    run = ("run", fails, "--no-timing", "-o")
    assert had_workers(*run, output) is are_needed
    finops(*run, alone)
    assert output.read_bytes() == alone.read_bytes()
    assert output.read_bytes().count(b"\n") == lines


def test_texts_are_read_by_workers_at_once(tmp_path: Path) -> None:
    """A text takes as long as many records, so a few of them are shared out."""
    pytest.importorskip("presidio_analyzer")
    texts = tmp_path / "texts.jsonl"
    texts.write_bytes(b'{"text": "Profit rose."}\n')
    assert had_workers("sentiment", texts, "-o", tmp_path / "out.jsonl")
