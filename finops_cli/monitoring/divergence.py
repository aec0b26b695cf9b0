"""How far a distribution is from a baseline (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Context, Decimal

_EXACT = Context(prec=34)
_MILLIONTH = Decimal("0.000001")


def divergence(now: Counter[str], baseline: Counter[str], smoothing: Decimal) -> Decimal:
    """Compute the Kullback-Leibler divergence of `now` from `baseline`, in nats, to six decimals.

    `smoothing` is added to the count of each value on both sides.
    """
    values = sorted({*now, *baseline})
    if not values:
        return Decimal(0)
    added = smoothing * len(values)
    total = Decimal(0)
    for value in values:
        p = _EXACT.divide(now[value] + smoothing, now.total() + added)
        q = _EXACT.divide(baseline[value] + smoothing, baseline.total() + added)
        total = _EXACT.add(total, _EXACT.multiply(p, _EXACT.ln(_EXACT.divide(p, q))))
    return max(Decimal(0), total).quantize(_MILLIONTH, ROUND_HALF_UP)


def by_chance(now: Counter[str], baseline: Counter[str]) -> Decimal:
    """Compute the average divergence of two samples of the same distribution, in nats.

    It is (k - 1)/2 (1/n + 1/m) for k values (kb: `drift.window`).
    """
    n, m = now.total(), baseline.total()
    if not n or not m:
        return Decimal(0)
    free = len({*now, *baseline}) - 1
    return _EXACT.divide(free * (n + m), 2 * n * m).quantize(_MILLIONTH, ROUND_HALF_UP)
