"""How far one distribution is from another (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Context, Decimal

_EXACT = Context(prec=34)
_MILLIONTH = Decimal("0.000001")


def divergence(now: Counter[str], baseline: Counter[str], smoothing: Decimal) -> Decimal:
    """Kullback-Leibler divergence of `now` from `baseline` in nats, to six decimals.

    Every value of either side gets `smoothing` on both.
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
    """How far two samples of the same diverge on average, in nats (kb: `drift.window`): (k - 1)/2
    (1/n + 1/m) of k values.
    """
    n, m = now.total(), baseline.total()
    if not n or not m:
        return Decimal(0)
    free = len({*now, *baseline}) - 1
    return _EXACT.divide(free * (n + m), 2 * n * m).quantize(_MILLIONTH, ROUND_HALF_UP)
