"""Prices of accounts that bound what any set can be worth (kb: `net.bound`).

A solver proposes them as floating-point numbers. They are rounded to short fractions and evaluated
exactly, so a wrong proposal gives a bound that is too high, never one that is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from finops_cli.net.legs import Net

_DIGITS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
"""Significant digits to which prices are rounded, one after the other."""


class Bound(NamedTuple):
    """Prices by account, the bound that they prove, and the reduced weight of each leg."""

    prices: dict[int, Fraction]
    value: Fraction
    reduced: tuple[Fraction, ...]
    """The weight of a leg and what its changes are worth at the prices."""

    @property
    def whole(self) -> int:
        """Return the bound as a whole number: no set is worth more."""
        return self.value.numerator // self.value.denominator


def evaluate(net: Net, weights: Sequence[int], prices: Mapping[int, Fraction]) -> Bound:
    """Compute the bound of prices, exactly."""
    scale = lcm(*(price.denominator for price in prices.values()))
    scaled = {account: int(price * scale) for account, price in prices.items()}
    reduced = [
        weight * scale
        + sum(scaled[account] * change for account, change in changes if account in scaled)
        for weight, changes in zip(weights, net.changes, strict=True)
    ]
    total = sum(price * net.balances[account] for account, price in scaled.items())
    total += sum(each for each in reduced if each > 0)
    return Bound(
        dict(prices), Fraction(total, scale), tuple(Fraction(each, scale) for each in reduced)
    )


def find_bound(net: Net, weights: Sequence[int], proposed: Sequence[float]) -> Bound:
    """Return the lowest bound of the proposed prices, with all their digits."""
    best = evaluate(net, weights, {})
    made = evaluate(net, weights, _round(proposed, _DIGITS[-1]))
    return made if made.value < best.value else best


def shorten(net: Net, weights: Sequence[int], bound: Bound) -> Bound:
    """Return fewer prices with fewer digits that prove the same whole number."""
    for digits in _DIGITS:
        made = evaluate(
            net,
            weights,
            {account: _cut(price, digits) for account, price in bound.prices.items()},
        )
        if made.whole <= bound.whole:
            return _drop_needless(net, weights, made)
    return bound


def find_forced(bound: Bound, least: int) -> dict[int, bool]:
    """Return the legs that are in (true) or out of every set that is worth `least` or more.

    Otherwise the bound of the set would be below `least`.
    """
    return {
        leg: reduced > 0
        for leg, reduced in enumerate(bound.reduced)
        if bound.value - abs(reduced) < least
    }


def _round(proposed: Sequence[float], digits: int) -> dict[int, Fraction]:
    return {
        account: Fraction(f"{price:.{digits}g}")
        for account, price in enumerate(proposed)
        if price > 0
    }


def _cut(price: Fraction, digits: int) -> Fraction:
    return Fraction(f"{float(price):.{digits}g}")


def _drop_needless(net: Net, weights: Sequence[int], bound: Bound) -> Bound:
    """Leave out prices one by one, as long as the bound stays the same whole number."""
    target, value = bound.whole, bound.value
    kept, reduced = dict(bound.prices), list(bound.reduced)
    for account in sorted(kept, key=lambda each: (kept[each], each)):
        price = kept[account]
        after = value - price * net.balances[account]
        changed: dict[int, Fraction] = {}
        for leg in net.legs_of_account[account]:
            changed[leg] = reduced[leg] - price * dict(net.changes[leg])[account]
            after += max(Fraction(0), changed[leg]) - max(Fraction(0), reduced[leg])
        if after.numerator // after.denominator <= target:
            value = after
            del kept[account]
            for leg, each in changed.items():
                reduced[leg] = each
    return evaluate(net, weights, kept)


def render_fraction(number: Fraction) -> str:
    """Write a fraction: 964.53 where it ends within six places, else 11/7."""
    if 10**6 % number.denominator:
        return f"{number.numerator}/{number.denominator}"
    whole, rest = divmod(number, 1)
    places = f"{int(rest * 10**6):06d}".rstrip("0")
    return f"{whole}.{places}" if places else f"{whole}"


def render_prices(net: Net, bound: Bound) -> list[tuple[str, str, str]]:
    """Name the account of each price, in the order of the accounts."""
    return [
        (*net.accounts[account], f"{price.numerator}/{price.denominator}".removesuffix("/1"))
        for account, price in sorted(bound.prices.items())
        if price
    ]
