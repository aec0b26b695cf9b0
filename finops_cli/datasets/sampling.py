"""Seeded random draws.

An example depends only on seed and index, so the number of workers and their order change nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from finops_cli.kb.bands import BandTable

T = TypeVar("T")


def rng(seed: int, name: str, index: int) -> random.Random:
    """Return an independent random stream for `name` and `index`.

    Python seeds it from a digest of the text, so it is the same on every platform.
    """
    return random.Random(f"{seed}:{name}:{index}")  # noqa: S311 - training data, not secrets


def deal_evenly(cards: Sequence[T], seed: int, name: str, index: int) -> T:
    """Return the card of `index` when `cards` are shuffled and dealt block after block.

    Every block deals each card once.
    """
    block, place = divmod(index, len(cards))
    return cards[_order(len(cards), seed, name, block)[place]]


@lru_cache(maxsize=64)
def _order(size: int, seed: int, name: str, block: int) -> list[int]:
    order = list(range(size))
    rng(seed, f"deal {name}", block).shuffle(order)
    return order


def smallest_deck(shares: Mapping[str, int]) -> list[str]:
    """Return the smallest deck with exactly these percentages: 30/30/20/10/10 needs ten cards."""
    divisor = math.gcd(*shares.values())
    return [name for name, share in shares.items() for _ in range(share // divisor)]


def chance(draw: random.Random, percent: int | Decimal) -> bool:
    return draw.random() * 100 < percent


def in_band(
    table: BandTable[Any], band: int, step: Decimal, top: int, draw: random.Random, at_edge: int
) -> Decimal:
    """Draw a number of band `band`: a multiple of `step`, at most `top`.

    In `at_edge` percent of the draws it is one of the band's ends.
    """
    low, high = ends(table, band, step, top)
    if chance(draw, at_edge):
        return (low if draw.random() < 0.5 else high) * step
    return draw.randint(low, high) * step


def ends(table: BandTable[Any], band: int, step: Decimal, top: int) -> tuple[int, int]:
    """Return the smallest and the largest number of a band, in steps."""
    below, above = (table.upper_edge(band - 1) if band else None), table.upper_edge(band)
    low = 0 if below is None else int(below[0] / step) + below[1]
    high = int(top / step) if above is None else int(above[0] / step) - (not above[1])
    return low, high


def quantile(points: Sequence[Decimal], at: float, logarithmic: bool) -> float:
    """Return quantile `at` (0 to 1) of a distribution given by its points.

    Between points the interpolation is linear or logarithmic.
    """
    place = at * (len(points) - 1)
    i = min(int(place), len(points) - 2)
    low, high, part = float(points[i]), float(points[i + 1]), place - i
    if logarithmic and low > 0:
        return low * float((high / low) ** part)
    return low + (high - low) * part
