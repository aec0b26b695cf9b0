"""Shows the progress of `finops train` on stderr: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from finops_cli.training.progress import Progress, Watch

_SLOW_INSPECTION_ROWS = 2_000
"""Rows from which inspecting them takes noticeable time."""


class ProgressBars(NamedTuple):
    """The functions that show progress."""

    on_inspected: Callable[[int, int], None]
    """Takes the number of inspected rows, and of all rows."""
    on_step: Watch


@contextmanager
def open_progress(quiet: bool) -> Iterator[ProgressBars]:
    """Open what shows the progress of a training run."""
    if quiet:
        yield ProgressBars(lambda done, total: None, lambda now: None)
    elif sys.stderr.isatty():
        with _open_bars() as bars:
            yield bars
    else:
        yield ProgressBars(lambda done, total: None, _LinePrinter())


@contextmanager
def _open_bars() -> Iterator[ProgressBars]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[metrics]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        rows = bar.add_task("rows", metrics="", visible=False)
        steps = bar.add_task("step", metrics="", visible=False)

        def on_inspected(done: int, total: int) -> None:
            bar.update(
                rows, completed=done, total=total, visible=_SLOW_INSPECTION_ROWS <= total != done
            )

        def on_step(now: Progress) -> None:
            if not bar.tasks[steps].visible:
                bar.reset(steps, total=now.total, visible=True)
            bar.update(steps, completed=now.done, total=now.total, metrics=format_metrics(now))

        yield ProgressBars(on_inspected, on_step)


class _LinePrinter:
    """Prints a line for each new set of metrics."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, now: Progress) -> None:
        text = format_metrics(now)
        if text and text != self._last:
            self._last = text
            typer.echo(f"step {now.done:,} of {now.total:,}  {text}", err=True)


def format_metrics(now: Progress) -> str:
    """Format the losses and the last evaluation."""
    parts = [
        f"{name} {now.metrics[key]:.4f}"
        for name, key in (("loss", "loss"), ("eval", "eval_loss"))
        if key in now.metrics
    ]
    if "eval_asked" in now.metrics:
        parts.append(f"exact {now.metrics['eval_exact']:.0f}/{now.metrics['eval_asked']:.0f}")
    return "  ".join(parts)
