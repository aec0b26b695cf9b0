"""Measure a classifier on the test split, which neither training nor calibration has seen."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.sentiment import LABELS, sentiment_of
from finops_cli.models.sentiment.calibration import calibration_error
from finops_cli.models.sentiment.tfidf import Tfidf, TfidfFile
from finops_cli.training.sentiment.examples import LabelledSource


class BaselineReport(Struct, frozen=True, kw_only=True):
    """A trained baseline. Accuracy and calibration error are null without a test split."""

    file: str
    rows: dict[str, int]
    data: str
    data_sha256: str
    features: int
    temperature: Decimal
    accuracy_pct: Decimal | None
    calibration_error: Decimal | None
    """Mean gap between confidence and accuracy, from 0 to 1."""


class ClassifierReport(Struct, frozen=True, kw_only=True):
    """A trained network. Accuracy and calibration error are null without a test split."""

    folder: str
    rows: dict[str, int]
    data: str
    data_sha256: str
    parameters: int
    temperature: Decimal
    accuracy_pct: Decimal | None
    calibration_error: Decimal | None
    """Mean gap between confidence and accuracy, from 0 to 1."""


def measure_probabilities(
    probabilities: Sequence[Sequence[float]],
    source: LabelledSource,
    *,
    file: str,
    size: int,
    temperature: float,
) -> ClassifierReport:
    """Count from the calibrated probabilities of the test split, in the order of LABELS."""
    answers = []
    for row, found in zip(source.rows["test"], probabilities, strict=True):
        best = max(range(len(LABELS)), key=found.__getitem__)
        answers.append((found[best], LABELS[best] == row.label))
    right = sum(is_right for _, is_right in answers)
    return ClassifierReport(
        folder=file,
        rows={split: len(rows) for split, rows in source.rows.items()},
        data=source.name,
        data_sha256=source.sha256,
        parameters=size,
        temperature=Decimal(str(temperature)),
        accuracy_pct=round(Decimal(100 * right) / len(answers), 1) if answers else None,
        calibration_error=calibration_error(answers),
    )


def measure_tfidf(model: TfidfFile, source: LabelledSource, file: str) -> BaselineReport:
    """Label the test split and count."""
    tfidf = Tfidf(model)
    answers: list[tuple[float, bool]] = []
    for row in source.rows["test"]:
        found = sentiment_of(tfidf.scores(row.text))
        answers.append((float(found.confidence or 0), found.label == row.label))
    right = sum(is_right for _, is_right in answers)
    return BaselineReport(
        file=file,
        rows={split: len(rows) for split, rows in source.rows.items()},
        data=source.name,
        data_sha256=source.sha256,
        features=len(model.features),
        temperature=Decimal(str(model.temperature)),
        accuracy_pct=round(Decimal(100 * right) / len(answers), 1) if answers else None,
        calibration_error=calibration_error(answers),
    )
