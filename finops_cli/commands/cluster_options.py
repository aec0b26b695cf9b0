"""The options of runs over several machines, and what a run says of its cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.run_options import ModelOptions, RunOptions
from finops_cli.commands.run_summary import wrap_label
from finops_cli.commands.run_view import FORMS_OF_LINES
from finops_cli.errors import UsageError
from finops_cli.models.backends import AUTO

if TYPE_CHECKING:
    from finops_cli.cluster.part_stage import PartStage
    from finops_cli.cluster.session import ClusterRun
    from finops_cli.models.backend_request import BackendRequest
    from finops_cli.pipeline.pipeline import Pipeline
    from finops_cli.pipeline.run import RunConfig

ExecutorName = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--executor",
        metavar="NAME",
        show_default=False,
        help=(
            "Where the records are answered (default: local).\n\n\b\n"
            "local: on this machine\n"
            "ray:   on the machines of a Ray cluster\n"
        ),
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Address of the Ray cluster, HOST:PORT or auto, with --executor ray (default: one that"
        " is started on this machine).",
    ),
]
GpusPerModel = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-model",
        min=0.01,
        max=1,
        metavar="N",
        help="Part of a GPU that each model takes, with --executor ray; checked against its memory"
        " (default: the models of a worker share one GPU).",
    ),
]
KeepParts = Annotated[
    bool,
    typer.Option(
        "--keep-parts", help="With --executor ray: keep the parts of the output in OUT.parts."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where the records of a run are answered."""

    executor: ExecutorName = "local"
    ray: RayAddress = None
    gpus_per_model: GpusPerModel = None
    keep_parts: KeepParts = False

    @property
    def is_ray(self) -> bool:
        """Return true for a run over several machines."""
        return self.executor == "ray"


def refuse_stray(options: ClusterOptions) -> None:
    """Raise UsageError for options that mean something only with --executor ray."""
    given = {
        "--ray": options.ray,
        "--gpus-per-model": options.gpus_per_model,
        "--keep-parts": options.keep_parts,
    }
    names = [name for name, value in given.items() if value]
    if names and not options.is_ray:
        raise UsageError(f"{' and '.join(names)}: only with --executor ray", "add --executor ray")


def name_backend(
    options: ClusterOptions | None, run: RunOptions, models: ModelOptions
) -> RunOptions:
    """Name the backend of a run over several machines whose models are given.

    To find it by `auto`, this machine would load them.
    """
    if options is None or not options.is_ray or run.backend != AUTO:
        return run
    if models.triage_gguf or models.resolver_gguf:
        return replace(run, backend="llama-cpp")
    if models.triage_dir or models.resolver_dir:
        return replace(run, backend="transformers")
    return run


def check_cluster(
    options: ClusterOptions | None, config: RunConfig, tone: str | None, form: str
) -> None:
    """Raise UsageError or MissingPiece where a run cannot go over several machines as asked.

    `tone` is the backend that reads the tone of notes; None without one. `form` is the format of
    the output.
    """
    if options is None:
        return
    refuse_stray(options)
    if options.is_ray:
        from finops_cli.cluster.session import refuse_unusable

        if tone not in (None, "baseline"):
            raise UsageError(
                f"--sentiment {tone}: only the baseline runs with --executor ray",
                "give --sentiment baseline",
            )
        if form not in FORMS_OF_LINES:
            raise UsageError(
                f"--executor ray keeps lines of JSON, and the format of the output is {form}."
                f" Expected {' or '.join(FORMS_OF_LINES)}.",
                "give -o OUT.jsonl, then write the list with `finops list OUT.jsonl`",
            )
        refuse_unusable(config)


@contextmanager
def on_cluster(
    options: ClusterOptions,
    config: RunConfig,
    pipeline: Pipeline,
    models: BackendRequest,
    run: RunOptions,
) -> Iterator[RunConfig]:
    """Yield the config of a run with its executor; for a local run as it is."""
    if not options.is_ray:
        yield config
        return
    from finops_cli.cluster.session import ClusterRequest, ClusterRun

    request = ClusterRequest(
        address=options.ray,
        workers=models.workers,
        gpus_per_model=options.gpus_per_model,
        keep_parts=options.keep_parts,
    )
    with ClusterRun(request, config, pipeline, models) as cluster:
        if cluster.is_faster_here and not run.quiet:
            _say(
                "one machine answers this file in less than a minute: without --executor ray it is"
                " faster"
            )
        cluster.prepare()
        if cluster.is_split and not run.quiet:
            _say(f"the models do not fit a worker together: {', then '.join(cluster.models)}")
        yield replace(config, executor=cluster.executor)
        kept = cluster.complete()
        if not run.quiet:
            _say(describe_work(cluster))
            if kept is not None:
                _say(f"the parts are in {kept}")


def describe_work(cluster: ClusterRun) -> str:
    """Say which workers finished how many parts."""
    stages = cluster.executor.stages
    if not stages:
        return "ray: no line was missing"
    if len(stages) == 1:
        return f"ray: {_describe_stage(stages[0])}"
    texts = [
        f"{name} {_describe_stage(each)}" for name, each in zip(cluster.models, stages, strict=True)
    ]
    return f"ray, one model after the other: {'; '.join(texts)}"


def _describe_stage(stage: PartStage) -> str:
    shares = [f"{place} {count:,}" for place, count in sorted(stage.places.items())]
    parts = stage.places.total() + stage.reused
    text = f"{parts:,} {'part' if parts == 1 else 'parts'}"
    if stage.reused:
        text += f", {stage.reused:,} of them from an earlier run"
    if stage.split:
        text += f", {stage.split:,} times a part lost all its workers and was split"
    return text + (f" ({', '.join(shares)})" if shares else "")


def _say(text: str) -> None:
    typer.echo(wrap_label("executor", text), err=True)
