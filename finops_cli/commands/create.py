"""`finops create`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.steps import steps

if TYPE_CHECKING:
    from finops_cli.models.ollama.create import Created
    from finops_cli.models.ollama.uploads import Step

OfStage = Annotated[
    Literal["triage", "resolver", "sentiment"], typer.Option("--stage", help="Whose model.")
]
AModelfile = Annotated[
    Path | None,
    typer.Option(
        "--modelfile", metavar="PATH", help="A Modelfile of your own instead of the one that ships."
    ),
]
Gguf = Annotated[
    Path | None,
    typer.Option(
        "--gguf", metavar="FILE", help="The model's file, in place of the Modelfile's FROM."
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What Ollama calls it; finops-STAGE when absent."),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="The Ollama server; OLLAMA_HOST, else this machine, when absent.",
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="KIND",
        help="Have Ollama quantize an f16, bf16 or f32 file, such as to q4_K_M.",
    ),
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
    from finops_cli.kb.load import load_kb
    from finops_cli.models.ollama.create import Callbacks, default_names, preview
    from finops_cli.models.ollama.create import create as make
    from finops_cli.models.ollama.create_request import CreateOptions
    from finops_cli.models.ollama.hosts import hosts_of, refuse_outside
    from finops_cli.pipeline.output import encode_value

    kb = load_kb(kb_dir_of(context))
    order = CreateOptions(
        stage=stage,
        name=name or default_names(kb)[stage],
        modelfile=modelfile,
        gguf=gguf,
        quantize=quantize,
    )
    with steps(quiet, in_bytes=True) as show_step:

        def watch(step: Step) -> None:
            show_step(step.what, step.done, step.total)

        if show:
            typer.echo(encode_value(preview(order, watch)))
            return
        url = hosts_of([host] if host else [])[0]
        if kb.models.outside == "refuse":
            refuse_outside(url)
        told = Callbacks(lambda text: None if quiet else typer.echo(text, err=True), _warn, watch)
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
        typer.echo(
            f"{'and':<12} {more.file} ({more.bytes:,} bytes)\n{'sha256':<12} {more.file_sha256}"
        )
    for name, value in made.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            typer.echo(f"{'parameter':<12} {name} {one}")
