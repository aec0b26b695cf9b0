"""`finops run`."""

from __future__ import annotations

import typer

from finops_cli.commands.clock_options import ClockOptions
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import run_command


@show_examples(
    "finops run examples/monday.jsonl -o out.jsonl",
    "finops run examples/monday.jsonl --backend engine --as-of 2026-11-30",
)
@with_shared_options()
def run(
    context: typer.Context, options: RunOptions, models: ModelOptions, clock: ClockOptions
) -> None:
    """Triage and resolve each fail, and check every answer."""
    run_command(context, "run", options, models, clock)
