"""Fit the temperature of a sentiment model on the calibration split."""

from __future__ import annotations

from pathlib import Path

from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import ModelError
from finops_cli.models.sentiment import llama_cpp, transformers
from finops_cli.models.sentiment.calibration import fit_temperature
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.sentiment.model_calibration import ModelCalibration, write_calibration
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.parallel import in_threads
from finops_cli.training.sentiment.examples import LabelledSource


def fit_model(
    model: Path, adapter: Path | None, source: LabelledSource, kb: KnowledgeBase
) -> ModelCalibration:
    """Ask a model about the calibration split, and write its temperature beside it.

    `model` is a GGUF file or a folder. The temperature of an adapter is written into its folder.
    Raises UsageError for a model that cannot be used, MissingPiece without a package.
    """
    rows = source.rows["calibration"]
    if model.is_dir():
        request = SentimentRequest(backend="transformers", folder=model, adapter=adapter)
        classifier, _ = transformers.open_classifier(request, kb)
    else:
        request = SentimentRequest(backend="llama-cpp", gguf=model)
        classifier, _ = llama_cpp.open_classifier(request, kb)
    try:
        classifier.prepare(STAGE)
        texts = [row.text for row in rows]
        logits = list(in_threads(classifier.logits, texts, classifier.concurrency))
    except ModelError as failure:
        raise UsageError(f"{model}: {failure}", failure.cure) from failure
    finally:
        classifier.close()
    examples = [
        (given, LABELS.index(row.label)) for given, row in zip(logits, rows, strict=True) if given
    ]
    made = ModelCalibration(
        temperature=fit_temperature(examples),
        model_sha256=str((classifier.origin.digests or {})[STAGE]),
        rows=len(examples),
        data=source.name,
        data_sha256=source.sha256,
    )
    write_calibration(adapter or model, made)
    return made
