"""`finops triage`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import (
    BackendOption,
    Fails,
    Output,
    Overwrite,
    Quiet,
    Resume,
    StatsJson,
    Timing,
    Workers,
)
from finops_cli.commands.run_options import (
    DEFAULT_MODEL_OPTIONS,
    ModelOptions,
    RunOptions,
    with_model_options,
)
from finops_cli.commands.run_pipeline import run_command


@with_model_options("resolver_model", "resolver_gguf")
def triage(
    context: typer.Context,
    source: Fails,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = None,
    models: ModelOptions = DEFAULT_MODEL_OPTIONS,
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
    run_command(context, "triage", options, models)
