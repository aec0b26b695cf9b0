"""`finops triage`."""

from __future__ import annotations

import typer

from finops_cli.commands.alarm_options import AlarmOptions
from finops_cli.commands.clock_options import ClockOptions
from finops_cli.commands.cluster_options import ClusterOptions
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.join_options import JoinOptions
from finops_cli.commands.run_options import ModelOptions, RunOptions, with_shared_options
from finops_cli.commands.run_pipeline import run_command
from finops_cli.commands.table_options import TableOptions


@show_examples(
    "finops triage examples/monday.jsonl",
    "finops triage examples/monday.jsonl --backend engine --no-timing -o out.jsonl",
)
@with_shared_options("resolver_model", "resolver_gguf", "clock")
def triage(
    context: typer.Context,
    options: RunOptions,
    models: ModelOptions,
    clock: ClockOptions,
    table: TableOptions,
    joins: JoinOptions,
    alarms: AlarmOptions,
    cluster: ClusterOptions,
) -> None:
    """Stage 1 alone: score, tier and action of each fail."""
    run_command(
        context,
        "triage",
        options,
        models,
        clock=clock,
        table=table,
        joins=joins,
        alarms=alarms,
        cluster=cluster,
    )
