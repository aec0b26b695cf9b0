"""The sentiment of a text: one of three labels, with the probability of each."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, get_args

from msgspec import Struct

from finops_cli.domain.enums import Status

Label = Literal["positive", "neutral", "negative"]
LABELS: tuple[Label, ...] = get_args(Label)

ConfidenceSource = Literal["calibrated", "exact", "top_k", "none"]
"""How a confidence was had.

`calibrated`: of the baseline. `exact`: of the logits of the three labels. `top_k`: of the likeliest
first tokens that a server lists. `none`: the server lists none.
"""
Flag = Literal["low_confidence", "invalid_label", "truncated"]


class Scores(Struct, frozen=True):
    """The probability of each label, from 0 to 1 with four decimals; the sum is 1."""

    negative: Decimal
    neutral: Decimal
    positive: Decimal


class Sentiment(Struct, frozen=True, kw_only=True):
    """A label with its probability."""

    label: Label
    confidence: Decimal | None
    """The calibrated probability of the label among the three; null if it is not known."""
    scores: Scores | None
    """Null if the probabilities are not known."""


class Tone(Struct, frozen=True, kw_only=True):
    """The tone of the notes of a fail. It changes neither the score nor the status of the line."""

    sentiment: Sentiment | None
    """Null where no backend could read the notes."""
    flags: tuple[Flag, ...]
    status: Status
    """`ok`; `fallback`: the baseline answered for the model; `failed`: nobody answered."""
    source: ConfidenceSource
    backend: str
    model: str | None
    digest: str | None
    """SHA-256 of the model's file, or the digest of the server's model."""


_STEPS = 10_000
"""The last decimal of a probability is one part in this many."""


def scores_of(probabilities: dict[Label, float]) -> Scores:
    """Round three probabilities to four decimals, so that their sum is exactly 1.

    The largest remainders are rounded up. `probabilities` need not add up to 1: they are divided by
    their sum, which must be above 0.
    """
    total = sum(probabilities.values())
    exact = {label: _STEPS * probabilities[label] / total for label in LABELS}
    steps = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(LABELS, key=lambda label: steps[label] - exact[label])
    for label in by_remainder[: _STEPS - sum(steps.values())]:
        steps[label] += 1
    return Scores(**{label: Decimal(count) / _STEPS for label, count in steps.items()})


def sentiment_of(scores: Scores) -> Sentiment:
    """Return the most probable label. Of equal ones, the more careful comes first: negative."""
    label: Label = max(("negative", "neutral", "positive"), key=lambda name: getattr(scores, name))
    return Sentiment(label=label, confidence=getattr(scores, label), scores=scores)
