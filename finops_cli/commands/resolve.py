"""`finops resolve`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import BackendOption, Cases, Output, Overwrite, Quiet, Resume, Timing, Workers
from finops_cli.commands.stage import Call, carry_out


def resolve(
    context: typer.Context,
    source: Cases,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    timing: Timing = True,
    quiet: Quiet = False,
) -> None:
    """Stage 2 alone: the plan of each resolver input (card 2)."""
    carry_out(context, "resolve", Call(source, output, backend, workers, resume, overwrite, timing, quiet))
