"""Shares of counts with their intervals, and percentiles: exact or Decimal, the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

from msgspec import Struct

_EXACT = Context(prec=34)
_HUNDREDTH = Decimal("0.01")
PERCENT = 100


class Share(Struct, frozen=True):
    """`count` of `of`, in percent, with its interval (kb: `evaluate.interval`).

    Nothing of nothing has no percentage.
    """

    count: int
    of: int
    pct: Decimal | None
    low_pct: Decimal | None
    high_pct: Decimal | None


def share(count: int, of: int, z: Decimal) -> Share:
    """The share that `count` is of `of`, with Wilson's interval of `z` standard deviations."""
    if not of:
        return Share(count, of, None, None, None)
    low, high = wilson(count, of, z)
    return Share(count, of, pct(Decimal(count) / of), pct(low), pct(high))


def wilson(count: int, of: int, z: Decimal) -> tuple[Decimal, Decimal]:
    """The ends of Wilson's score interval, from 0 to 1. `of` is above 0."""
    c = _EXACT
    n, squared = Decimal(of), c.multiply(z, z)
    p = c.divide(Decimal(count), n)
    centre = p + squared / (2 * n)
    spread = c.multiply(z, c.sqrt(c.divide(p * (1 - p), n) + squared / (4 * n * n)))
    scale = 1 + squared / n
    low, high = c.divide(centre - spread, scale), c.divide(centre + spread, scale)
    return (low if count else Decimal(0)), (high if count < of else Decimal(1))


def pct(part: Decimal) -> Decimal:
    """A part of 1 as percent, to two decimals."""
    return (part * PERCENT).quantize(_HUNDREDTH, ROUND_HALF_UP)


def percentile(ascending: Sequence[Decimal], percent: int) -> Decimal | None:
    """The smallest of the values that at least `percent` percent of them do not exceed (nearest
    rank).
    """
    if not ascending:
        return None
    return ascending[max(0, -(-percent * len(ascending) // PERCENT) - 1)]
