"""Progress of work that has steps, on stderr: a bar for each step on a terminal, a line for each
step elsewhere, nothing when quiet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

Show = Callable[[str, int, int | None], None]
"""Called with the name of the step, the part that is done and the total; None if unknown."""


@contextmanager
def steps(quiet: bool, in_bytes: bool) -> Iterator[Show]:
    """Open the display of the steps. `in_bytes` counts bytes; without it a share is shown."""
    if quiet:
        yield lambda what, done, total: None
    elif sys.stderr.isatty():
        with _bars(in_bytes) as show:
            yield show
    else:
        yield _Lines()


class _Lines:
    """Says each step when it begins."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what != self._last:
            self._last = what
            typer.echo(what, err=True)


@contextmanager
def _bars(in_bytes: bool) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counted: tuple[Any, ...] = (
        (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (TaskProgressColumn(),)
    )
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        *counted,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield show
