"""`finops evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from finops_cli.commands.options import (
    AsJson,
    BackendOption,
    Deadline,
    Guard,
    Hosts,
    Overwrite,
    Quiet,
    ResolverGguf,
    ResolverModel,
    Resume,
    Timing,
    TriageGguf,
    TriageModel,
    Violation,
    Workers,
    kb_folder,
)
from finops_cli.commands.stage import Call, Models, conduct

if TYPE_CHECKING:
    from finops_cli.evaluation.evaluate import Evaluation

Stages = Annotated[
    Literal["triage", "resolver", "sentiment"], typer.Option("--stage", help="Which model; sentiment: the baselines alone.")
]
Rows = Annotated[
    Optional[int],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("-n", "--rows", min=1, max=10_000_000, help="Records; kb evaluate.rows when absent, or all of --data."),
]
Seed = Annotated[int, typer.Option("--seed", help="Of the held-out records: the same seed makes the same.")]
AsProfile = Annotated[
    Literal["coverage", "market"], typer.Option("--profile", help="Every combination alike, or values and ages of the SEC files.")
]
Data = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--data", metavar="FILE", help="Records of your own, or an eval split of finops generate, instead of a seed."),
]
WithBaselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Text classifiers on the same records (needs scikit-learn).")
]
Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where report, figures and outcomes go.")]


def evaluate(
    context: typer.Context,
    stage: Stages,
    rows: Rows = None,
    seed: Seed = 7,
    profile: AsProfile = "coverage",
    data: Data = None,
    output: Folder = Path("evaluation"),
    backend: BackendOption = "auto",
    workers: Workers = None,
    host: Hosts = None,
    triage_model: TriageModel = None,
    resolver_model: ResolverModel = None,
    triage_gguf: TriageGguf = None,
    resolver_gguf: ResolverGguf = None,
    on_violation: Violation = "repair",
    deadline: Deadline = None,
    guard: Guard = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    baselines: WithBaselines = True,
    timing: Timing = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a backend against the rules on held-out records."""
    from finops_cli.evaluation.evaluate import ANSWERS, RECORDS, Simpler, concluded, of_sentences, open_folder
    from finops_cli.evaluation.records import Wanted, write_records
    from finops_cli.kb.load import load_book

    book = load_book(kb_folder(context))
    open_folder(output)
    if stage == "sentiment":
        _conclude(of_sentences(seed, rows, output, book, timing), output, as_json, quiet)
        return
    wanted = Wanted(stage, rows, seed, profile, data)
    write_records(wanted, output / RECORDS, book)
    if guard is None and data is None:
        guard = "off"  # nobody wrote the texts of records that finops made
    call = Call(str(output / RECORDS), str(output / ANSWERS), backend, workers, resume, overwrite, timing, quiet)
    names = (triage_model, resolver_model, triage_gguf, resolver_gguf)
    models = Models(host, on_violation, True, deadline, guard, *names)
    done = conduct(context, "triage" if stage == "triage" else "resolve", call, models)
    found = concluded(wanted, output, done.origin, done.guard, book, Simpler(baselines, timing))
    _conclude(found, output, as_json, quiet)
    if not done.verified:
        raise typer.Exit(1)


def _conclude(evaluation: Evaluation, output: Path, as_json: bool, quiet: bool) -> None:
    """Write figures and page; say the figures on stdout."""
    from finops_cli.evaluation.evaluate import REPORT, write
    from finops_cli.evaluation.page import page
    from finops_cli.evaluation.summary import summary
    from finops_cli.pipeline.lines import encode_value

    write(evaluation, output)
    (output / REPORT).write_text(page(evaluation), encoding="utf-8")
    if not quiet:
        typer.echo(f"{'report':<12} {output / REPORT}", err=True)
    typer.echo(encode_value(evaluation) if as_json else summary(evaluation))
