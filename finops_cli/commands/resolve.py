"""`finops resolve`."""

from __future__ import annotations

import typer

from finops_cli.commands.alarm_options import AlarmOptions
from finops_cli.commands.cluster_options import ClusterOptions
from finops_cli.commands.format_options import TextFormat
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import Cases
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import run_command


@show_examples(
    "finops resolve examples/cards/cases.jsonl",
    "finops resolve examples/cards/cases.jsonl --backend engine -o plans.jsonl",
)
@with_shared_options("triage_model", "triage_gguf", source=Cases, format_=TextFormat)
def resolve(
    context: typer.Context,
    options: RunOptions,
    models: ModelOptions,
    alarms: AlarmOptions,
    cluster: ClusterOptions,
) -> None:
    """Stage 2 alone: the plan of each resolver input (card 2)."""
    run_command(context, "resolve", options, models, alarms=alarms, cluster=cluster)
