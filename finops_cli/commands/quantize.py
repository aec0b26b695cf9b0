"""`finops quantize`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.create import OfStage
from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.steps import steps

if TYPE_CHECKING:
    from decimal import Decimal

    from finops_cli.datasets.grading import Scores
    from finops_cli.quantization.manifest import Manifest
    from finops_cli.quantization.request import QuantizationRequest

Base = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="DIR",
        help="Model to convert: a folder saved by transformers, in 16 or 32 bits.",
    ),
]
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        metavar="DIR",
        help="LoRA adapter to merge into the base: a folder saved by PEFT.",
    ),
]
Gguf = Annotated[
    Path | None,
    typer.Option("--gguf", metavar="FILE", help="Converted model to quantize, instead of --base."),
]


class TypeOption(StrEnum):
    """The types of file that llama.cpp reads and finops writes."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    Q8_0 = "q8_0"
    Q4_K_M = "q4_k_m"


Types = Annotated[
    list[TypeOption] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help=(
            "Type of the output file: f16, bf16, f32, q8_0 or q4_k_m (default: q4_k_m). Repeat it"
            " for several files."
        ),
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        show_default=False,
        help="Folder for the output files (default: the current one).",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Prefix of the output file names (default: stage, family and size).",
    ),
]
Eval = Annotated[
    Path | None,
    typer.Option(
        "--eval",
        metavar="FILE",
        help="Held-out rows for the accuracy check (default: data/STAGE-eval.jsonl).",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows",
        min=1,
        max=1_000_000,
        metavar="N",
        help="Number of held-out rows to use (default: kb entry quantize.rows).",
    ),
]
Check = Annotated[
    bool, typer.Option("--check/--no-check", help="Check the accuracy before and after quantizing.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=512,
        metavar="N",
        help="Number of threads (default: one per processor). It does not change the files.",
    ),
]


@show_examples(
    Example("finops quantize --stage triage --base model --adapter runs/triage", needs="a model"),
    Example("finops quantize --stage triage --gguf triage.gguf --type q8_0", needs="a model"),
)
def quantize(
    context: typer.Context,
    stage: OfStage,
    base: Base = None,
    adapter: Adapter = None,
    gguf: Gguf = None,
    types: Types = None,
    output: Folder = Path(),
    name: Name = None,
    eval: Eval = None,
    rows: Rows = None,
    check: Check = True,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge an adapter, write GGUF, quantize, check accuracy."""
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.quantization.request import QuantizationRequest, refuse_unusable

    request = QuantizationRequest(
        stage=stage,
        base=base,
        adapter=adapter,
        gguf=gguf,
        types=tuple(dict.fromkeys(each.value for each in types or [TypeOption.Q4_K_M])),
        folder=output,
        name=name,
        held_out=(eval or Path("data") / f"{stage}-eval.jsonl") if check else None,
        rows=rows,
        threads=threads or os.cpu_count() or 1,
    )
    refuse_unusable(request)
    # the next modules need numpy, which `refuse_unusable` has looked for
    from finops_cli.quantization.quantize import make_create_command
    from finops_cli.quantization.quantize import quantize as make

    with steps(quiet, in_bytes=False) as watch:
        made = make(request, load_kb(kb_dir_of(context)), watch)
    if not quiet:
        _print_table(made, make_create_command(made, output))
    if as_json:
        typer.echo(encode_value(made))
    else:
        _print_files(made, request)
    if not made.kept:
        raise typer.Exit(1)


def _print_files(made: Manifest, request: QuantizationRequest) -> None:
    """Print the paths of the files that were made, one per line."""
    for each in made.outputs:
        if each.kept:
            typer.echo(str(request.folder / each.name))


def _print_table(made: Manifest, next_command: str | None) -> None:
    """Print a table on stderr: the unquantized model, and each file."""
    lines = [("", "bytes", "valid", "exact", "")]
    if made.before is not None:
        lines.append(
            (
                "before",
                "",
                _format_count(made.before, "valid"),
                _format_count(made.before, "exact"),
                "",
            )
        )
    for each in made.outputs:
        scores = (
            (_format_count(each.scores, "valid"), _format_count(each.scores, "exact"))
            if each.scores
            else ("-", "-")
        )
        lines.append((each.kind, f"{each.bytes:,}", *scores, "" if each.kept else "not kept"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        typer.echo("  ".join((f"{first:<{widths[0]}}", *cells)).rstrip(), err=True)
    for each in made.outputs:
        if not each.kept and each.loss and made.allowed_loss:
            typer.echo(
                f"finops: {each.kind} {_describe_loss(each.loss, made.allowed_loss)}", err=True
            )
    if made.before is not None and made.before.exact == 0:
        typer.echo(
            "finops: warning: no answer was exact before quantizing; the loss cannot be measured",
            err=True,
        )
    if next_command is not None:
        typer.echo(f"next: {next_command}", err=True)


def _format_count(scores: Scores, what: Literal["valid", "exact"]) -> str:
    count = scores.valid if what == "valid" else scores.exact
    return f"{count:,} of {scores.asked:,}"


def _describe_loss(loss: dict[str, Decimal], allowed: dict[str, Decimal]) -> str:
    lost = ", ".join(
        f"{points} points of {what} ({allowed[what]} allowed)" for what, points in loss.items()
    )
    return f"lost {lost}; use --type q8_0, train longer, or raise quantize.loss in kb"
