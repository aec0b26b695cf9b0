"""`finops run`."""

from __future__ import annotations

import typer

from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import run_command


@with_shared_options()
def run(context: typer.Context, options: RunOptions, models: ModelOptions) -> None:
    """Triage and resolve each fail, and check every answer."""
    run_command(context, "run", options, models)
