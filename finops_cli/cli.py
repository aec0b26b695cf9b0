"""The command line. Each command imports its work when it is called, so that --help stays light."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command_name
from typer.models import CommandInfo

from finops_cli.commands import clock as clock_command
from finops_cli.commands import import_
from finops_cli.commands import kb as kb_command
from finops_cli.commands.audit import audit
from finops_cli.commands.book import book
from finops_cli.commands.check import check
from finops_cli.commands.compare import compare
from finops_cli.commands.create import create
from finops_cli.commands.dataset_report import dataset_report
from finops_cli.commands.doctor import doctor
from finops_cli.commands.drift import drift
from finops_cli.commands.end_signals import ending_signals
from finops_cli.commands.error_border import INTERRUPTED, PIPE_CLOSED, exit_statuses
from finops_cli.commands.evaluate import evaluate
from finops_cli.commands.generate import generate
from finops_cli.commands.handoff import handoff
from finops_cli.commands.help_examples import (
    CommandWithExamples,
    GroupWithExamples,
    show_examples,
)
from finops_cli.commands.letters import letters
from finops_cli.commands.list_ import list_
from finops_cli.commands.messages import report
from finops_cli.commands.models import models
from finops_cli.commands.net import net
from finops_cli.commands.quantize import quantize
from finops_cli.commands.resolve import resolve
from finops_cli.commands.rules_choice import KbStore, RulesChoice
from finops_cli.commands.run import run
from finops_cli.commands.schema import schema
from finops_cli.commands.sentiment import sentiment
from finops_cli.commands.serve import serve_app
from finops_cli.commands.show import show
from finops_cli.commands.tokens import app as token_app
from finops_cli.commands.train import train
from finops_cli.commands.triage import triage
from finops_cli.errors import UsageError
from finops_cli.version import __version__

__all__ = ["INTERRUPTED", "PIPE_CLOSED", "app", "main"]

COMMAND_ORDER = (
    "import",
    "run",
    "triage",
    "handoff",
    "resolve",
    "book",
    "net",
    "sentiment",
    "list",
    "show",
    "letters",
    "check",
    "audit",
    "clock",
    "generate",
    "dataset-report",
    "train",
    "quantize",
    "create",
    "evaluate",
    "compare",
    "drift",
    "models",
    "serve",
    "token",
    "kb",
    "schema",
    "doctor",
)


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


app = typer.Typer(
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


@app.callback()
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


app.add_typer(import_.app, name="import")
for command in (
    run,
    triage,
    handoff,
    resolve,
    book,
    net,
    sentiment,
    show,
    letters,
    check,
    audit,
    generate,
    dataset_report,
    train,
    quantize,
    create,
    evaluate,
    compare,
    drift,
    models,
    schema,
    doctor,
):
    app.command(cls=CommandWithExamples)(command)
app.command("list", cls=CommandWithExamples)(list_)
app.add_typer(serve_app, name="serve")
app.add_typer(token_app, name="token")
app.add_typer(kb_command.app, name="kb")
app.add_typer(clock_command.app, name="clock")


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
    with ending_signals():
        only_named(sys.argv[1:])()


def only_named(words: Sequence[str]) -> typer.Typer:
    """Return the program with only the command that the first word names, else with all.

    Typer makes the options of every command that it has. Those of one take a tenth less of the
    start-up of `finops run`.
    """
    named = [each for each in app.registered_commands if _name_of(each) in words[:1]]
    groups = [each for each in app.registered_groups if each.name in words[:1]]
    if not named and not groups:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = named, groups
    return alone


def _name_of(command: CommandInfo) -> str | None:
    if command.name is not None or command.callback is None:
        return command.name
    return get_command_name(command.callback.__name__)
