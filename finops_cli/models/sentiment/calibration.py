"""Temperature scaling: probabilities that mean what they say.

One number divides the logits of a model (Guo and others, 2017). It is fitted on the calibration
split alone, and changes no label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

_LOWEST, _HIGHEST, _STEPS = 0.05, 20.0, 40
"""40 steps leave a ten-millionth of the range, far below the four digits that are kept."""
_BINS = 10


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return the probabilities of `logits` at a temperature above 0."""
    top = max(logits)
    weights = [math.exp((value - top) / temperature) for value in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def fit_temperature(examples: Sequence[tuple[Sequence[float], int]]) -> float:
    """Return the temperature with the smallest log loss, to four digits.

    `examples` are logits with the place of the right label. The loss has one minimum in 1 / T, so
    a golden-section search over the logarithm finds it. No examples: 1.
    """
    if not examples:
        return 1.0
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = (_loss(examples, math.exp(place)) for place in (left, right))
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = _loss(examples, math.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = _loss(examples, math.exp(right))
    return float(f"{math.exp((low + high) / 2):.4g}")


def _loss(examples: Sequence[tuple[Sequence[float], int]], temperature: float) -> float:
    return -sum(
        math.log(max(softmax(logits, temperature)[place], 1e-300)) for logits, place in examples
    )


def calibration_error(answers: Iterable[tuple[float, bool]]) -> Decimal | None:
    """Return the mean gap between confidence and accuracy, weighted by ten bins of confidence.

    `answers` are confidences, with true where the label is right. None without answers.
    """
    bins: list[tuple[int, float, int]] = [(0, 0.0, 0)] * _BINS
    total = 0
    for confidence, is_right in answers:
        place = min(_BINS - 1, int(confidence * _BINS))
        count, mass, right = bins[place]
        bins[place] = (count + 1, mass + confidence, right + is_right)
        total += 1
    if not total:
        return None
    gap = sum(abs(mass - right) for _, mass, right in bins)
    return round(Decimal(gap / total), 4)
