"""Section 8 of a reasoning text: the gridlock signals with their counts, up to the first No.

Source: kb `gridlock.signals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finops_cli.datasets.reasoning.walkthrough import Reading, verdict
from finops_cli.domain.fail import Ftr
from finops_cli.domain.money import plain
from finops_cli.kb.chapters.waterfall import WaterfallRules


def tell_gridlock(r: Reading) -> Iterator[str]:
    """Write the counts of each signal with its verdict.

    `rules.gridlock` decides the verdict.
    """
    ftrs, signals, rules = r.ranked, r.gridlock.signals, r.rules
    yield f"S1 FTRs {len(ftrs)}>0 {verdict(signals > 0)}"
    if signals > 0:
        brokers = {ftr.dtc for ftr in ftrs} | {fail.dtc for fail in r.case.related_fails}
        yield f"S2 brokers {len(brokers)}>={rules.gridlock_min_brokers} {verdict(signals > 1)}"
    if signals > 1:
        yield f"S3 {_not_stuck(ftrs, rules)}; {verdict(signals > 2)}"
    if signals > 2:
        yield from _similar(ftrs, rules, signals > 3)
    parties = r.plan.gridlock_parties
    if not r.plan.gridlock_detected:
        yield "no gridlock"
    else:
        action = "NET_GRIDLOCK with" if r.gridlock.extent == "full" else "bottleneck"
        named = (
            " ".join(parties)
            if len(parties) <= rules.chase_steps
            else f"all {len(parties)} brokers of the FTRs"
        )
        yield f"{r.gridlock.extent} gridlock: {action} {named}"


def _not_stuck(ftrs: Sequence[Ftr], rules: WaterfallRules) -> str:
    """Write how many fails to receive break S3, by reason. One is enough."""
    partials = sum(ftr.partial_delivery_history for ftr in ftrs)
    hardly_chased = sum(
        ftr.chase_attempts is not None and ftr.chase_attempts < rules.gridlock_min_attempts
        for ftr in ftrs
    )
    young = sum(
        ftr.chase_attempts is None and ftr.age_days < rules.gridlock_aged_min_days for ftr in ftrs
    )
    counts = (
        partials,
        rules.gridlock_min_attempts,
        hardly_chased,
        rules.gridlock_aged_min_days,
        young,
    )
    return "partials {}; chased under {}: {}; under {}d: {}".format(*counts)


def _similar(ftrs: Sequence[Ftr], rules: WaterfallRules, similar: bool) -> Iterator[str]:
    """Write the quantity of each broker, with a sum if it has several fails.

    Then compare the largest with the smallest.
    """
    sums: dict[str, list[str]] = {}
    totals: dict[str, int] = {}
    for ftr in sorted(ftrs, key=lambda ftr: ftr.dtc):
        totals[ftr.dtc] = total = totals.get(ftr.dtc, 0) + ftr.qty
        said = sums.setdefault(ftr.dtc, [ftr.dtc])
        said.append(f"{ftr.qty}" if len(said) == 1 else f"+{ftr.qty}={total}")
    several = [" ".join(said) for said in sums.values() if len(said) > 2]
    if several:
        yield "; ".join(several)
    largest, smallest = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    limit = plain(totals[smallest] * rules.gridlock_similar_ratio)
    yield (
        f"S4 largest {largest} {totals[largest]}; smallest {smallest} {totals[smallest]};"
        f" {totals[smallest]}*{plain(rules.gridlock_similar_ratio)}={limit};"
        f" {totals[largest]}<={limit} {verdict(similar)}"
    )
