"""`finops run`."""

from __future__ import annotations

import typer

from finops_cli.commands.alarm_options import AlarmOptions
from finops_cli.commands.clock_options import ClockOptions
from finops_cli.commands.cluster_options import ClusterOptions
from finops_cli.commands.help_examples import give_default, show_examples
from finops_cli.commands.join_options import JoinOptions
from finops_cli.commands.run_options import (
    RunModelOptions,
    RunOptions,
    list_tone_backends,
    with_shared_options,
)
from finops_cli.commands.run_pipeline import run_command
from finops_cli.commands.table_options import TableOptions


@give_default("--sentiment", "auto", list_tone_backends)
@show_examples(
    "finops run examples/monday.jsonl -o out.jsonl",
    "finops run examples/csv/blotter.csv --map examples/csv/mapping.yaml",
)
@with_shared_options()
def run(
    context: typer.Context,
    options: RunOptions,
    models: RunModelOptions,
    clock: ClockOptions,
    table: TableOptions,
    joins: JoinOptions,
    alarms: AlarmOptions,
    cluster: ClusterOptions,
) -> None:
    """Triage and resolve each fail, and check every answer."""
    run_command(
        context,
        "run",
        options,
        models,
        clock=clock,
        table=table,
        joins=joins,
        alarms=alarms,
        cluster=cluster,
    )
