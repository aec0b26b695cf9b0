"""`finops train --stage sentiment` with `--kind tfidf` or `--kind calibration`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from finops_cli.commands.options import is_typed, kb_dir_of
from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.training.sentiment.examples import LabelledSource
    from finops_cli.training.sentiment.measure import BaselineReport

_TAKEN = ("stage", "kind", "data", "output", "overwrite", "as_json", "quiet")
_TAKEN_BY_CALIBRATION = ("stage", "kind", "base", "data", "as_json", "quiet")


@dataclass(frozen=True, slots=True)
class SentimentTraining:
    """The options of `finops train` for the kinds that only the sentiment stage has."""

    stage: str
    base: Path | None
    data: Path | None
    output: Path | None
    overwrite: bool
    as_json: bool
    quiet: bool


def train_sentiment(
    context: typer.Context, kind: Literal["tfidf", "calibration"], wanted: SentimentTraining
) -> None:
    """Train the baseline, or fit the temperature of a model file."""
    if kind == "calibration":
        _calibrate_model(context, wanted)
    else:
        _train_baseline(context, wanted)


def _train_baseline(context: typer.Context, wanted: SentimentTraining) -> None:
    """Train the baseline, write it, and print how good it is on texts that it has not seen."""
    from finops_cli.files.safe_io import refuse_to_replace
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.sentiment.measure import measure_tfidf
    from finops_cli.training.sentiment.tfidf import (
        MODEL_FILE,
        refuse_without_sklearn,
        train_tfidf,
        write_tfidf,
    )

    _refuse_options(context, wanted.stage, "tfidf", _TAKEN)
    refuse_without_sklearn()
    folder = wanted.output if wanted.output is not None else Path("runs") / wanted.stage / "tfidf"
    refuse_to_replace(folder / MODEL_FILE, wanted.overwrite)
    kb = load_kb(kb_dir_of(context))
    source = _open_source(wanted.data, kb)
    model = train_tfidf(source, kb)
    path = write_tfidf(model, folder)
    measured = measure_tfidf(model, source, str(path))
    if not wanted.quiet:
        typer.echo(wrap_label("model", f"{path}; use it with --baseline {path}"), err=True)
    typer.echo(encode_value(measured) if wanted.as_json else _render(measured))


def _calibrate_model(context: typer.Context, wanted: SentimentTraining) -> None:
    """Fit the temperature of a model file, and write it beside the file."""
    from finops_cli.kb.load import load_kb
    from finops_cli.models.sentiment.gguf_calibration import calibration_path
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.sentiment.gguf_temperature import fit_gguf

    _refuse_options(context, wanted.stage, "calibration", _TAKEN_BY_CALIBRATION)
    base = wanted.base
    if base is None:
        raise UsageError("--kind calibration needs a model file", "give it with --base FILE.gguf")
    kb = load_kb(kb_dir_of(context))
    made = fit_gguf(base, _open_source(wanted.data, kb), kb)
    shown = f"temperature {made.temperature} of {made.rows:,} texts: {calibration_path(base)}"
    typer.echo(encode_value(made) if wanted.as_json else wrap_label("calibration", shown))


def _open_source(data: Path | None, kb: KnowledgeBase) -> LabelledSource:
    from finops_cli.training.sentiment.examples import file_source, generated_source

    return generated_source(kb) if data is None else file_source(data, kb)


def _refuse_options(context: typer.Context, stage: str, kind: str, taken: tuple[str, ...]) -> None:
    if stage != "sentiment":
        raise UsageError(
            f"--kind {kind} goes with --stage sentiment, not with --stage {stage}",
            "leave --kind out, or give --stage sentiment",
        )
    for parameter in context.command.params:
        if parameter.name not in taken and is_typed(context, str(parameter.name)):
            names = " or ".join(parameter.opts)
            raise UsageError(f"--kind {kind} does not take {names}", f"remove {names}")


def _render(report: BaselineReport) -> str:
    lines = [
        wrap_label("rows", f"train {report.rows['train']:,}  calibration"
                   f" {report.rows['calibration']:,}  test {report.rows['test']:,}"),
        wrap_label("features", f"{report.features:,}"),
        wrap_label("temperature", f"{report.temperature}"),
    ]  # fmt: skip
    if report.accuracy_pct is not None:
        lines += [
            wrap_label("accuracy", f"{report.accuracy_pct} % of the test split"),
            wrap_label("calibration", f"expected error {report.calibration_error}"),
        ]
    return "\n".join(lines)
