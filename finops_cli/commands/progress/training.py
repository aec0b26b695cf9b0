"""How far `finops train` is, on stderr: a bar on a terminal, a line now and then elsewhere, nothing
when quiet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from finops_cli.training.progress import Progress, Watch

_LOOKED_AT = 2_000
"""Rows below which looking at them takes no time that a person notices."""


class Bars(NamedTuple):
    """`look` is told how many rows were looked at, and of how many; `watch` how many steps are
    done.
    """

    look: Callable[[int, int], None]
    watch: Watch


@contextmanager
def bars(quiet: bool) -> Iterator[Bars]:
    """What follows a training."""
    if quiet:
        yield Bars(lambda done, total: None, lambda now: None)
    elif sys.stderr.isatty():
        with _on_terminal() as both:
            yield both
    else:
        yield Bars(lambda done, total: None, _Lines())


@contextmanager
def _on_terminal() -> Iterator[Bars]:
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
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        rows = bar.add_task("rows", figures="", visible=False)
        steps = bar.add_task("step", figures="", visible=False)

        def look(done: int, total: int) -> None:
            bar.update(rows, completed=done, total=total, visible=_LOOKED_AT <= total != done)

        def watch(now: Progress) -> None:
            if not bar.tasks[steps].visible:
                bar.reset(steps, total=now.total, visible=True)
            bar.update(steps, completed=now.done, total=now.total, figures=figures(now))

        yield Bars(look, watch)


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
    told = [
        f"{name} {now.figures[key]:.4f}"
        for name, key in (("loss", "loss"), ("eval", "eval_loss"))
        if key in now.figures
    ]
    if "eval_asked" in now.figures:
        told.append(f"exact {now.figures['eval_exact']:.0f}/{now.figures['eval_asked']:.0f}")
    return "  ".join(told)
