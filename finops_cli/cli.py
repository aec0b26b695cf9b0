"""The command line. Each command imports its work when it is called, so that --help stays light."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from finops_cli.commands import import_
from finops_cli.commands import kb as kb_command
from finops_cli.commands.check import check
from finops_cli.commands.compare import compare
from finops_cli.commands.create import create
from finops_cli.commands.dataset_report import dataset_report
from finops_cli.commands.doctor import doctor
from finops_cli.commands.drift import drift
from finops_cli.commands.evaluate import evaluate
from finops_cli.commands.generate import generate
from finops_cli.commands.messages import report, report_error
from finops_cli.commands.models import models
from finops_cli.commands.quantize import quantize
from finops_cli.commands.resolve import resolve
from finops_cli.commands.run import run
from finops_cli.commands.schema import schema
from finops_cli.commands.train import train
from finops_cli.commands.triage import triage
from finops_cli.errors import FinopsError, UsageError
from finops_cli.version import __version__

INTERRUPTED = 130
PIPE_CLOSED = 141
"""The exit code that a shell reports for a program that writes to a closed pipe."""


COMMAND_ORDER = (
    "import",
    "run",
    "triage",
    "resolve",
    "check",
    "generate",
    "dataset-report",
    "train",
    "quantize",
    "create",
    "evaluate",
    "compare",
    "drift",
    "models",
    "kb",
    "schema",
    "doctor",
)


class FinopsGroup(TyperGroup):
    """Lists the commands in COMMAND_ORDER, and turns errors into messages and exit codes.

    The exit codes are those of the contracts, section 1.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMAND_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except typer.BadParameter as error:
            error.message = _describe_bad_value(error)
            raise
        except FinopsError as error:
            report_error(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            _flush_nowhere()
            raise typer.Exit(PIPE_CLOSED) from error
        except OSError as error:
            _flush_nowhere()
            report(
                f"{error.filename or 'output'}: {error.strerror}",
                _CURES.get(error.errno or 0, ""),
            )
            raise typer.Exit(UsageError.exit_code) from error
        return result


_CURES = {
    errno.ENOSPC: "free some space and run it again (`run`: with --resume)",
    errno.EFBIG: "raise the limit and run it again (`run`: with --resume)",
    errno.EISDIR: "give a file",
    errno.EACCES: "choose a file that you may read or write",
}


def _describe_bad_value(error: typer.BadParameter) -> str:
    """Say in plain words what a bad option value is and what is accepted.

    Typer checks values with pydantic and repeats its wording ("Value error, ...").
    """
    find_faults = getattr(error.__cause__, "errors", None)
    if find_faults is None:
        return error.message
    from finops_cli.files.user_files import describe_expected, show

    detail = find_faults()[0]
    raised = detail.get("ctx", {}).get("error")
    if raised is not None:
        return str(raised)
    return f"{show(detail['input'])}. Expected {describe_expected(detail)}."


def _flush_nowhere() -> None:
    """Discard the rest of stdout, which cannot be written, so that the interpreter can end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=FinopsGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    kb_dir: Annotated[
        Path | None,
        typer.Option(
            "--kb",
            metavar="DIR",
            help="Your own knowledge base (default: the bundled one).",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Triage and resolve US post-trade settlement fails, every number checked."""
    context.obj = kb_dir


app.add_typer(
    import_.app, name="import", help="Convert SEC files or your own blotter to fail records."
)
app.command()(run)
app.command()(triage)
app.command()(resolve)
app.command()(check)
app.command()(generate)
app.command()(dataset_report)
app.command()(train)
app.command()(quantize)
app.command()(create)
app.command()(evaluate)
app.command()(compare)
app.command()(drift)
app.command()(models)
app.add_typer(kb_command.app, name="kb")
app.command()(schema)
app.command()(doctor)


def main() -> None:
    """Run the program.

    A closed stderr (`2>&-`) discards messages. A closed stdin or stdout is refused, because data
    would be lost.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
    closed = [name for name in ("stdin", "stdout") if getattr(sys, name) is None]
    if closed:
        report(f"{closed[0]} is closed", f"redirect it to a file or to {os.devnull}")
        sys.exit(UsageError.exit_code)
    app()
