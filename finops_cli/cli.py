"""The command line. The program imports the command that is called, and a command its work when it
is called.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from copy import copy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from finops_cli.commands.end_signals import ending_signals
from finops_cli.commands.error_border import INTERRUPTED, PIPE_CLOSED, exit_statuses
from finops_cli.commands.help_examples import (
    CommandWithExamples,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.messages import report
from finops_cli.commands.rules_choice import KbStore, RulesChoice
from finops_cli.errors import UsageError
from finops_cli.version import __version__

__all__ = ["INTERRUPTED", "PIPE_CLOSED", "app", "main"]

app: typer.Typer
"""The program with all commands. It is made when somebody asks for it."""

COMMANDS = {
    "import": "import_.app",
    "run": "run.run",
    "triage": "triage.triage",
    "handoff": "handoff.handoff",
    "resolve": "resolve.resolve",
    "book": "book.book",
    "net": "net.net",
    "sentiment": "sentiment.sentiment",
    "list": "list_.list_",
    "show": "show.show",
    "letters": "letters.letters",
    "check": "check.check",
    "audit": "audit.audit",
    "clock": "clock.app",
    "generate": "generate.generate",
    "dataset-report": "dataset_report.dataset_report",
    "train": "train.train",
    "quantize": "quantize.quantize",
    "create": "create.create",
    "evaluate": "evaluate.evaluate",
    "compare": "compare.compare",
    "drift": "drift.drift",
    "models": "models.models",
    "serve": "serve.serve_app",
    "token": "tokens.app",
    "kb": "kb.app",
    "schema": "schema.schema",
    "doctor": "doctor.doctor",
}
"""The commands in the order of the help: for each its module in `commands`, and its name there."""
COMMAND_ORDER = tuple(COMMANDS)


class FinopsGroup(GroupWithExamples):
    """Lists the commands in COMMAND_ORDER, and turns errors into messages and exit codes.

    The exit codes are those of the contracts, section 1.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMAND_ORDER.index)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with exit_statuses():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with exit_statuses(ctx):
            return super().invoke(ctx)


_WITHOUT_COMMANDS = typer.Typer(
    cls=FinopsGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"finops {__version__}")
        raise typer.Exit


@_WITHOUT_COMMANDS.callback()
@show_examples("finops run examples/monday.jsonl -o out.jsonl", "finops kb show score.base")
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
    kb_digest: Annotated[
        str | None,
        typer.Option(
            "--kb-digest",
            metavar="DIGEST",
            help="Rules that finops kb save kept, by the first digits of their digest.",
        ),
    ] = None,
    kb_store: KbStore = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Triage and resolve US post-trade settlement fails, every number checked."""
    context.obj = RulesChoice(kb_dir, kb_digest, kb_store)


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
    _leave_garbage_at_exit()
    with ending_signals():
        make_command(only_named(sys.argv[1:]))()


@cache
def _leave_garbage_at_exit() -> None:
    """Look for no garbage when the process ends: that takes a tenth of a short command."""
    atexit.register(gc.freeze)


@cache
def make_command(program: typer.Typer) -> Any:
    """Make the options of a program once in a process that calls `main` again, as the tests do.

    That is two thirds of a short command.
    """
    return get_command(program)


def only_named(words: Sequence[str]) -> typer.Typer:
    """Return the program with only the command that the first word names, else with all.

    To import all commands and to make their options takes a fifth of the start-up of `finops run`.
    """
    return _program(words[0]) if words and words[0] in COMMANDS else _program()


@cache
def _program(*names: str) -> typer.Typer:
    """Return the program with the commands of these names; without names with all."""
    program = copy(_WITHOUT_COMMANDS)
    program.registered_commands, program.registered_groups = [], []
    for name in names or COMMANDS:
        module, _, attribute = COMMANDS[name].partition(".")
        command = getattr(import_module(f"finops_cli.commands.{module}"), attribute)
        if isinstance(command, typer.Typer):
            program.add_typer(command, name=name)
        else:
            program.command(name, cls=CommandWithExamples)(command)
    return program


def __getattr__(name: str) -> typer.Typer:
    """Make `app`."""
    if name == "app":
        return _program()
    raise AttributeError(name)
