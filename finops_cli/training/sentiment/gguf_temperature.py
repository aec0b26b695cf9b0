"""Fit the temperature of a sentiment model file on the calibration split."""

from __future__ import annotations

from pathlib import Path

import msgspec

from finops_cli.domain.sentiment import LABELS
from finops_cli.errors import UsageError
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.failures import ModelError
from finops_cli.models.sentiment.calibration import fit_temperature
from finops_cli.models.sentiment.classifier import STAGE
from finops_cli.models.sentiment.gguf_calibration import GgufCalibration, calibration_path
from finops_cli.models.sentiment.llama_cpp import open_classifier
from finops_cli.models.sentiment.request import SentimentRequest
from finops_cli.parallel import in_threads
from finops_cli.training.sentiment.examples import LabelledSource


def fit_gguf(gguf: Path, source: LabelledSource, kb: KnowledgeBase) -> GgufCalibration:
    """Ask the model about the calibration split, and write its temperature beside the file.

    Raises UsageError for a file that cannot be used, MissingPiece without llama-cpp-python.
    """
    rows = source.rows["calibration"]
    classifier, _ = open_classifier(SentimentRequest(backend="llama-cpp", gguf=gguf), kb)
    try:
        classifier.prepare(STAGE)
        texts = [row.text for row in rows]
        logits = list(in_threads(classifier.logits, texts, classifier.concurrency))
    except ModelError as failure:
        raise UsageError(f"{gguf}: {failure}", failure.cure) from failure
    finally:
        classifier.close()
    examples = [
        (given, LABELS.index(row.label)) for given, row in zip(logits, rows, strict=True) if given
    ]
    made = GgufCalibration(
        temperature=fit_temperature(examples),
        model_sha256=str((classifier.origin.digests or {})[STAGE]),
        rows=len(examples),
        data=source.name,
        data_sha256=source.sha256,
    )
    calibration_path(gguf).write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    return made
