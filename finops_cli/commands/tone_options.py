"""Opens the backend that reads the tone of notes, for `finops run --sentiment`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from finops_cli.commands.options import is_typed
from finops_cli.commands.run_options import tone_of

if TYPE_CHECKING:
    from finops_cli.commands.run_options import ModelOptions
    from finops_cli.kb.rulebook import KnowledgeBase
    from finops_cli.pipeline.sentiment.tone import ToneReader


def tone_bytes(models: ModelOptions) -> int:
    """Estimate the memory of the model file of --sentiment, which stays loaded during a run; 0
    where no model file may be asked.
    """
    from finops_cli.models.backends import AUTO

    wanted = tone_of(models)
    if wanted not in (AUTO, "llama-cpp"):
        return 0
    from finops_cli.models.bundled import model_files
    from finops_cli.models.llama_cpp.connect import needed_bytes
    from finops_cli.models.sentiment.classifier import STAGE

    path = getattr(models, "sentiment_gguf", None)
    if path is None and wanted == "llama-cpp":
        path = model_files((STAGE,)).get(STAGE)
    return needed_bytes({STAGE: path}) if path is not None and path.is_file() else 0


def open_tone(
    context: typer.Context,
    models: ModelOptions,
    kb: KnowledgeBase,
    *,
    backend: str,
    is_quiet: bool,
) -> ToneReader | None:
    """Open the backend of --sentiment, and report which one `auto` took; None where not asked.

    `backend` answers the fails: its servers are those of the tone too, unless they have another
    protocol.
    """
    from finops_cli.commands.run_options import RunModelOptions

    if not isinstance(models, RunModelOptions) or models.sentiment is None:
        return None
    from finops_cli.commands.run_summary import wrap_label
    from finops_cli.models.backends import AUTO
    from finops_cli.models.sentiment.backends import select_classifier
    from finops_cli.models.sentiment.request import SentimentRequest
    from finops_cli.pipeline.sentiment.tone import ToneReader

    of_openai = models.sentiment == "openai"
    asks_server = (
        of_openai
        or models.sentiment == "ollama"
        or (models.sentiment == AUTO and backend != "openai")
    )
    request = SentimentRequest(
        backend=models.sentiment,
        hosts=tuple(models.hosts or ()) if asks_server else (),
        api_key_file=models.api_key_file if of_openai else None,
        api=models.api if of_openai else None,
        model=models.sentiment_model,
        gguf=models.sentiment_gguf,
        timeout=models.timeout,
        gguf_is_from_environment=not is_typed(context, "sentiment_gguf"),
    )
    selected = select_classifier(request, kb)
    origin = selected.classifier.origin
    is_silent = models.sentiment != AUTO or (is_quiet and not origin.is_model)
    chosen = [] if is_silent else [f"{origin.name} ({selected.why})"]
    for text in (*chosen, *selected.notices):
        typer.echo(wrap_label("sentiment", text), err=True)
    return ToneReader(selected.classifier, kb)


def report_tone(tone: ToneReader | None) -> None:
    """Report once on stderr that the baseline answered for the model of the tone, and why."""
    from finops_cli.commands.run_summary import wrap_label

    note = "" if tone is None else tone.describe_fallbacks()
    if note:
        typer.echo(wrap_label("sentiment", note), err=True)
