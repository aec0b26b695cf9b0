"""Gridlock: four signals in order, the first No ends the evaluation (kb: `gridlock.*`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct

from finops_cli.domain.fail import Ftr
from finops_cli.domain.resolution import ResolverInput
from finops_cli.kb.chapters.waterfall import WaterfallRules

Extent = Literal["none", "partial", "full"]


class Gridlock(Struct, frozen=True):
    """The number of signals in a row that said yes (0-4), and its consequences."""

    signals: int
    extent: Extent
    parties: tuple[str, ...]


_NO_RECEIVES = Gridlock(0, "none", ())
_TOO_FEW_BROKERS = Gridlock(1, "none", ())


def assess(case: ResolverInput, rules: WaterfallRules) -> Gridlock:
    """Evaluate S1 to S4 for `case`. kb: `gridlock.signals`, `gridlock.parties`."""
    if len(case.ftrs) + len(case.related_fails) < rules.gridlock_min_brokers:
        return _TOO_FEW_BROKERS if case.ftrs else _NO_RECEIVES  # each fail has one broker
    return assess_receives(case.ftrs, {fail.dtc for fail in case.related_fails}, rules)


def assess_receives(
    ftrs: Sequence[Ftr], related_brokers: Collection[str], rules: WaterfallRules
) -> Gridlock:
    """Evaluate S1 to S4 for all receives of a security and the brokers of the related fails."""
    if not ftrs:
        return _NO_RECEIVES
    brokers = {ftr.dtc for ftr in ftrs}
    if len(brokers.union(related_brokers)) < rules.gridlock_min_brokers:
        return _TOO_FEW_BROKERS
    if not _aging_despite_chasing(ftrs, rules):
        return Gridlock(2, "none", ())
    quantities = dict.fromkeys(sorted(brokers), 0)
    for ftr in ftrs:
        quantities[ftr.dtc] += ftr.qty
    largest = max(quantities.values())
    if largest <= min(quantities.values()) * rules.gridlock_similar_ratio:
        return Gridlock(4, "full", tuple(quantities))
    bottleneck = next(dtc for dtc, qty in quantities.items() if qty == largest)
    return Gridlock(3, "partial", (bottleneck,))


def _aging_despite_chasing(ftrs: Sequence[Ftr], rules: WaterfallRules) -> bool:
    for ftr in ftrs:
        if ftr.partial_delivery_history:
            return False
        if ftr.chase_attempts is None:
            if ftr.age_days < rules.gridlock_aged_min_days:
                return False
        elif ftr.chase_attempts < rules.gridlock_min_attempts:
            return False
    return True
