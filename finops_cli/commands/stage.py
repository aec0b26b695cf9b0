"""What `run`, `triage` and `resolve` do alike: set up the job, show it, report it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.options import kb_folder, path_or_standard
from finops_cli.domain.vocabulary import BackendName

if TYPE_CHECKING:
    from finops_cli.pipeline.stations import Stage


@dataclass(frozen=True, slots=True)
class Call:
    """The options of a stage command, as given."""

    source: str
    output: str | None
    backend: BackendName
    workers: int
    resume: bool
    overwrite: bool
    timing: bool
    quiet: bool


def carry_out(context: typer.Context, stage: Stage, call: Call) -> None:
    """Run one job and exit 0 when every record is verified, else 1."""
    from finops_cli.commands.summary import summary
    from finops_cli.commands.watching import watching
    from finops_cli.errors import UsageError
    from finops_cli.kb.load import load_book
    from finops_cli.models.choose import choose
    from finops_cli.pipeline.conveyor import DeskPlan
    from finops_cli.pipeline.session import Job, run

    if call.source == "-" and sys.stdin.isatty():
        raise UsageError("nothing is piped in: give a file, or pipe JSONL lines into finops")
    kb = kb_folder(context)
    chosen = choose(call.backend, load_book(kb))
    if call.backend == "auto" and not call.quiet:
        typer.echo(f"backend      {chosen.backend.name} ({chosen.why})", err=True)
    plan = DeskPlan(stage, call.backend, kb, call.timing)
    source, output = path_or_standard(call.source), path_or_standard(call.output)
    job = Job(plan, source, output, call.workers, call.resume, call.overwrite)
    with watching(job, call.quiet) as watch:
        tally = run(job, watch)
    if not call.quiet:
        typer.echo(summary(tally), err=True)
    if not tally.all_verified:
        raise typer.Exit(1)
