"""`finops evaluate --stage sentiment`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finops_cli.commands.evaluation_options import EvaluationOptions, TextOptions
from finops_cli.commands.options import is_typed, kb_dir_of
from finops_cli.commands.run_options import ModelOptions
from finops_cli.commands.run_summary import wrap_label
from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.evaluation.run import Evaluation
    from finops_cli.models.sentiment.request import SentimentRequest

_NOT_TAKEN = (
    "profile",
    "resume",
    "triage_model",
    "resolver_model",
    "triage_gguf",
    "resolver_gguf",
    "triage_dir",
    "resolver_dir",
    "triage_adapter",
    "resolver_adapter",
    "prose",
    "executor",
    "ray",
    "gpus_per_model",
    "keep_parts",
)


def evaluate_texts(
    context: typer.Context, wanted: EvaluationOptions, texts: TextOptions, models: ModelOptions
) -> Evaluation:
    """Measure a sentiment backend on held-out texts. The folder is locked by the caller."""
    from finops_cli.evaluation.baselines import refuse_missing
    from finops_cli.evaluation.results_dir import begin_without_answers
    from finops_cli.evaluation.run import conclude_sentiment
    from finops_cli.evaluation.sentiment import evaluate_sentiment, open_source
    from finops_cli.kb.load import load_kb
    from finops_cli.models.sentiment.backends import select_classifier
    from finops_cli.pipeline.redaction import RequireGuard
    from finops_cli.pipeline.sentiment.pipeline import SentimentConfig

    if wanted.baselines:
        refuse_missing()
    kb = load_kb(kb_dir_of(context))
    data = _choose_data(wanted.data, texts)
    is_whole = texts.learn_from == "generated"
    source = open_source(data, wanted.rows, wanted.seed, kb, is_whole=is_whole)
    # nobody wrote the texts that finops made; a user's texts are masked
    guard = models.guard or ("off" if data is None else "require")
    request = _request(context, wanted, texts, models)
    selected = select_classifier(request, kb)
    config = SentimentConfig(
        kb_dir=kb_dir_of(context),
        timed=wanted.timing,
        guard=guard,
        keeps_raw=True,
        baseline=texts.baseline,
    )
    with closing(selected.classifier):
        pipeline = config.open_with(selected.classifier, kb)
        if isinstance(pipeline.redaction, RequireGuard):
            raise pipeline.redaction.refuse(str(data))
        if not wanted.quiet:
            shown = f"{selected.classifier.origin.name} ({selected.why})"
            typer.echo(wrap_label("backend", shown), err=True)
        begin_without_answers(wanted.output, wanted.overwrite)
        outcome = evaluate_sentiment(
            source,
            pipeline,
            wanted.output,
            wants_baselines=wanted.baselines,
            timed=wanted.timing,
        )
    return conclude_sentiment(outcome, source.name, pipeline, wanted.output)


def _request(
    context: typer.Context, wanted: EvaluationOptions, texts: TextOptions, models: ModelOptions
) -> SentimentRequest:
    from finops_cli.models.sentiment.request import SentimentRequest

    return SentimentRequest(
        backend=wanted.backend,
        hosts=tuple(models.hosts or ()),
        api_key_file=models.api_key_file,
        api=models.api,
        model=texts.sentiment_model,
        gguf=texts.sentiment_gguf,
        baseline=texts.baseline,
        folder=texts.sentiment_dir,
        adapter=texts.sentiment_adapter,
        load_in_4bit=models.load_in_4bit,
        timeout=models.timeout,
        workers=wanted.workers,
        gguf_is_from_environment=not is_typed(context, "sentiment_gguf"),
    )


def refuse_other_options(context: typer.Context) -> None:
    """Raise UsageError for an option that only other stages have."""
    for parameter in context.command.params:
        if parameter.name in _NOT_TAKEN and is_typed(context, str(parameter.name)):
            names = " or ".join([*parameter.opts, *parameter.secondary_opts])
            raise UsageError(f"--stage sentiment does not take {names}", f"remove {names}")


def _choose_data(data: Path | None, texts: TextOptions) -> Path | None:
    """Return the file of labelled texts.

    Raises UsageError for two of them, and for --learn-from generated without one.
    """
    if data is not None and texts.phrasebank is not None:
        raise UsageError("--data and --phrasebank exclude each other", "give one of them")
    chosen = data or texts.phrasebank
    if chosen is None and texts.learn_from == "generated":
        raise UsageError(
            "--learn-from generated needs --data or --phrasebank",
            "leave it out: without a file the baselines learn from generated sentences",
        )
    return chosen
