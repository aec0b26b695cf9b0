"""Measure a baseline on the test split, which neither training nor calibration has seen."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.domain.sentiment import sentiment_of
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
