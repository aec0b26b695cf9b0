"""`finops drift`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from finops_cli.commands.help_examples import Example, show_examples
from finops_cli.commands.options import AsJson, kb_dir_of

_RUNS = (
    "finops run examples/monday.jsonl -q -o monday.jsonl",
    "finops run examples/monday.jsonl -q -o today.jsonl",
)
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="Output of a run, or the folder of an evaluation.")
]
Baseline = Annotated[
    Path,
    typer.Option(
        "--baseline",
        "-b",
        metavar="PATH",
        help="Earlier output of a run, or folder of an evaluation, to compare with.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        metavar="NATS",
        help="Divergence above which finops reports drift (default: kb entry drift.threshold).",
    ),
]
WindowSize = Annotated[
    int | None,
    typer.Option(
        "--window",
        min=0,
        metavar="N",
        help=(
            "Number of records in a window, 2 or more; 0 compares the whole run alone (default:"
            " kb entry drift.window)."
        ),
    ),
]

Hooks = Annotated[
    Path | None,
    typer.Option(
        "--hooks",
        metavar="FILE",
        help="File (TOML) of commands and webhooks of this machine that get one event `drift` for"
        " each dimension that drifted.",
    ),
]


@show_examples(
    Example("finops drift today.jsonl -b monday.jsonl", after=_RUNS),
    Example("finops drift today.jsonl -b monday.jsonl --window 0 --json", after=_RUNS),
)
def drift(
    context: typer.Context,
    run: Run,
    baseline: Baseline,
    threshold: Threshold = None,
    window: WindowSize = None,
    as_json: AsJson = False,
    hooks: Hooks = None,
) -> None:
    """Compare the inputs and answers of a run with a baseline."""
    from finops_cli.commands.alarm_options import send_events
    from finops_cli.evaluation.drift import drift as held_against
    from finops_cli.evaluation.drift import drift_events
    from finops_cli.evaluation.drift_dimensions import read_features
    from finops_cli.evaluation.reports.text_report import drift_text
    from finops_cli.kb.load import load_kb
    from finops_cli.monitoring.hooks.hook_file import read_hooks
    from finops_cli.pipeline.output import encode_value

    kb = load_kb(kb_dir_of(context))
    settings = kb.evaluation
    allowed = settings.drift_threshold if threshold is None else Decimal(str(threshold))
    size = settings.drift_window if window is None else window
    receivers = () if hooks is None else read_hooks(hooks)
    found = held_against(read_features(run), read_features(baseline), size, allowed, settings)
    typer.echo(encode_value(found) if as_json else drift_text(found))
    send_events(drift_events(found), receivers, kb)
    if found.drifted:
        raise typer.Exit(1)
