"""Outputs that are made at the end: Parquet, .gz and .zst."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from finops_cli.commands.options import path_or_standard
from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError
from finops_cli.files.output_form import (
    OutputForm,
    form_of_suffix,
    pack_lines,
    refuse_without_pyarrow,
)

if TYPE_CHECKING:
    from finops_cli.pipeline.stored.journal import MadeOutput

Write = Callable[[Iterable[bytes], BinaryIO], object]
_INNER = (".csv", ".xlsx", ".html", ".htm", ".parquet", ".gz", ".zst", ".zip")


def open_made(
    output: str | None, format_: str, *, has_book: bool = False, quiet: bool = False
) -> MadeOutput | None:
    """Return the output that a run makes at its end; None for an output of plain lines.

    `format_` is `jsonl` or `parquet`. Raises UsageError, MissingPiece without pyarrow.
    """
    from finops_cli.pipeline.stored.journal import MadeOutput

    target = path_or_standard(output)
    if format_ == "parquet" and target is None:
        raise UsageError(
            "--format parquet needs a file, and stdout is given", "give one with -o out.parquet"
        )
    form = OutputForm.PARQUET if format_ == "parquet" else _packing_of(target)
    if form is None or target is None:
        return None
    refuse_without_pyarrow(form, target)
    write: Write = partial(_write_answers, has_book=has_book, quiet=quiet)
    if form is not OutputForm.PARQUET:
        write = partial(pack_lines, form)
    return MadeOutput(target=target, write=write)


def _packing_of(target: Path | None) -> OutputForm | None:
    """Return how the suffix asks for lines to be packed. Raises UsageError for a packed list."""
    form = form_of_suffix(target)
    if target is None or form in (None, OutputForm.PARQUET):
        return None
    inner = Path(target.stem).suffix.lower()
    if inner in _INNER:
        raise UsageError(
            f"-o {target}: finops packs lines of JSON, not {inner}",
            f"give -o {Path(target.stem).stem}.jsonl{target.suffix}, or -o {target.stem}",
        )
    return form


def _write_answers(lines: Iterable[bytes], out: BinaryIO, *, has_book: bool, quiet: bool) -> None:
    from finops_cli.views.exports.parquet_file import write_answers

    for text in write_answers(lines, out, has_book=has_book):
        if not quiet:
            typer.echo(wrap_label("output", text), err=True)


def choose_verdict_writer(output: str | None) -> Write | None:
    """Return what writes the verdicts of `finops check` as the suffix says; None: plain lines.

    Raises UsageError, MissingPiece without pyarrow.
    """
    from finops_cli.views.exports.parquet_file import write_verdicts

    target = path_or_standard(output)
    form = form_of_suffix(target)
    if form is None or target is None:
        return None
    refuse_without_pyarrow(form, target)
    return write_verdicts if form is OutputForm.PARQUET else partial(pack_lines, form)


def refuse_made_form(output: str | None, command: str) -> None:
    """Raise UsageError where a command that writes plain lines alone is asked for another form."""
    form = form_of_suffix(output)
    if form is not None:
        raise UsageError(
            f"-o {output}: finops {command} writes plain lines, and the suffix says {form}",
            "give -o out.jsonl",
        )
