"""Writes what an importer yields: records to the output, everything else to stderr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.options import path_or_standard, refuse_too_few

if TYPE_CHECKING:
    from finops_cli.importers.stream import Item


def write_items(
    items: Iterator[Item],
    sources: Sequence[Path | None],
    output: str | None,
    *,
    overwrite: bool,
    min_records: int,
    quiet: bool,
) -> None:
    """Write records to the output and damage to stderr; exit with 1 if there was damage."""
    from finops_cli.domain.finding import Damage
    from finops_cli.files.safe_io import writing_whole
    from finops_cli.importers.stream import FileRead, Gap, Note, TableNotes

    records = rows = files = damaged = 0
    with writing_whole(path_or_standard(output), sources, overwrite) as out:
        for item in items:
            if isinstance(item, bytes):
                records += 1
                out.write(item + b"\n")
            elif isinstance(item, Damage):
                damaged += 1
                for problem in item.problems:
                    typer.echo(f"{item.file}:{item.line}: {problem.message}", err=True)
            elif isinstance(item, Gap):
                typer.echo(
                    f"no file has a row between {item.after} and {item.before}: ages do not count"
                    " the days between",
                    err=True,
                )
            elif isinstance(item, TableNotes) and not quiet:
                for note in item.notes:
                    typer.echo(f"{item.file}: {note}", err=True)
            elif isinstance(item, Note):
                if not (quiet and item.is_summary):
                    typer.echo(f"{item.file}: {item.text}", err=True)
            elif isinstance(item, FileRead):
                rows, files = rows + item.rows, files + 1
    if not quiet:
        typer.echo(
            f"records {records:,}  rows {rows:,}  files {files:,}  damaged lines {damaged:,}",
            err=True,
        )
    refuse_too_few(records, min_records, output)
    if damaged:
        raise typer.Exit(1)
