"""`finops train --stage sentiment` with `--kind tfidf`, `distilbert` or `calibration`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from finops_cli.commands.options import is_typed, kb_dir_of
from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.training.sentiment.examples import LabelledSource
    from finops_cli.training.sentiment.measure import BaselineReport, ClassifierReport

_SHOWN_EVERY = 50
_TAKEN = ("stage", "kind", "data", "output", "overwrite", "as_json", "quiet")
_TAKEN_BY_DISTILBERT = (*_TAKEN, "base", "max_steps")
_TAKEN_BY_CALIBRATION = ("stage", "kind", "base", "adapter", "data", "as_json", "quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentTraining:
    """The options of `finops train` for the kinds that only the sentiment stage has."""

    stage: str
    base: Path | None
    adapter: Path | None
    data: Path | None
    max_steps: int | None
    output: Path | None
    overwrite: bool
    as_json: bool
    quiet: bool


def train_sentiment(
    context: typer.Context,
    kind: Literal["llm", "tfidf", "distilbert", "calibration"],
) -> None:
    """Train the baseline or a DistilBERT, or fit the temperature of a model."""
    given = {field.name: context.params[field.name] for field in fields(SentimentTraining)}
    wanted = SentimentTraining(**given)
    if kind == "llm":
        raise UsageError("--adapter goes with --kind calibration", "leave --adapter out")
    if kind == "calibration":
        _calibrate_model(context, wanted)
    elif kind == "distilbert":
        _train_classifier(context, wanted)
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
    typer.echo(
        encode_value(measured)
        if wanted.as_json
        else _render(measured, "features", measured.features)
    )


def _train_classifier(context: typer.Context, wanted: SentimentTraining) -> None:
    """Train a DistilBERT on the processor, save it, and print how good it is."""
    from finops_cli.files.safe_io import refuse_to_replace
    from finops_cli.kb.load import load_kb
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.sentiment.distilbert import (
        ClassifierTraining,
        refuse_unusable_base,
        train_classifier,
    )

    _refuse_options(context, wanted.stage, "distilbert", _TAKEN_BY_DISTILBERT)
    base = refuse_unusable_base(wanted.base)
    default = Path("runs") / wanted.stage / "distilbert"
    folder = wanted.output if wanted.output is not None else default
    refuse_to_replace(folder / "config.json", wanted.overwrite)
    kb = load_kb(kb_dir_of(context))
    training = ClassifierTraining(base, folder, _open_source(wanted.data, kb), wanted.max_steps)

    def show(step: int, steps: int, loss: float) -> None:
        if not wanted.quiet and (step % _SHOWN_EVERY == 0 or step == steps):
            shown = f"{step:,} of {steps:,} steps, loss {loss:.3f}"
            typer.echo(wrap_label("training", shown), err=True)

    measured = train_classifier(training, kb, show)
    if not wanted.quiet:
        use = f"{folder}; use it with --backend transformers --sentiment-dir {folder}"
        typer.echo(wrap_label("model", use), err=True)
    typer.echo(
        encode_value(measured)
        if wanted.as_json
        else _render(measured, "parameters", measured.parameters)
    )


def _calibrate_model(context: typer.Context, wanted: SentimentTraining) -> None:
    """Fit the temperature of a model, and write it beside the file or into the folder."""
    from finops_cli.kb.load import load_kb
    from finops_cli.models.sentiment.model_calibration import calibration_path
    from finops_cli.pipeline.output import encode_value
    from finops_cli.training.sentiment.model_temperature import fit_model

    _refuse_options(context, wanted.stage, "calibration", _TAKEN_BY_CALIBRATION)
    base = wanted.base
    if base is None:
        raise UsageError(
            "--kind calibration needs a model", "give it with --base FILE.gguf or --base DIR"
        )
    kb = load_kb(kb_dir_of(context))
    made = fit_model(base, wanted.adapter, _open_source(wanted.data, kb), kb)
    place = calibration_path(wanted.adapter or base)
    shown = f"temperature {made.temperature} of {made.rows:,} texts: {place}"
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


def _render(report: BaselineReport | ClassifierReport, what: str, size: int) -> str:
    lines = [
        wrap_label("rows", f"train {report.rows['train']:,}  calibration"
                   f" {report.rows['calibration']:,}  test {report.rows['test']:,}"),
        wrap_label(what, f"{size:,}"),
        wrap_label("temperature", f"{report.temperature}"),
    ]  # fmt: skip
    if report.accuracy_pct is not None:
        lines += [
            wrap_label("accuracy", f"{report.accuracy_pct} % of the test split"),
            wrap_label("calibration", f"expected error {report.calibration_error}"),
        ]
    return "\n".join(lines)
