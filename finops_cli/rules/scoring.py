"""The priority score (kb: `score.*`, `tier.*`). Exact: every product is a Decimal, rounded once."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

from finops_cli.domain.enums import EscalationLevel, RegShoStatus, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import plain
from finops_cli.domain.triage import ScoreComponents
from finops_cli.kb.chapters.scoring import ScoringRules


class Base(NamedTuple):
    """The four factors, the base score they make, and the same in words, the strongest driver
    first.
    """

    age: Decimal
    value: Decimal
    regulatory: Decimal
    cp_history: Decimal
    score: Decimal
    drivers: str


class Modifiers(NamedTuple):
    inventory: Decimal
    concentration: Decimal
    words: str


class Score(NamedTuple):
    """What a record scores and why, in words; `tier` before the CNS floor."""

    components: ScoreComponents
    priority: Decimal
    tier: Tier
    why: str


def score(record: FailRecord, state: RegShoStatus, rules: ScoringRules) -> Score:
    """The score of `record`, whose regulatory state is `state`."""
    security_rate = record.security_fail_rate_pct_adv
    return _score(
        rules,
        rules.age_factor.index(record.age_days),
        rules.value_factor.index(record.market_value),
        state,
        rules.cp_history_factor.index(record.cp_fail_rate_pct),
        rules.inventory_modifier.index(record.inventory_coverage_pct),
        record.reg_sho_threshold,
        not record.cns_eligible,
        security_rate is not None and security_rate > rules.security_rate_over,
        record.cp_fail_rate_pct > rules.cp_rate_over,
    )


@lru_cache(maxsize=4096)
def _score(
    rules: ScoringRules,
    age: int,
    value: int,
    state: RegShoStatus,
    cp_history: int,
    inventory: int,
    *conditions: bool,
) -> Score:
    """A score depends on bands and conditions alone; records share it."""
    base, modifiers = (
        _base(rules, age, value, state, cp_history),
        _modifiers(rules, inventory, *conditions),
    )
    components = ScoreComponents(*base[:5], *modifiers[:2])
    priority = priority_score(base.score, modifiers.inventory, modifiers.concentration, rules)
    return Score(
        components, priority, rules.tier.of(priority), f"{base.drivers}; {modifiers.words}"
    )


def base_score(
    age: Decimal, value: Decimal, regulatory: Decimal, cp_history: Decimal, rules: ScoringRules
) -> Decimal:
    """The weighted sum of the four factors. kb: `score.base`."""
    weights = rules.weights
    return (
        age * weights["age"]
        + value * weights["value"]
        + regulatory * weights["regulatory"]
        + cp_history * weights["cp_history"]
    )


def priority_score(
    base: Decimal, inventory: Decimal, concentration: Decimal, rules: ScoringRules
) -> Decimal:
    """kb: `score.priority`."""
    return min(rules.cap, base * inventory * concentration).quantize(
        _unit(rules.decimals), ROUND_HALF_UP
    )


def floor_tier(tier: Tier, category: str, rules: ScoringRules) -> Tier:
    """The tier after the CNS floor. kb: `tier.cns_floor`."""
    if category != "CNS_FAIL" or tier == rules.cns_floor:
        return tier
    tiers = rules.tier.values
    return tier if tiers.index(tier) > tiers.index(rules.cns_floor) else rules.cns_floor


def escalation_level(
    tier: Tier, regulatory_factor: Decimal, rules: ScoringRules
) -> EscalationLevel:
    """Read off the tier after the floor. kb: `tier.escalation`, `tier.compliance`."""
    if tier == "CRITICAL" and regulatory_factor == rules.regulatory_factor["CLOSE_OUT"]:
        return rules.compliance
    return rules.escalation[tier]


@lru_cache(maxsize=1024)
def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def _base(
    rules: ScoringRules, age_band: int, value_band: int, state: RegShoStatus, cp_band: int
) -> Base:
    factors = (
        rules.age_factor.values[age_band],
        rules.value_factor.values[value_band],
        rules.regulatory_factor[state],
        rules.cp_history_factor.values[cp_band],
    )
    points = {
        name: factor * rules.weights[key]
        for name, key, factor in zip(
            ("age", "value", "regulatory", "counterparty"), rules.weights, factors, strict=True
        )
    }
    strongest_first = sorted(points.items(), key=lambda item: -item[1])
    drivers = ", ".join(f"{name} {plain(value)}" for name, value in strongest_first if value)
    total = Decimal(plain(base_score(*factors, rules=rules)))
    return Base(*factors, total, f"base {total} from {drivers or 'nothing'}")


def _modifiers(
    rules: ScoringRules,
    inventory_band: int,
    threshold: bool,
    not_cns_eligible: bool,
    security_rate: bool,
    cp_rate: bool,
) -> Modifiers:
    product = Decimal(1)
    for applies, name in (
        (threshold, "THRESHOLD"),
        (not_cns_eligible, "NOT_CNS_ELIGIBLE"),
        (security_rate, "SECURITY_FAIL_RATE"),
        (cp_rate, "CP_FAIL_RATE"),
    ):
        if applies:
            product *= rules.concentration[name]
    inventory, concentration = (
        rules.inventory_modifier.values[inventory_band],
        min(product, rules.concentration_cap),
    )
    return Modifiers(
        inventory,
        concentration,
        f"inventory modifier {inventory}, concentration modifier {concentration}",
    )
