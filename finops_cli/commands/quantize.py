"""`finops quantize`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.create import OfStage
from finops_cli.commands.messages import report, warn
from finops_cli.commands.options import AsJson, Quiet, kb_dir_of
from finops_cli.commands.progress.steps import steps

if TYPE_CHECKING:
    from decimal import Decimal

    from finops_cli.datasets.grading import Scores
    from finops_cli.quantization.manifest import Manifest
    from finops_cli.quantization.quantize import Order

Base = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="DIR",
        help="The model as transformers saves it, 16 or 32 bits: Qwen3 or Qwen3.5.",
    ),
]
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter", metavar="DIR", help="A LoRA adapter as PEFT saves it, merged into the base."
    ),
]
Gguf = Annotated[
    Path | None,
    typer.Option(
        "--gguf", metavar="FILE", help="A model that is converted already, instead of --base."
    ),
]


class FileType(StrEnum):
    """The types of file that llama.cpp reads and finops writes."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    Q8_0 = "q8_0"
    Q4_K_M = "q4_k_m"


Types = Annotated[
    list[FileType] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="f16, bf16, f32, q8_0 or q4_k_m (the default); may be repeated.",
    ),
]
Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="How the files' names begin; from stage, family and size when absent.",
    ),
]
Eval = Annotated[
    Path | None,
    typer.Option(
        "--eval",
        metavar="FILE",
        help="Held-out rows to try the model on; data/STAGE-eval.jsonl when absent.",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows",
        min=1,
        max=1_000_000,
        help="How many of them; as the knowledge base says when absent.",
    ),
]
Check = Annotated[
    bool, typer.Option("--check/--no-check", help="Try the model before and after it is quantized.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=512, help="Threads that quantize; they change nothing in the file."
    ),
]


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
    """Merge an adapter, convert to GGUF, quantize, and try the result."""
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.quantization.quantize import Order, create_command
    from finops_cli.quantization.quantize import quantize as make

    order = Order(
        stage=stage,
        base=base,
        adapter=adapter,
        gguf=gguf,
        kinds=tuple(dict.fromkeys(each.value for each in types or [FileType.Q4_K_M])),
        folder=output,
        name=name,
        held_out=(eval or Path("data") / f"{stage}-eval.jsonl") if check else None,
        rows=rows,
        threads=threads or os.cpu_count() or 1,
    )
    with steps(quiet, in_bytes=False) as watch:
        made = make(order, load_kb(kb_dir_of(context)), watch)
    if not quiet:
        _tell(made, create_command(made, output))
    if as_json:
        typer.echo(encode_value(made))
    else:
        _list(made, order)
    if not made.kept:
        raise typer.Exit(1)


def _list(made: Manifest, order: Order) -> None:
    """The files that are there now, one a line."""
    for each in made.outputs:
        if each.kept:
            typer.echo(str(order.folder / each.name))


def _tell(made: Manifest, next_command: str | None) -> None:
    """A table for people: the model before it is quantized, and each file."""
    lines = [("", "bytes", "valid", "exact", "")]
    if made.before is not None:
        lines.append(("before", "", _share(made.before, "valid"), _share(made.before, "exact"), ""))
    for each in made.outputs:
        scores = (
            (_share(each.scores, "valid"), _share(each.scores, "exact"))
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
            report(f"{each.kind} {_lost(each.loss, made.allowed_loss)}", _CURE)
    if made.before is not None and made.before.exact == 0:
        warn("no answer was exact before quantizing; the check cannot measure what was lost")
    if next_command is not None:
        typer.echo(f"next: {next_command}", err=True)


def _share(scores: Scores, what: Literal["valid", "exact"]) -> str:
    count = scores.valid if what == "valid" else scores.exact
    return f"{count:,} of {scores.asked:,}"


_CURE = "take --type q8_0, train for longer, or allow more (kb: quantize.loss)"


def _lost(loss: dict[str, Decimal], allowed: dict[str, Decimal]) -> str:
    points = (f"{lost} points of {what} ({allowed[what]} allowed)" for what, lost in loss.items())
    return f"lost {', '.join(points)}"
