"""`finops check`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, BinaryIO, Optional

import typer

from finops_cli.commands.options import Output, Quiet, kb_folder, path_or_standard

Outputs = Annotated[str, typer.Argument(metavar="OUTPUTS.jsonl", help="Output lines of anything; - for stdin.")]
Fails = Annotated[
    Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
    typer.Option("--fails", metavar="FAILS.jsonl", help="The fails that a run's output answers, to check against them."),
]


def check(context: typer.Context, source: Outputs, output: Output = None, fails: Fails = None, quiet: Quiet = False) -> None:
    """Judge outputs of anything; name every violated rule."""
    from finops_cli.commands.summary import counts
    from finops_cli.kb.load import load_book
    from finops_cli.pipeline.blotter import lines_of
    from finops_cli.pipeline.check import judge
    from finops_cli.pipeline.lines import encode

    book = load_book(kb_folder(context))
    violations: Counter[str] = Counter()
    judged = wrong = 0
    with ExitStack() as stack:
        lines = (line for line, _ in lines_of(stack.enter_context(_reading(source))))
        inputs = None
        if fails is not None:
            inputs = (line for line, _ in lines_of(stack.enter_context(_reading(fails))))
        target = path_or_standard(output)
        written: BinaryIO = sys.stdout.buffer if target is None else stack.enter_context(target.open("wb"))
        for verdict in judge(lines, book, inputs):
            written.write(encode(verdict))
            judged += 1
            wrong += not verdict.ok
            violations.update(finding.rule for finding in verdict.findings)
        written.flush()
    if not quiet:
        typer.echo(f"{'checked':<12} {judged:,} lines: {judged - wrong:,} good, {wrong:,} with findings", err=True)
        if violations:
            typer.echo(counts("violations", violations), err=True)
    if wrong:
        raise typer.Exit(1)


@contextmanager
def _reading(name: str) -> Iterator[BinaryIO]:
    from finops_cli.errors import UsageError

    path = path_or_standard(name)
    if path is None:
        yield sys.stdin.buffer
        return
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a JSONL file, or - for stdin")
    with path.open("rb") as file:
        yield file
