"""`finops doctor`: check the installation, models and servers, and suggest fixes."""

from __future__ import annotations

from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, BackendOption, kb_dir_of
from finops_cli.commands.run_options import ModelOptions, model_request, with_shared_options
from finops_cli.models.backends import AUTO

if TYPE_CHECKING:
    from finops_cli.models.diagnosis import Diagnosis

Live = Annotated[
    bool,
    typer.Option(
        "--live/--no-live", help="Load the installed models and process one record with them."
    ),
]
_WIDTH = 100
_INDENT = " " * 26


@show_examples(
    Example("finops doctor", needs="models"),
    "finops doctor --no-live --json",
)
@with_shared_options("on_violation", "prose", "keep_raw", "timeout", "guard")
def doctor(
    context: typer.Context,
    *,
    models: ModelOptions,
    backend: BackendOption = AUTO,
    live: Live = True,
    as_json: AsJson = False,
) -> None:
    """Check installation, models and servers; suggest fixes."""
    from finops_cli.doctor.checkup import diagnose, is_broken
    from finops_cli.pipeline.output import encode_value

    request = replace(model_request(models), backend=backend)
    found = diagnose(kb_dir_of(context), request, live)
    if as_json:
        typer.echo(encode_value(found))
    else:
        for diagnosis in found:
            _print(diagnosis)
    if is_broken(found):
        raise typer.Exit(3)


def _print(diagnosis: Diagnosis) -> None:
    typer.echo(_wrap(f"{diagnosis.state:<8} {diagnosis.what:<16} ", diagnosis.detail))
    if diagnosis.cure:
        typer.echo(f"{_INDENT}fix: {diagnosis.cure}")


def _wrap(label: str, text: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
