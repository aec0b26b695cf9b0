"""`finops compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, kb_dir_of

_EVALUATIONS = tuple(
    f"finops evaluate --stage triage --backend engine -n 40 --no-baselines -q -o {folder}"
    for folder in ("small", "large")
)
First = Annotated[Path, typer.Argument(metavar="A", help="Folder of an evaluation.")]
Second = Annotated[
    Path, typer.Argument(metavar="B", help="Folder of another evaluation of the same records.")
]


@show_examples(
    Example("finops compare small large", after=_EVALUATIONS),
    Example("finops compare small large --json", after=_EVALUATIONS),
)
def compare(context: typer.Context, first: First, second: Second, as_json: AsJson = False) -> None:
    """Show whether two evaluations differ by more than chance."""
    from finops_cli.evaluation.compare import compare
    from finops_cli.evaluation.outcomes import read_outcomes
    from finops_cli.evaluation.reports.text_report import comparison_text
    from finops_cli.evaluation.results_dir import require_finished
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value

    settings = load_kb(kb_dir_of(context)).evaluation
    comparison = compare(
        read_outcomes(require_finished(first)), read_outcomes(require_finished(second)), settings
    )
    typer.echo(
        encode_value(comparison)
        if as_json
        else comparison_text(comparison, str(first), str(second))
    )
