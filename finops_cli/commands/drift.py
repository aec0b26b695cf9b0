"""`finops drift`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.options import AsJson, kb_dir_of

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="The output of a run, or the folder of an evaluation.")
]
Baseline = Annotated[
    Path,
    typer.Option("--baseline", "-b", metavar="PATH", help="Run or evaluation to compare with."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        metavar="NATS",
        help="Divergence that is drift; kb drift.threshold when absent.",
    ),
]
WindowSize = Annotated[
    int | None,
    typer.Option(
        "--window",
        min=0,
        metavar="N",
        help="Records of a window, 2 or more; 0 for the whole alone; kb drift.window when absent.",
    ),
]


def drift(
    context: typer.Context,
    run: Run,
    baseline: Baseline,
    threshold: Threshold = None,
    window: WindowSize = None,
    as_json: AsJson = False,
) -> None:
    """Hold answers and inputs of a run against a baseline."""
    from finops_cli.evaluation.drift import drift as held_against
    from finops_cli.evaluation.drift_dimensions import read_features
    from finops_cli.evaluation.reports.text_report import drift_text
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value

    settings = load_kb(kb_dir_of(context)).evaluation
    allowed = settings.drift_threshold if threshold is None else Decimal(str(threshold))
    size = settings.drift_window if window is None else window
    found = held_against(read_features(run), read_features(baseline), size, allowed, settings)
    typer.echo(encode_value(found) if as_json else drift_text(found))
    if found.drifted:
        raise typer.Exit(1)
