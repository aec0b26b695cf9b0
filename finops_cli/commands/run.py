"""`finops run`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import BackendOption, Fails, Output, Overwrite, Quiet, Resume, Timing, Workers
from finops_cli.commands.stage import Call, carry_out


def run(
    context: typer.Context,
    source: Fails,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    timing: Timing = True,
    quiet: Quiet = False,
) -> None:
    """Triage and resolve each fail; check every answer; JSONL out."""
    carry_out(context, "run", Call(source, output, backend, workers, resume, overwrite, timing, quiet))
