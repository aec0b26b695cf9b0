"""`finops book --follow`: prints the lines that each batch of changes on stdin changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finops_cli.commands.run_options import RunOptions
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.book.follow import Follower

Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="After the plan, read changes of the inventory from stdin, as --delta has them. An"
        " empty line ends a batch; each batch prints the lines that it changes, with `revision`.",
    ),
]


def refuse_unusable(options: RunOptions, certificate: Path | None, inventory: Path | None) -> None:
    """Raise UsageError for options that --follow cannot carry out."""
    if inventory is None:
        raise UsageError("--follow is given without --inventory", "give both or neither")
    if options.source == "-":
        raise UsageError(
            "--follow reads changes from stdin, and so do the fails", "give the fails as a file"
        )
    named = {
        "-o": options.output not in (None, "-"),
        "--resume": options.resume,
        "--certificate": certificate is not None,
        "--format": options.format_ not in ("auto", "jsonl"),
    }
    for name, is_given in named.items():
        if is_given:
            raise UsageError(
                f"--follow prints lines of JSON as they change; {name} cannot be given with it",
                f"leave {name} out, and redirect stdout for a file",
            )


def follow_changes(follower: Follower, *, is_quiet: bool) -> bool:
    """Print the changed lines of each batch on stdin; returns true if all are verified."""
    from finops_cli.book.follow import read_batches
    from finops_cli.files.jsonl import lines_of
    from finops_cli.pipeline.output import encode

    is_verified = True
    output = sys.stdout.buffer
    for batch in read_batches(lines_of(sys.stdin.buffer)):
        revision = follower.apply(batch)
        is_verified &= all(line.status == "ok" for line in revision.lines)
        output.write(b"".join(encode(line) for line in revision.lines))
        output.flush()
        if not is_quiet:
            typer.echo(
                f"revision {revision.number}: {revision.securities:,} securities planned again,"
                f" {len(revision.lines):,} lines changed",
                err=True,
            )
    return is_verified
