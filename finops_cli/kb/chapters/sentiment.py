"""The settings of sentiment: limits, splits, and the baseline (kb: `sentiment.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from finops_cli.errors import KnowledgeError
from finops_cli.kb.compiler import Compiler

_ROWS = ("train", "calibration", "test", "calibration_pct", "test_pct")
_CLASSIFIER = ("steps", "batch", "warmup_steps", "max_tokens", "rate_millionths", "seed")
_VARIATIONS = ("swap_pct", "dropout_pct")
_BASELINE = ("features", "min_rows", "penalty", "iterations", "dropout_pct", "seed")


class SentimentSettings(Struct, frozen=True, eq=False, kw_only=True):
    """When an answer is uncertain, and how classifiers are trained."""

    low_confidence: Decimal
    """Probability from 0 to 1."""
    rows: Mapping[str, int]
    """Sentences of each split, and percent of a user's texts."""
    baseline: Mapping[str, int]
    variations: Mapping[str, int]
    """How often words of training rows are changed and left out, in percent."""
    classifier: Mapping[str, int]
    """How a DistilBERT is trained."""


def compile_sentiment(c: Compiler) -> SentimentSettings:
    """Compile the entries. Raises KnowledgeError for a limit or splits out of their range."""
    low = c.number("sentiment.low_confidence")
    if not 0 <= low <= 1:
        raise KnowledgeError("kb entry sentiment.low_confidence: expected a value from 0 to 1")
    rows = c.wholes("sentiment.rows", _ROWS)
    if rows["calibration_pct"] + rows["test_pct"] > _MOST_PCT:
        raise KnowledgeError(
            f"kb entry sentiment.rows: calibration_pct and test_pct leave no texts to learn from."
            f" Expected at most {_MOST_PCT} together."
        )
    return SentimentSettings(
        low_confidence=low,
        rows=rows,
        baseline=c.wholes("sentiment.baseline", _BASELINE),
        variations=c.wholes("sentiment.variations", _VARIATIONS),
        classifier=c.wholes("sentiment.classifier", _CLASSIFIER),
    )


_MOST_PCT = 90
