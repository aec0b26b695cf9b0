"""The options of `finops evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from finops_cli.commands.options import Overwrite, Quiet, Timing, Workers
from finops_cli.commands.sentiment_options import (
    BaselineFile,
    SentimentAdapter,
    SentimentDir,
    SentimentGguf,
    SentimentModel,
)
from finops_cli.commands.stage_option import STAGE_METAVAR, check_stage, complete_stage
from finops_cli.commands.usage_errors import BadChoice

Stages = Annotated[
    str,
    typer.Option(
        "--stage",
        metavar=STAGE_METAVAR,
        callback=check_stage,
        autocompletion=complete_stage,
        help="Stage to evaluate.",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--rows",
        min=1,
        max=10_000_000,
        metavar="N",
        help="Number of records (default: kb entry evaluate.rows, or all of --data).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed for the generated records. Equal seeds give equal records.",
    ),
]
AsProfile = Annotated[
    Literal["coverage", "market"],
    typer.Option(
        "--profile",
        metavar="NAME",
        show_default=False,
        help=(
            "Distribution of the generated records (default: coverage).\n\n\b\n"
            "coverage: each combination equally often\n"
            "market:   values and ages as in the SEC data\n"
        ),
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Records to use instead of generated ones: yours, or an eval split; JSON Lines, .gz,"
        " .zst or Parquet, a folder or a pattern of files.",
    ),
]
WithBaselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Compare with text classifiers on the same records (needs scikit-learn).",
    ),
]
Phrasebank = Annotated[
    Path | None,
    typer.Option(
        "--phrasebank",
        metavar="FILE",
        help="Your own copy of financial_phrasebank, with --stage sentiment.",
    ),
]

LearnFrom = Annotated[
    Literal["data", "generated"],
    typer.Option(
        "--learn-from",
        metavar="NAME",
        show_default=False,
        help=(
            "Texts from which the baselines learn, with\n--data or --phrasebank (default: data)."
            "\n\n\b\n"
            "data:      the train split of the file; its\n"
            "           test split is measured\n"
            "generated: sentences that finops makes; the\n"
            "           whole file is measured\n"
        ),
    ),
]


def _check_evaluated(name: str) -> str:
    from finops_cli.models.backends import backend_names
    from finops_cli.models.sentiment.backends import sentiment_backend_names

    names = list(dict.fromkeys([*backend_names(), *sentiment_backend_names()]))
    if name not in names:
        raise BadChoice(name, names)
    return name


EvaluatedBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        callback=_check_evaluated,
        show_default=False,
        help=(
            "Program that answers (default: auto).\n\n\b\n"
            "auto: the first of these that is ready\n"
            "ollama: models on Ollama servers\n"
            "openai: models on vLLM, SGLang ...\n"
            "llama-cpp: model files on this machine\n"
            "transformers: folders of models\n"
            "engine: the rules; for triage and resolver\n"
            "baseline: the classifier; for sentiment\n"
        ),
    ),
]
Folder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Folder for the report and the results."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """The subject of a measurement, its records, and the place of its report."""

    stage: Stages
    rows: Rows = None
    seed: Seed = 7
    profile: AsProfile = "coverage"
    data: Data = None
    output: Folder = Path("evaluation")
    backend: EvaluatedBackend = "auto"
    workers: Workers = None
    overwrite: Overwrite = False
    baselines: WithBaselines = True
    timing: Timing = True
    quiet: Quiet = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """The options that only the sentiment stage has."""

    phrasebank: Phrasebank = None
    learn_from: LearnFrom = "data"
    baseline: BaselineFile = None
    sentiment_model: SentimentModel = None
    sentiment_gguf: SentimentGguf = None
    sentiment_dir: SentimentDir = None
    sentiment_adapter: SentimentAdapter = None
