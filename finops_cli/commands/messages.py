"""Messages on stderr, in one form: the message, and its cure on a line of its own."""

from __future__ import annotations

import typer

from finops_cli.errors import FinopsError
from finops_cli.files.terminal import printable


def report(message: str, cure: str = "") -> None:
    """Print a message; escape whatever could steer the terminal."""
    typer.echo(f"finops: {printable(message)}", err=True)
    if cure:
        typer.echo(f"fix: {printable(cure)}", err=True)


def report_error(error: FinopsError) -> None:
    report(str(error), error.cure)


def warn(message: str, cure: str = "") -> None:
    report(f"warning: {message}", cure)
