"""`finops doctor`: what is installed, with the cure for what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from finops_cli.commands.options import AsJson, kb_folder

if TYPE_CHECKING:
    from finops_cli.diagnosis import Diagnosis


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """What is installed, and the cure for what is not."""
    from finops_cli.diagnosis import diagnose
    from finops_cli.pipeline.lines import encode_value

    found = diagnose(kb_folder(context))
    if as_json:
        typer.echo(encode_value(found))
    else:
        for diagnosis in found:
            _print(diagnosis)
    if any(diagnosis.state == "broken" for diagnosis in found):
        raise typer.Exit(3)


def _print(diagnosis: Diagnosis) -> None:
    typer.echo(f"{diagnosis.state:<8} {diagnosis.what:<16} {diagnosis.detail}")
    if diagnosis.cure:
        typer.echo(f"{'':<25} cure: {diagnosis.cure}")
