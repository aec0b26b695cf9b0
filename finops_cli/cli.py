"""The command line: verbs in the order of the story. Each verb imports its work when it is called, so that --help stays light."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from finops_cli import __version__
from finops_cli.commands import import_
from finops_cli.commands import kb as kb_command
from finops_cli.commands.check import check
from finops_cli.commands.doctor import doctor
from finops_cli.commands.resolve import resolve
from finops_cli.commands.run import run
from finops_cli.commands.schema import schema
from finops_cli.commands.triage import triage
from finops_cli.errors import FinopsError

INTERRUPTED = 130
PIPE_CLOSED = 141
"""What a shell reports of a program that writes to a closed pipe."""


STORY = ("import", "run", "triage", "resolve", "check", "kb", "schema", "doctor")


class Border(TyperGroup):
    """Lists the verbs as the story goes; turns what stopped one into a message and an exit code (contracts, section 1)."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=STORY.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except FinopsError as error:
            typer.echo(f"finops: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush to
            raise typer.Exit(PIPE_CLOSED) from error
        return result


app = typer.Typer(
    cls=Border,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"finops {__version__}")
        raise typer.Exit


@app.callback()
def finops(
    context: typer.Context,
    kb: Annotated[
        Optional[Path],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Option("--kb", metavar="DIR", help="A knowledge base of your own instead of the one that ships."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Triage and resolve US post-trade settlement fails, every number checked."""
    context.obj = kb


app.add_typer(import_.app, name="import", help="Turn the files of others into fail records.")
app.command()(run)
app.command()(triage)
app.command()(resolve)
app.command()(check)
app.add_typer(kb_command.app, name="kb")
app.command()(schema)
app.command()(doctor)


def main() -> None:
    app()
