"""Notices that a file was changed while a run read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from finops_cli.errors import InputChanged


class InputWatch:
    """The files that a run reads, as they were when it began."""

    def __init__(self, files: Iterable[Path | None]) -> None:
        self._before = {path: _state(path) for path in files if path is not None and path.is_file()}

    def refuse_changed(self, output: Path | None, is_same: Callable[[], bool] | None) -> None:
        """Raise InputChanged, which names each file that is not as it was.

        `is_same` compares the contents, so a file that was only touched is unchanged; None:
        the run took no digests.
        """
        changed = [str(path) for path, before in self._before.items() if _state(path) != before]
        if not changed or (is_same is not None and is_same()):
            return
        again = "" if output is None else " with --overwrite"
        raise InputChanged(
            f"{', '.join(changed)}: was changed during the run, so"
            f" {output or 'the output'} may hold lines of both contents",
            f"wait until nothing writes it, and run it again{again}",
        )


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
