"""What `run`, `triage` and `resolve` do alike: set up the job, show it, report it."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.options import kb_folder, path_or_standard, typed
from finops_cli.domain.vocabulary import BackendName, GuardMode, OnViolation

if TYPE_CHECKING:
    from finops_cli.kb.book import Book
    from finops_cli.pipeline.desk import Desk
    from finops_cli.pipeline.stations import Stage


@dataclass(frozen=True, slots=True)
class Call:
    """The options of a stage command, as given."""

    source: str
    output: str | None
    backend: BackendName
    workers: int | None
    resume: bool
    overwrite: bool
    timing: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Models:
    """The options about language models, as given."""

    hosts: list[str] | None
    on_violation: OnViolation
    keep_raw: bool
    deadline: float | None
    guard: GuardMode | None
    triage_model: str | None = None
    resolver_model: str | None = None
    triage_gguf: Path | None = None
    resolver_gguf: Path | None = None


def carry_out(context: typer.Context, stage: Stage, call: Call, models: Models) -> None:
    """Run one job and exit 0 when every record is verified, else 1."""
    from finops_cli.commands.summary import summary, wrapped
    from finops_cli.commands.watching import watching
    from finops_cli.errors import UsageError
    from finops_cli.kb.load import load_book
    from finops_cli.pipeline.conveyor import DeskPlan
    from finops_cli.pipeline.screens import Refusing
    from finops_cli.pipeline.session import Job, refuse_impossible, run

    if call.source == "-" and sys.stdin.isatty():
        raise UsageError("nothing is piped in: give a file, or pipe JSONL lines into finops")
    kb = kb_folder(context)
    plan = DeskPlan(stage, kb, call.timing, models.guard)
    source, output = path_or_standard(call.source), path_or_standard(call.output)
    job = Job(plan, source, output, call.workers or 1, call.resume, call.overwrite)
    refuse_impossible(job)
    book = load_book(kb)
    desk = _desk(context, stage, call, models, book)
    with closing(desk.backend), watching(job, call.quiet) as watch:
        if isinstance(desk.screen, Refusing):
            desk.screen.look_ahead(source, stage == "resolve", book)
        tally = run(job, desk, watch)
        changes = desk.backend.changes()
    if not call.quiet:
        typer.echo(summary(tally), err=True)
    for change in changes:
        typer.echo(wrapped("backend", f"{change}: the digests in the lines may not be true of all of them"), err=True)
    if changes or not tally.all_verified:
        raise typer.Exit(1)


def _desk(context: typer.Context, stage: Stage, call: Call, models: Models, book: Book) -> Desk:
    """The desk with the backend that the call wants; says which and why where that was not the call's to decide."""
    from finops_cli.commands.summary import wrapped
    from finops_cli.models.choose import choose
    from finops_cli.models.engine import Engine
    from finops_cli.models.wanted import Wanted
    from finops_cli.pipeline.desk import Desk
    from finops_cli.pipeline.screens import screen_for
    from finops_cli.pipeline.stations import STATIONS

    wanted = Wanted(
        call.backend,
        STATIONS[stage].models,
        tuple(models.hosts or ()),
        models.triage_model,
        models.resolver_model,
        models.on_violation,
        models.deadline,
        call.workers,
        models.triage_gguf,
        models.resolver_gguf,
        any(typed(context, name) for name in ("triage_gguf", "resolver_gguf")),
    )
    chosen = choose(wanted, book)
    told = [f"{chosen.backend.origin.name} ({chosen.why})"] if call.backend == "auto" else []
    if call.quiet and isinstance(chosen.backend, Engine) and not wanted.ggufs:
        told = []  # that records go to models is said in any case, and that files which are named are not used
    for text in (*told, *chosen.notices):
        typer.echo(wrapped("backend", text), err=True)
    screen = screen_for(models.guard, chosen.backend.origin.digests is not None, book)
    return Desk(stage, chosen.backend, book, call.timing, models.keep_raw, screen)
