"""`finops resolve`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import (
    BackendOption,
    Cases,
    Guard,
    Hosts,
    KeepRaw,
    Output,
    Overwrite,
    Quiet,
    ResolverGguf,
    ResolverModel,
    Resume,
    StatsJson,
    Timeout,
    Timing,
    Violation,
    Workers,
)
from finops_cli.commands.run_options import ModelOptions, RunOptions
from finops_cli.commands.run_pipeline import run_command


def resolve(
    context: typer.Context,
    source: Cases,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = None,
    host: Hosts = None,
    resolver_model: ResolverModel = None,
    resolver_gguf: ResolverGguf = None,
    on_violation: Violation = "repair",
    keep_raw: KeepRaw = False,
    timeout: Timeout = None,
    guard: Guard = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    timing: Timing = True,
    stats_json: StatsJson = None,
    quiet: Quiet = False,
) -> None:
    """Stage 2 alone: the plan of each resolver input (card 2)."""
    options = RunOptions(
        source=source,
        output=output,
        backend=backend,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        timing=timing,
        quiet=quiet,
        stats_json=stats_json,
    )
    models = ModelOptions(
        hosts=host,
        on_violation=on_violation,
        keep_raw=keep_raw,
        timeout=timeout,
        guard=guard,
        resolver_model=resolver_model,
        resolver_gguf=resolver_gguf,
    )
    run_command(context, "resolve", options, models)
