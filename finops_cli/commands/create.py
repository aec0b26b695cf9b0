"""`finops create`: make a model in Ollama from its Modelfile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.messages import warn
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.steps import steps
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage

if TYPE_CHECKING:
    from finops_cli.models.ollama.create import Created
    from finops_cli.models.ollama.uploads import Step

OfStage = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage that the model answers.",
    ),
]
ModelfilePath = Annotated[
    Path | None,
    typer.Option(
        "--modelfile", metavar="PATH", help="Your own Modelfile, instead of the bundled one."
    ),
]
Gguf = Annotated[
    Path | None,
    typer.Option(
        "--gguf",
        metavar="FILE",
        help="Model file to use, instead of the one that FROM in the Modelfile names.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Name of the model in Ollama (default: finops-STAGE)."
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="Address of the Ollama server (default: OLLAMA_HOST, else this machine).",
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="TYPE",
        help="Let Ollama quantize an f16, bf16 or f32 file to this type, such as q4_K_M.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the request as JSON and send nothing.")
]

Try = Annotated[
    bool,
    typer.Option(
        "--try/--no-try",
        help="Ask the new model one record; a wrong answer, or none, ends with 1.",
    ),
]


@show_examples(
    Example("finops create --stage triage", needs="an Ollama server"),
    Example("finops create --stage resolver --dry-run", needs="a model file"),
)
def create(
    context: typer.Context,
    stage: OfStage,
    modelfile: ModelfilePath = None,
    gguf: Gguf = None,
    name: Name = None,
    host: Host = None,
    quantize: Quantize = None,
    dry_run: DryRun = False,
    is_tried: Try = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a stage's model in Ollama from its Modelfile."""
    from msgspec.structs import replace

    from finops_cli.kb.load import load_kb
    from finops_cli.models.ollama.create import Callbacks, create_model, default_names, preview
    from finops_cli.models.ollama.create_request import CreateOptions
    from finops_cli.models.ollama.trial import try_model
    from finops_cli.models.servers.hosts import judge_address, resolve_hosts
    from finops_cli.pipeline.output import encode_value

    kb = load_kb(kb_dir_of(context))
    options = CreateOptions(
        stage=stage,
        name=name or default_names(kb)[stage],
        modelfile=modelfile,
        gguf=gguf,
        quantize=quantize,
    )
    with steps(quiet, in_bytes=True) as show_step:

        def on_step(step: Step) -> None:
            show_step(step.what, step.done, step.total)

        callbacks = Callbacks(
            lambda text: None if quiet else typer.echo(text, err=True), warn, on_step
        )
        if dry_run:
            typer.echo(encode_value(preview(options, callbacks)))
            return
        url = resolve_hosts([host] if host else [])[0]
        judge_address(url, kb.models.external_servers)
        created = create_model(options, url, callbacks)
        if is_tried:
            created = replace(created, trial=try_model(stage, created.model, url, kb))
    typer.echo(encode_value(created)) if as_json else _print_created(created)
    _judge_trial(created)


def _judge_trial(created: Created) -> None:
    """Warn of a model that answered its first record wrong, or not at all, and end with 1."""
    trial = created.trial
    if trial is None or trial.result == "right":
        return
    how = (
        "answered one record wrong"
        if trial.result == "wrong"
        else "gave no usable answer to one record"
    )
    warn(
        f"{created.model} {how}: {trial.detail}. The checker catches wrong answers; try `finops"
        " evaluate`, compare the file with its source, or use another quantization"
    )
    raise typer.Exit(1)


def _print_created(created: Created) -> None:
    typer.echo(f"{'model':<12} {created.model} at {created.host} (Ollama {created.ollama})")
    typer.echo(f"{'digest':<12} {created.model_digest}")
    if created.base:
        typer.echo(f"{'made from':<12} {created.base}")
    if created.file:
        typer.echo(f"{'file':<12} {created.file} ({created.bytes:,} bytes)")
        typer.echo(f"{'sha256':<12} {created.file_sha256}")
    for more in created.more_files:
        typer.echo(
            f"{'and':<12} {more.file} ({more.bytes:,} bytes)\n{'sha256':<12} {more.file_sha256}"
        )
    if created.trial is not None:
        typer.echo(f"{'tried':<12} one record: {created.trial.result}")
    for name, value in created.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            typer.echo(f"{'parameter':<12} {name} {one}")
