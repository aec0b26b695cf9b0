"""The options of `finops sentiment`, and the backend that they choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finops_cli.commands.options import (
    ApiKeyFile,
    Hosts,
    KeepRaw,
    LoadIn4bit,
    ModelApi,
    Timeout,
    is_typed,
)
from finops_cli.commands.usage_errors import BadChoice
from finops_cli.domain.enums import GuardMode
from finops_cli.models.backends import AUTO

if TYPE_CHECKING:
    from finops_cli.models.sentiment.request import SentimentRequest

Texts = Annotated[
    str,
    typer.Argument(
        metavar="TEXTS",
        help="Texts: JSON Lines with `text`, a CSV or .xlsx file with a column of texts, also"
        " packed as .gz or .zip, or plain lines; - for stdin.",
    ),
]


def check_sentiment_backend(name: str) -> str:
    """Check a value of --backend against the table, which is loaded only here."""
    from finops_cli.models.sentiment.backends import sentiment_backend_names

    if name not in sentiment_backend_names():
        raise BadChoice(name, sentiment_backend_names())
    return name


SentimentBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        callback=check_sentiment_backend,
        show_default=False,
        help=(
            "Program that answers (default: auto).\n\n\b\n"
            f"{AUTO}: the first of these that is ready\n"
            "ollama: a model on Ollama servers\n"
            "openai: a model on vLLM, SGLang ...\n"
            "llama-cpp: a model file on this machine\n"
            "transformers: a folder of a model\n"
            "baseline: the text classifier that ships\n"
        ),
    ),
]
SentimentModel = Annotated[
    str | None,
    typer.Option(
        "--sentiment-model",
        metavar="NAME",
        help="Model of a server for sentiment (default: finops-sentiment).",
    ),
]
SentimentGguf = Annotated[
    Path | None,
    typer.Option(
        "--sentiment-gguf",
        envvar="FINOPS_SENTIMENT_GGUF",
        metavar="FILE",
        help="Model file (GGUF) for sentiment, with --backend llama-cpp.",
    ),
]
SentimentDir = Annotated[
    Path | None,
    typer.Option(
        "--sentiment-dir",
        metavar="DIR",
        help="Folder of a model for sentiment, with --backend transformers.",
    ),
]
SentimentAdapter = Annotated[
    Path | None,
    typer.Option(
        "--sentiment-adapter", metavar="DIR", help="PEFT adapter for the model of --sentiment-dir."
    ),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="Baseline model of `finops train --stage sentiment --kind tfidf` (default: the one"
        " that ships).",
    ),
]
Field = Annotated[
    str,
    typer.Option(
        "--field",
        metavar="NAME",
        help="Field or column that holds the text, such as notes of a fail record.",
    ),
]
Lines = Annotated[bool, typer.Option("--lines", help="Read each line as a text, not as JSON.")]
SplitOption = Annotated[
    Literal["none", "sentences"],
    typer.Option(
        "--split",
        metavar="NAME",
        show_default=False,
        help=(
            "Parts that are labelled on their own (default: none).\n\n\b\n"
            "none:      the whole text\n"
            "sentences: each sentence; the line has the\n"
            "           result weighted by words, and\n"
            "           the parts\n"
        ),
    ),
]
SentimentGuard = Annotated[
    GuardMode,
    typer.Option(
        "--guard",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of personal data in the texts\n(default: require).\n\n\b\n"
            "require: redact it; stop if the scanner is\n"
            "         not installed\n"
            "on:      redact it; label no text if the\n"
            "         scanner is not installed\n"
            "off:     leave the texts unchanged\n"
        ),
    ),
]
Unlabelled = Annotated[
    Literal["fallback", "reject"],
    typer.Option(
        "--on-violation",
        metavar="POLICY",
        show_default=False,
        help=(
            "Treatment of a reply that is not a label (default: fallback).\n\n\b\n"
            "fallback: let the baseline answer\n"
            "reject:   mark the text as failed\n"
        ),
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentOptions:
    """Which model labels the texts, and which part of the input they are."""

    field: Field = "text"
    lines: Lines = False
    split: SplitOption = "none"
    hosts: Hosts = None
    api_key_file: ApiKeyFile = None
    api: ModelApi = None
    sentiment_model: SentimentModel = None
    sentiment_gguf: SentimentGguf = None
    sentiment_dir: SentimentDir = None
    sentiment_adapter: SentimentAdapter = None
    load_in_4bit: LoadIn4bit = False
    baseline: BaselineFile = None
    on_violation: Unlabelled = "fallback"
    guard: SentimentGuard = "require"
    keep_raw: KeepRaw = False
    timeout: Timeout = None


def sentiment_request(
    context: typer.Context, backend: str, workers: int | None, options: SentimentOptions
) -> SentimentRequest:
    """Collect the options of a call that concern the backend."""
    from finops_cli.models.sentiment.request import SentimentRequest

    return SentimentRequest(
        backend=backend,
        hosts=tuple(options.hosts or ()),
        api_key_file=options.api_key_file,
        api=options.api,
        model=options.sentiment_model,
        gguf=options.sentiment_gguf,
        baseline=options.baseline,
        folder=options.sentiment_dir,
        adapter=options.sentiment_adapter,
        load_in_4bit=options.load_in_4bit,
        timeout=options.timeout,
        workers=workers,
        on_violation=options.on_violation,
        gguf_is_from_environment=not is_typed(context, "sentiment_gguf"),
    )
