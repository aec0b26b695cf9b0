"""The best set of a few legs, by trying every set: exact, without a solver."""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.net.legs import Net


def find_best_set(net: Net, legs: Sequence[int], levels: Sequence[Sequence[int]]) -> list[int]:
    """Return the best of all sets of `legs` that settle.

    `levels`: the weights of all legs, the objective first. Earlier legs decide what is left.
    """
    held = list(net.balances)
    overdrawn = 0
    scores = [0] * len(levels)
    best: tuple[list[int], int] = ([0] * len(levels), 0)
    chosen = 0
    for number in range(1, 2 ** len(legs)):
        bit = (number & -number).bit_length() - 1  # the leg that changes in the Gray code
        leg = legs[len(legs) - 1 - bit]
        chosen ^= 1 << bit
        sign = 1 if chosen >> bit & 1 else -1
        for account, change in net.changes[leg]:
            before = held[account]
            held[account] = before + sign * change
            overdrawn += (held[account] < 0) - (before < 0)
        for level, weights in enumerate(levels):
            scores[level] += sign * weights[leg]
        if not overdrawn and (scores, chosen) > best:
            best = scores[:], chosen
    size = len(legs)
    return [leg for place, leg in enumerate(legs) if best[1] >> (size - 1 - place) & 1]
