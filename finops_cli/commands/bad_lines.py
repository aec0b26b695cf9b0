"""Reports the lines of an output that no run of finops wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from finops_cli.views.answers import NotALine


class ReadOutput(Protocol):
    """An output that was read: its first bad lines, and the number of all of them."""

    @property
    def bad(self) -> Sequence[NotALine]: ...

    @property
    def bad_lines(self) -> int: ...


def report_bad_lines(source: str, found: ReadOutput) -> None:
    """Print the bad lines of an output on stderr, and exit with 1 if there are any."""
    for line in found.bad:
        typer.echo(f"{source}:{line.number}: not an output line ({line.reason})", err=True)
    more = found.bad_lines - len(found.bad)
    if more:
        typer.echo(f"and {more:,} more lines that finops did not write", err=True)
    if found.bad_lines:
        raise typer.Exit(1)
