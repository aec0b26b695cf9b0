"""Bounds that a factor implies for its number: can an age with factor 60 be 10 days?"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

from finops_cli.kb.bands import BandTable
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.rulebook import KnowledgeBase

YES, NO, OPEN = frozenset({True}), frozenset({False}), frozenset({True, False})
Bound = Mapping[Decimal, frozenset[bool]]
"""For each value of a table: can a number in its bands reach the bound, can it miss it, or both?"""


class ImpliedBounds(NamedTuple):
    """The flags and actions that the factors of a triage allow."""

    problem_cp: Bound
    high_value: Bound
    aged: Bound
    covered: Bound
    bought_in: Bound
    past_deadline: Mapping[bool, Bound]
    """The key is true for a security on the threshold list."""
    concentrated_cp: Bound


@lru_cache(maxsize=8)
def implied_bounds(kb: KnowledgeBase) -> ImpliedBounds:
    """Return every bound on which a flag or an action depends, for the factors of `kb`."""
    s, t = kb.scoring, kb.triage
    return ImpliedBounds(
        problem_cp=bound(s.cp_history_factor, t.problem_cp_over_pct, strict=True),
        high_value=bound(s.value_factor, t.high_value_min_usd),
        aged=bound(s.age_factor, Decimal(t.aged_min_days), whole=True),
        covered=bound(s.inventory_modifier, t.dvp_deliver_min_pct),
        bought_in=bound(s.age_factor, Decimal(t.ftr_monitor_max_days), strict=True, whole=True),
        past_deadline={
            threshold: bound(s.age_factor, Decimal(day), whole=True)
            for threshold, day in ((True, t.deadline_threshold), (False, t.deadline_standard))
        },
        concentrated_cp=bound(s.cp_history_factor, s.cp_rate_over_pct, strict=True),
    )


def bound(
    table: BandTable[Decimal], bound: Decimal, strict: bool = False, whole: bool = False
) -> Bound:
    """Test for each value of `table` if numbers in its bands can be at least `bound`, and if they
    can be less.

    With `strict` a number must be above `bound`. With `whole` the numbers are whole, so the band
    after `to = 9` starts at 10. Numbers start at 0.
    """
    answers: dict[Decimal, frozenset[bool]] = {}
    for band, value in enumerate(table.values):
        answers[value] = answers.get(value, frozenset()) | _answers(
            table, band, bound, strict, whole
        )
    return answers


def _answers(
    table: BandTable[Decimal], band: int, bound: Decimal, strict: bool, whole: bool
) -> frozenset[bool]:
    upper = table.upper_edge(band)
    if upper is None:
        reaches = True
    else:
        edge, belongs = upper
        top = edge - 1 if whole and not belongs else edge
        inside = belongs or whole
        reaches = top > bound or (top == bound and inside and not strict)
    low, low_inside = _lower(table, band, whole)
    stays = low < bound or (low == bound and strict and low_inside)
    return frozenset(answer for answer, possible in ((True, reaches), (False, stays)) if possible)


def _lower(table: BandTable[Decimal], band: int, whole: bool) -> tuple[Decimal, bool]:
    below = table.upper_edge(band - 1) if band else None
    if below is None:
        return Decimal(0), True
    edge, belongs_below = below
    return (edge + 1, True) if whole and belongs_below else (edge, not belongs_below)


@lru_cache(maxsize=8)
def concentrations(
    rules: ScoringRules, threshold: bool, cp_rate: frozenset[bool]
) -> frozenset[Decimal]:
    """Return every concentration modifier that a record can have.

    It depends on the threshold list and on whether the counterparty's rate may count as
    concentrated.
    """
    modifiers = rules.concentration
    either = (False, True)
    products = set()
    for applies in product((threshold,), either, either, cp_rate):
        names = ("THRESHOLD", "NOT_CNS_ELIGIBLE", "SECURITY_FAIL_RATE", "CP_FAIL_RATE")
        factors = (modifiers[name] for name, counts in zip(names, applies, strict=True) if counts)
        products.add(min(prod(factors, start=Decimal(1)), rules.concentration_cap))
    return frozenset(products)
