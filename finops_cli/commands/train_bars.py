"""How far `finops train` is, on stderr: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from finops_cli.foundry.training.progress import Progress, Watch

_LOOKED_AT = 2_000
"""Rows below which looking at them takes no time that a person notices."""


@contextmanager
def looking(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Rows that were looked at."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("looking at rows"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=total >= _LOOKED_AT)


@contextmanager
def training(quiet: bool) -> Iterator[Watch]:
    """Steps that were done, with loss, rate and time left."""
    if quiet:
        yield lambda now: None
    elif sys.stderr.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", figures="", visible=False)
        yield lambda now: bar.update(task, completed=now.done, total=now.total, figures=figures(now), visible=True)


class _Lines:
    """A line for each new set of figures."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, now: Progress) -> None:
        told = figures(now)
        if told and told != self._last:
            self._last = told
            typer.echo(f"step {now.done:,} of {now.total:,}  {told}", err=True)


def figures(now: Progress) -> str:
    """Loss, and how the last examination went."""
    told = [f"{name} {now.figures[key]:.4f}" for name, key in (("loss", "loss"), ("eval", "eval_loss")) if key in now.figures]
    if "eval_asked" in now.figures:
        told.append(f"exact {now.figures['eval_exact']:.0f}/{now.figures['eval_asked']:.0f}")
    return "  ".join(told)
