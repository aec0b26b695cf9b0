"""Whether a paired difference is more than chance (kb: `evaluate.significance`): exact tests in whole numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction

_EXACT = Context(prec=34)


def sign_test(first: int, second: int) -> Fraction:
    """The two-sided probability of a split at least as uneven as `first` against `second`, were both as likely.

    Of the pairs that one has right and the other wrong this is the exact test of McNemar.
    """
    n, fewer = first + second, min(first, second)
    term = tail = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(Fraction(1), Fraction(2 * tail, 2**n))


def paired_interval(first_only: int, second_only: int, pairs: int, z: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Share right of the first less that of the second, and the ends of its interval (Agresti and Min), from -1 to 1."""
    half, n = Decimal("0.5"), Decimal(pairs)
    b, c, adjusted = first_only + half, second_only + half, n + 2
    centre = _EXACT.divide(b - c, adjusted)
    spread = _EXACT.divide(_EXACT.sqrt((b + c) - (b - c) ** 2 / adjusted), adjusted) * z
    one = Decimal(1)
    return _EXACT.divide(Decimal(first_only - second_only), n), max(-one, centre - spread), min(one, centre + spread)


def chance_of_more(wrong: int, of: int, all_wrong: int, of_all: int) -> Fraction:
    """The probability that a group of `of` answers has `wrong` wrong ones or more, were `all_wrong` of `of_all` dealt blindly.

    This is Fisher's exact test, one-sided.
    """
    term = tail = math.comb(all_wrong, wrong) * math.comb(of_all - all_wrong, of - wrong)
    for k in range(wrong, min(of, all_wrong)):
        term = term * (all_wrong - k) * (of - k) // ((k + 1) * (of_all - all_wrong - of + k + 1))
        tail += term
    return Fraction(tail, math.comb(of_all, of))


def holm(probabilities: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Each probability corrected for how many there are: the smallest times all, the next times one fewer, never falling."""
    corrected: dict[str, Fraction] = {}
    before = Fraction(0)
    for place, name in enumerate(sorted(probabilities, key=lambda name: (probabilities[name], name))):
        before = max(before, min(Fraction(1), probabilities[name] * (len(probabilities) - place)))
        corrected[name] = before
    return {name: corrected[name] for name in probabilities}
