"""`finops create`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from finops_cli.commands.options import AsJson, Quiet, kb_folder

if TYPE_CHECKING:
    from finops_cli.foundry.create import Created
    from finops_cli.models.ollama.store import Step, Watch

OfStage = Annotated[Literal["triage", "resolver", "sentiment"], typer.Option("--stage", help="Whose model.")]
AModelfile = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--modelfile", metavar="PATH", help="A Modelfile of your own instead of the one that ships."),
]
Gguf = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--gguf", metavar="FILE", help="The model's file, in place of the Modelfile's FROM."),
]
Name = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--name", metavar="NAME", help="What Ollama calls it; finops-STAGE when absent."),
]
Host = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--host", metavar="URL", help="The Ollama server; OLLAMA_HOST, else this machine, when absent."),
]
Quantize = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--quantize", metavar="KIND", help="Have Ollama quantize an f16, bf16 or f32 file, such as to q4_K_M."),
]
Print = Annotated[bool, typer.Option("--print", help="Show the request as JSON and send nothing.")]


def create(
    context: typer.Context,
    stage: OfStage,
    modelfile: AModelfile = None,
    gguf: Gguf = None,
    name: Name = None,
    host: Host = None,
    quantize: Quantize = None,
    show: Print = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a stage's model in Ollama from its Modelfile."""
    from finops_cli.foundry.create import Told, default_names, preview
    from finops_cli.foundry.create import create as make
    from finops_cli.foundry.ingredients import Order
    from finops_cli.kb.load import load_book
    from finops_cli.models.ollama.hosts import hosts_of, refuse_outside
    from finops_cli.pipeline.lines import encode_value

    book = load_book(kb_folder(context))
    order = Order(stage=stage, name=name or default_names(book)[stage], modelfile=modelfile, gguf=gguf, quantize=quantize)
    with _watching(quiet) as watch:
        if show:
            typer.echo(encode_value(preview(order, watch)))
            return
        url = hosts_of([host] if host else [])[0]
        if book.answering.outside == "refuse":
            refuse_outside(url)
        told = Told(lambda text: None if quiet else typer.echo(text, err=True), _warn, watch)
        made = make(order, url, told)
    typer.echo(encode_value(made)) if as_json else _tell(made)


def _warn(text: str) -> None:
    typer.echo(f"finops: warning: {text}", err=True)


def _tell(made: Created) -> None:
    typer.echo(f"{'model':<12} {made.model} at {made.host} (Ollama {made.ollama})")
    typer.echo(f"{'digest':<12} {made.model_digest}")
    if made.base:
        typer.echo(f"{'made from':<12} {made.base}")
    if made.file:
        typer.echo(f"{'file':<12} {made.file} ({made.bytes:,} bytes)")
        typer.echo(f"{'sha256':<12} {made.file_sha256}")
    for more in made.more_files:
        typer.echo(f"{'and':<12} {more.file} ({more.bytes:,} bytes)\n{'sha256':<12} {more.file_sha256}")
    for name, value in made.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            typer.echo(f"{'parameter':<12} {name} {one}")


@contextmanager
def _watching(quiet: bool) -> Iterator[Watch]:
    """A bar for each step on a terminal, a line for each step elsewhere, nothing when quiet."""
    if quiet:
        yield lambda step: None
    elif sys.stderr.isatty():
        with _bars() as watch:
            yield watch
    else:
        yield _Lines()


class _Lines:
    """Says each step when it begins."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, step: Step) -> None:
        if step.what != self._last:
            self._last = step.what
            typer.echo(step.what, err=True)


@contextmanager
def _bars() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def watch(step: Step) -> None:
            if step.what not in tasks:
                tasks[step.what] = progress.add_task(step.what, total=step.total)
            progress.update(tasks[step.what], completed=step.done, total=step.total)

        yield watch
