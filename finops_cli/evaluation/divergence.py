"""How far one distribution is from another (kb: `drift.*`)."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Context, Decimal

_EXACT = Context(prec=34)
_MILLIONTH = Decimal("0.000001")


def divergence(now: Counter[str], baseline: Counter[str], smoothing: Decimal) -> Decimal:
    """Kullback-Leibler divergence of `now` from `baseline` in nats, to six decimals. Every value of either side gets `smoothing` on both."""
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
