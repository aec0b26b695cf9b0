"""`finops generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.cluster_options import ClusterOptions, RayAddress, refuse_stray
from finops_cli.commands.dataset_report import ProfileOption, show_reports
from finops_cli.commands.help_examples import show_examples
from finops_cli.commands.options import AsJson, Quiet, is_typed, kb_dir_of
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage
from finops_cli.domain.enums import GuardMode
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.datasets.generate import GenerateOptions
    from finops_cli.datasets.writer import MakeRows

StageOption = Annotated[
    str | None,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage to make data for (default: triage and resolver).",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--rows",
        min=1,
        max=10_000_000,
        metavar="N",
        help="Rows for each stage (default: kb entry data.sizes).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", help="Seed for the generated rows. Equal seeds give equal files."
    ),
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write the files to.")
]
Parquet = Annotated[
    bool,
    typer.Option(
        "--parquet",
        help="Write Parquet files too (needs pyarrow).",
    ),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="Your own copy of financial_phrasebank, with --stage sentiment: text, CSV, the ZIP"
        " file of its authors, or Parquet.",
    ),
]
TextGuard = Annotated[
    GuardMode,
    typer.Option(
        "--guard",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of personal data in --phrasebank\n(default: require).\n\n\b\n"
            "require: redact it; stop if the scanner is\n"
            "         not installed\n"
            "on:      redact it; withhold each text if the\n"
            "         scanner is not installed\n"
            "off:     leave the texts unchanged\n"
        ),
    ),
]
WorkerCount = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=256,
        metavar="N",
        help="Number of processes that make rows. With --executor ray: the most in the whole"
        " cluster (default there: one for each processor).",
    ),
]
RowExecutor = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--executor",
        metavar="NAME",
        show_default=False,
        help=(
            "Where the rows are made (default: local).\n\n\b\n"
            "local: on this machine\n"
            "ray:   on the machines of a Ray cluster\n"
        ),
    ),
]


@show_examples(
    "finops generate --stage triage -n 100 -o data",
    "finops generate -n 1000 --seed 8 -o data",
)
def generate(
    context: typer.Context,
    stage: StageOption = None,
    rows: Rows = None,
    seed: Seed = 7,
    output: Folder = Path("data"),
    profile: ProfileOption = "coverage",
    parquet: Parquet = False,
    phrasebank: Phrasebank = None,
    guard: TextGuard = "require",
    workers: WorkerCount = 2,
    executor: RowExecutor = "local",
    ray: RayAddress = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make verified training data."""
    from finops_cli.datasets.generate import GenerateOptions, make_data

    refuse_stray(ClusterOptions(executor=executor, ray=ray))
    options = GenerateOptions(
        stage=stage,
        rows=rows,
        seed=seed,
        profile=profile,
        folder=output,
        parquet=parquet,
        workers=workers,
        phrasebank=phrasebank,
        guard=guard,
    )

    def show_message(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    most = workers if is_typed(context, "workers") else None
    with rows_on(executor, ray, most, options, kb_dir_of(context), show_message) as make_rows:
        reports = make_data(options, kb_dir_of(context), show_message, make_rows)
    show_reports(reports, as_json)


@contextmanager
def rows_on(
    executor: str,
    address: str | None,
    workers: int | None,
    options: GenerateOptions,
    kb_dir: Path,
    on_message: Callable[[str], None],
) -> Iterator[MakeRows | None]:
    """Yield what makes the rows; None: this machine does.

    Raises MissingPiece without Ray, UsageError for rows that are read from a file.
    """
    if executor == "local":
        yield None
        return
    from finops_cli.cluster.connect import refuse_without_ray
    from finops_cli.cluster.row_session import RowsOnCluster
    from finops_cli.datasets.generate import choose_stages
    from finops_cli.kb.load import load_kb

    if options.phrasebank is not None:
        raise UsageError(
            "--executor ray: the rows of --phrasebank are read from a file, not made",
            "leave --executor out",
        )
    refuse_without_ray()
    stages = [stage.name for stage in choose_stages(options)]
    with RowsOnCluster(options.folder, load_kb(kb_dir), address, workers) as cluster:
        yield cluster.rows.make_rows
        cluster.rows.complete(stages)
        again = f", {cluster.rows.reused:,} of them from an earlier command"
        parts = cluster.rows.made + cluster.rows.reused
        on_message(f"ray: {parts:,} parts{again if cluster.rows.reused else ''}")
