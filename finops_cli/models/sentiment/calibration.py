"""Temperature scaling: probabilities that mean what they say.

One number divides the logits of a model (Guo and others, 2017). It is fitted on the calibration
split alone, and changes no label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

_LOWEST, _HIGHEST, _STEPS = 0.05, 20.0, 60
"""60 halvings of the range of 1 / T leave far less than the four digits that are kept."""
_CLOSE = 1e-7
"""A step that is a smaller part of 1 / T ends the search."""
_BINS = 10

Example = tuple[Sequence[float], int]
"""The logits of a text, and the place of its right label."""


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return the probabilities of `logits` at a temperature above 0."""
    top = max(logits)
    weights = [math.exp((value - top) / temperature) for value in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def fit_temperature(examples: Sequence[Example]) -> float:
    """Return the temperature with the smallest log loss, to four digits. No examples: 1."""
    return _round(1 / _fit_sharpness(examples))


def fit_general_temperature(examples: Sequence[Example], groups: Sequence[str]) -> float:
    """Return the fitted temperature where it suits groups that have no part in it, else 1.

    `groups`: the group of each example, such as its template. Each group is labelled with the
    temperature of all the others: one step of Newton's method from the temperature of all. A few
    groups that are wrong as a whole can move that, and then 1 has a smaller log loss on the others.
    """
    sharpness = _fit_sharpness(examples)
    members: dict[str, list[Example]] = {}
    for example, group in zip(examples, groups, strict=True):
        members.setdefault(group, []).append(example)
    parts = [(mine, _differentiate(mine, sharpness)) for mine in members.values()]
    slope, curve = sum(part.slope for _, part in parts), sum(part.curve for _, part in parts)
    held_out = 0.0
    for mine, part in parts:
        rest = curve - part.curve
        other = sharpness - (slope - part.slope) / rest if rest > 0 else 1.0
        held_out += _loss(mine, min(max(other, 1 / _HIGHEST), 1 / _LOWEST))
    return _round(1 / sharpness) if held_out < _loss(examples, 1.0) else 1.0


class _Derivatives(NamedTuple):
    """The first and the second derivative of the log loss by the sharpness, 1 / T."""

    slope: float
    curve: float


def _fit_sharpness(examples: Sequence[Example]) -> float:
    """Find the sharpness, 1 / T, with the smallest log loss.

    The loss has one minimum, which Newton's method finds. A step that leaves the range of the
    minimum, or is not half of the step before, is replaced by a halving of this range.
    """
    low, high, place = 1 / _HIGHEST, 1 / _LOWEST, 1.0
    before = high - low
    for _ in range(_STEPS):
        slope, curve = _differentiate(examples, place)
        if not slope:
            break
        low, high = (low, place) if slope > 0 else (place, high)
        step = place - slope / curve if curve > 0 else high
        if abs(step - place) <= _CLOSE * place:
            break
        if not low < step < high or abs(step - place) > before / 2:
            step = (low + high) / 2
        before = abs(step - place)
        place = step
    return place


def _differentiate(examples: Sequence[Example], sharpness: float) -> _Derivatives:
    slope = curve = 0.0
    for logits, right in examples:
        top = max(logits)
        total = mean = square = 0.0
        for value in logits:
            gap = value - top
            weight = math.exp(gap * sharpness)
            total += weight
            mean += weight * gap
            square += weight * gap * gap
        mean /= total
        slope += mean - (logits[right] - top)
        curve += square / total - mean * mean
    return _Derivatives(slope, curve)


def _loss(examples: Sequence[Example], sharpness: float) -> float:
    loss = 0.0
    for logits, right in examples:
        top = max(logits)
        total = sum([math.exp((value - top) * sharpness) for value in logits])
        loss += math.log(total) - (logits[right] - top) * sharpness
    return loss


def _round(temperature: float) -> float:
    return float(f"{temperature:.4g}")


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
