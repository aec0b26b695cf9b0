"""`finops triage`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import (
    BackendOption,
    Fails,
    Guard,
    Hosts,
    KeepRaw,
    Output,
    Overwrite,
    Quiet,
    Resume,
    StatsJson,
    Timeout,
    Timing,
    TriageGguf,
    TriageModel,
    Violation,
    Workers,
)
from finops_cli.commands.run_options import ModelOptions, RunOptions
from finops_cli.commands.run_pipeline import run_command


def triage(
    context: typer.Context,
    source: Fails,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = None,
    host: Hosts = None,
    triage_model: TriageModel = None,
    triage_gguf: TriageGguf = None,
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
    """Stage 1 alone: score, tier and action of each fail."""
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
        triage_model=triage_model,
        triage_gguf=triage_gguf,
    )
    run_command(context, "triage", options, models)
