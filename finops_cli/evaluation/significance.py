"""Whether a paired difference is more than chance (kb: `evaluate.significance`): exact tests."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction

_EXACT = Context(prec=34)
_TINY = Context(prec=50, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""For products of as many factors as there are records: what they lose to rounding stays far behind
every digit that is compared.
"""


def sign_test(first: int, second: int) -> Fraction:
    """The two-sided probability of a split at least as uneven as `first` against `second`, were
    both as likely.

    Of the pairs that one has right and the other wrong this is the exact test of McNemar.
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
    """Share right of the first less that of the second, and the ends of its interval (Agresti and
    Min), from -1 to 1.
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


def chance_of_more(marked: int, of: int, all_marked: int, of_all: int) -> Decimal:
    """The probability that a group of `of` records has `marked` marked ones or more, were
    `all_marked` of `of_all` dealt blindly.

    This is Fisher's exact test, one-sided, to some 40 digits: whole numbers would have as many
    digits as there are records.
    """
    few, many = sorted((of, all_marked))
    with localcontext(_TINY):
        term = tail = _chance_of_exactly(marked, few, many, of_all)
        for k in range(marked, few):
            term = term * ((few - k) * (many - k)) / ((k + 1) * (of_all - few - many + k + 1))
            before, tail = tail, tail + term
            if tail == before:
                break
        return min(Decimal(1), tail)


def _chance_of_exactly(both: int, few: int, many: int, of_all: int) -> Decimal:
    """The probability that `few` records drawn of `of_all` hold `both` of the `many`, factor by
    factor.
    """
    chance = Decimal(1)
    for drawn in range(both):
        chance = chance * ((many - drawn) * (few - drawn)) / ((of_all - drawn) * (drawn + 1))
    for drawn in range(both, few):
        chance = chance * (of_all - many - drawn + both) / (of_all - drawn)
    return chance


def holm(probabilities: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Each probability corrected for how many there are: the smallest times all, the next times one
    fewer, never falling.
    """
    corrected: dict[str, Fraction] = {}
    before = Fraction(0)
    for place, name in enumerate(
        sorted(probabilities, key=lambda name: (probabilities[name], name))
    ):
        before = max(before, min(Fraction(1), probabilities[name] * (len(probabilities) - place)))
        corrected[name] = before
    return {name: corrected[name] for name in probabilities}
