"""The statistics of an evaluation: intervals, percentiles, tests and timing.

All but the timing is exact or uses Decimal, so results are equal on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from itertools import islice
from time import perf_counter_ns
from typing import TypeVar

from msgspec import Struct

T = TypeVar("T")

PERCENT = 100
_NS_MS = Decimal(10**6)
_HUNDREDTH = Decimal("0.01")
_THOUSANDTH = Decimal("0.001")
_EXACT = Context(prec=34)
_TINY = Context(prec=50, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""Precision for products of as many factors as there are records.

Rounding errors are far below every digit that is compared.
"""


class Proportion(Struct, frozen=True, kw_only=True):
    """A count out of a total, in percent, with its interval (kb: `evaluate.confidence_z`).

    The percentages are null if the total is 0.
    """

    count: int
    of: int
    pct: Decimal | None
    low_pct: Decimal | None
    high_pct: Decimal | None


def proportion(count: int, of: int, z: Decimal) -> Proportion:
    """Compute the proportion `count` of `of` with Wilson's interval of `z` standard deviations."""
    if not of:
        return Proportion(count=count, of=of, pct=None, low_pct=None, high_pct=None)
    low, high = wilson(count, of, z)
    return Proportion(
        count=count, of=of, pct=pct(Decimal(count) / of), low_pct=pct(low), high_pct=pct(high)
    )


def wilson(count: int, of: int, z: Decimal) -> tuple[Decimal, Decimal]:
    """Compute the ends of Wilson's score interval, from 0 to 1. `of` must be above 0."""
    c = _EXACT
    n, squared = Decimal(of), c.multiply(z, z)
    p = c.divide(Decimal(count), n)
    centre = p + squared / (2 * n)
    spread = c.multiply(z, c.sqrt(c.divide(p * (1 - p), n) + squared / (4 * n * n)))
    scale = 1 + squared / n
    low, high = c.divide(centre - spread, scale), c.divide(centre + spread, scale)
    return (low if count else Decimal(0)), (high if count < of else Decimal(1))


def pct(part: Decimal) -> Decimal:
    """Convert a fraction of 1 to percent, with two decimals."""
    return (part * PERCENT).quantize(_HUNDREDTH, ROUND_HALF_UP)


def percentile(ascending: Sequence[Decimal], percent: int) -> Decimal | None:
    """Find the smallest value that at least `percent` percent of the values do not exceed.

    This is the nearest-rank percentile.
    """
    if not ascending:
        return None
    return ascending[max(0, -(-percent * len(ascending) // PERCENT) - 1)]


def sign_test(first: int, second: int) -> Fraction:
    """Compute the two-sided probability of a split at least as uneven as `first` to `second`.

    The null hypothesis is that both are equally likely. For pairs in which only one side is right,
    this is McNemar's exact test.
    """
    n, fewer = first + second, min(first, second)
    term = tail = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(Fraction(1), Fraction(2 * tail, 2**n))


def paired_interval(
    first_only: int, second_only: int, pairs: int, z: Decimal
) -> tuple[Decimal, Decimal, Decimal]:
    """Compute the difference between two proportions, and the ends of its interval.

    All three are between -1 and 1. Source: Agresti and Min.
    """
    half, n = Decimal("0.5"), Decimal(pairs)
    b, c, adjusted = first_only + half, second_only + half, n + 2
    centre = _EXACT.divide(b - c, adjusted)
    spread = _EXACT.divide(_EXACT.sqrt((b + c) - (b - c) ** 2 / adjusted), adjusted) * z
    one = Decimal(1)
    return (
        _EXACT.divide(Decimal(first_only - second_only), n),
        max(-one, centre - spread),
        min(one, centre + spread),
    )


def chance_of_more(flagged: int, of: int, all_flagged: int, of_all: int) -> Decimal:
    """Compute the probability that `of` records include `flagged` or more flagged ones by chance.

    `all_flagged` of all `of_all` records are flagged. This is Fisher's exact test, one-sided,
    computed to about 40 digits: exact integers would have as many digits as there are records.
    """
    few, many = sorted((of, all_flagged))
    with localcontext(_TINY):
        term = tail = _chance_of_exactly(flagged, few, many, of_all)
        for k in range(flagged, few):
            term = term * ((few - k) * (many - k)) / ((k + 1) * (of_all - few - many + k + 1))
            before, tail = tail, tail + term
            if tail == before:
                break
        return min(Decimal(1), tail)


def holm(probabilities: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Correct each probability for the number of tests (Holm).

    The smallest is multiplied by the number of tests, the next by one less, and so on. A corrected
    value is never smaller than the one before it.
    """
    corrected: dict[str, Fraction] = {}
    before = Fraction(0)
    for place, name in enumerate(
        sorted(probabilities, key=lambda name: (probabilities[name], name))
    ):
        before = max(before, min(Fraction(1), probabilities[name] * (len(probabilities) - place)))
        corrected[name] = before
    return {name: corrected[name] for name in probabilities}


def times_ms(ask: Callable[[T], object], things: Iterable[T], at_most: int) -> list[Decimal]:
    """Time `ask` on the first `at_most` things. Return milliseconds, shortest first."""
    took = []
    for thing in islice(things, at_most):
        started = perf_counter_ns()
        ask(thing)
        took.append(in_ms(perf_counter_ns() - started))
    return sorted(took)


def in_ms(took_ns: int) -> Decimal:
    """Convert nanoseconds to milliseconds, rounded to the microsecond."""
    return (took_ns / _NS_MS).quantize(_THOUSANDTH)


def _chance_of_exactly(both: int, few: int, many: int, of_all: int) -> Decimal:
    """Compute the probability that `few` of `of_all` records include `both` of the `many`."""
    chance = Decimal(1)
    for drawn in range(both):
        chance = chance * ((many - drawn) * (few - drawn)) / ((of_all - drawn) * (drawn + 1))
    for drawn in range(both, few):
        chance = chance * (of_all - many - drawn + both) / (of_all - drawn)
    return chance
