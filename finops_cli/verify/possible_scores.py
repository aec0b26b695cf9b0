"""The numbers that the score of a triage may have, by the tables of the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import product

from msgspec.structs import replace

from finops_cli.domain.triage import Triage
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.scoring import base_score, priority_score
from finops_cli.verify.comparison import equal_within
from finops_cli.verify.implied_bounds import OPEN, concentrations, implied_bounds


def make_exact(answer: Triage, kb: KnowledgeBase) -> Triage:
    """Write the numbers of the score as the rules do where they differ by less than the tolerance.

    Without this, a score with noise just above the edge of a tier would belong to the next tier.
    """
    c = answer.score_components
    factors = {
        field: _snap(getattr(c, field), values, kb)
        for field, values in known_values(kb.scoring).items()
    }
    exact = replace(answer, score_components=replace(c, **factors))
    for field, possible in (
        ("base_score", possible_bases(exact, kb.scoring)),
        ("concentration_modifier", possible_concentrations(exact, kb)),
    ):
        c = exact.score_components
        near = {field: _snap(getattr(c, field), possible, kb)}
        exact = replace(exact, score_components=replace(c, **near))
    c = exact.score_components
    modifiers = c.inventory_modifier, c.concentration_modifier
    score = priority_score(c.base_score, *modifiers, kb.scoring)
    return replace(exact, priority_score=_snap(answer.priority_score, (score,), kb))


@lru_cache(maxsize=4096)
def known_values(rules: ScoringRules) -> Mapping[str, tuple[Decimal, ...]]:
    """Return the possible values of each field of `score_components` that is not computed."""
    known = {field: factor.table.values for field, factor in rules.factors_by_field}
    return known | {"inventory_modifier": rules.inventory_modifier.values}


def possible_bases(answer: Triage, rules: ScoringRules) -> tuple[Decimal, ...]:
    """Return every base score that the shown factors allow, ascending.

    There is one if every factor is shown, else one for each combination of the hidden factors'
    values.
    """
    c = answer.score_components
    return _bases_of(tuple([getattr(c, field) for field, _ in rules.factors_by_field]), rules)


@lru_cache(maxsize=4096)
def _bases_of(shown: tuple[Decimal, ...], rules: ScoringRules) -> tuple[Decimal, ...]:
    """Return the bases of the factors `shown`, cached: many records have equal factors."""
    stated = iter(shown)
    choices = [
        factor.table.values if factor.row.field is None else (next(stated),)
        for factor in rules.factors
    ]
    return tuple(sorted({base_score(values, rules) for values in product(*choices)}))


def possible_concentrations(answer: Triage, kb: KnowledgeBase) -> frozenset[Decimal]:
    """Return each concentration modifier that the flags and the factors of an answer allow."""
    cp_history_factor = answer.score_components.cp_history_factor
    cp_rate = implied_bounds(kb).concentrated_cp.get(cp_history_factor, OPEN)
    return concentrations(kb.scoring, "THRESHOLD_SECURITY" in answer.flags, cp_rate)


def _snap(value: Decimal, exact: Collection[Decimal], kb: KnowledgeBase) -> Decimal:
    """Return a number of `exact` within the tolerance of `value`, or `value` if there is none.

    An equal number is left as it is written: 1.0 stays 1.0.
    """
    if value in exact:
        return value
    return next((each for each in exact if equal_within(each, value, kb.tolerance)), value)
