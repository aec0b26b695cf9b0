"""`finops compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.options import AsJson, kb_folder

First = Annotated[Path, typer.Argument(metavar="A", help="The folder of an evaluation.")]
Second = Annotated[
    Path, typer.Argument(metavar="B", help="The folder of another one, of the same records.")
]


def compare(context: typer.Context, first: First, second: Second, as_json: AsJson = False) -> None:
    """Tell whether two evaluations differ by more than chance."""
    from finops_cli.evaluation.compare import compared
    from finops_cli.evaluation.comparison_text import comparison_text
    from finops_cli.evaluation.folder import finished
    from finops_cli.evaluation.outcomes import outcomes_in
    from finops_cli.kb.load import load_book
    from finops_cli.pipeline.lines import encode_value

    book = load_book(kb_folder(context)).evaluation
    comparison = compared(outcomes_in(finished(first)), outcomes_in(finished(second)), book)
    typer.echo(
        encode_value(comparison)
        if as_json
        else comparison_text(comparison, str(first), str(second))
    )
