"""Work in processes: Ctrl-C is handled by the parent alone, from the first moment of a worker."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finops_cli.parallel import in_processes


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


def test_every_worker_ignores_ctrl_c_before_it_runs_code(tmp_path: Path) -> None:
    """Each worker process inherits that Ctrl-C is ignored, also one that starts later."""
    pieces = in_processes(wait_a_moment, range(8), 3, do_nothing, (NoteAtStart(tmp_path),))
    assert list(pieces) == list(range(8))
    notes = [note.read_text() for note in tmp_path.iterdir()]
    assert len(notes) > 1
    assert set(notes) == {"ignored"}
