"""`finops run`."""

from __future__ import annotations

import typer

from finops_cli.commands.options import (
    BackendOption,
    Deadline,
    Fails,
    Hosts,
    KeepRaw,
    Output,
    Overwrite,
    Quiet,
    ResolverModel,
    Resume,
    Timing,
    TriageModel,
    Violation,
    Workers,
)
from finops_cli.commands.stage import Call, Models, carry_out


def run(
    context: typer.Context,
    source: Fails,
    output: Output = None,
    backend: BackendOption = "auto",
    workers: Workers = 1,
    host: Hosts = None,
    triage_model: TriageModel = None,
    resolver_model: ResolverModel = None,
    on_violation: Violation = "repair",
    keep_raw: KeepRaw = False,
    deadline: Deadline = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    timing: Timing = True,
    quiet: Quiet = False,
) -> None:
    """Triage and resolve each fail; check every answer; JSONL out."""
    call = Call(source, output, backend, workers, resume, overwrite, timing, quiet)
    carry_out(
        context,
        "run",
        call,
        Models(host, on_violation, keep_raw, deadline, triage_model=triage_model, resolver_model=resolver_model),
    )
