"""The priority score (kb: `score.*`, `tier.*`). Exact: every product is a Decimal, rounded once.

The factors of the base score are the rows of `finops_cli.kb.factors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from math import prod

from msgspec import Struct

from finops_cli.domain.enums import EscalationLevel, RegShoStatus, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import last_place, plain
from finops_cli.domain.triage import ScoreComponents
from finops_cli.kb.chapters.scoring import ScoringRules


class BaseScore(Struct, frozen=True):
    """The base score of the values of all factors, and the words that explain it."""

    base: Decimal
    drivers: str
    """The factors that add points, the strongest first."""


class Score(Struct, frozen=True):
    """The score of a record and the words that explain it; `tier` is before the CNS floor."""

    components: ScoreComponents
    priority: Decimal
    tier: Tier
    explanation: str


def score(record: FailRecord, state: RegShoStatus, rules: ScoringRules) -> Score:
    """Score `record`, whose regulatory state is `state`."""
    return compute_score(
        read_factors(record, state, rules),
        rules.inventory_modifier.of(record.inventory_coverage_pct),
        concentration_conditions(record, rules),
        rules,
    )


def read_factors(
    record: FailRecord, state: RegShoStatus, rules: ScoringRules
) -> tuple[Decimal, ...]:
    """The values of the factors of `record`, in their order."""
    return tuple(
        [each.table.of(each.row.read(record, state)) for each in rules.factors]  # type: ignore[arg-type]
    )


@lru_cache(maxsize=4096)
def compute_score(
    values: tuple[Decimal, ...],
    inventory: Decimal,
    conditions: tuple[str, ...],
    rules: ScoringRules,
) -> Score:
    """The score of all records with these values, which many records share."""
    explained = _compute_base(values, rules)
    base = explained.base
    concentration = concentration_modifier(conditions, rules)
    priority = priority_score(base, inventory, concentration, rules)
    shown = {
        factor.row.field: value
        for factor, value in zip(rules.factors, values, strict=True)
        if factor.row.field is not None
    }
    return Score(
        components=rules.components(
            **shown,
            base_score=base,
            inventory_modifier=inventory,
            concentration_modifier=concentration,
        ),
        priority=priority,
        tier=rules.tier.of(priority),
        explanation=(
            f"base {base} from {explained.drivers}; inventory modifier {inventory},"
            f" concentration modifier {concentration}"
        ),
    )


@lru_cache(maxsize=4096)
def _compute_base(values: tuple[Decimal, ...], rules: ScoringRules) -> BaseScore:
    """The base of all records with these values: fewer than there are scores."""
    base = Decimal(plain(base_score(values, rules)))
    return BaseScore(base, _name_drivers(values, rules))


def base_score(values: Iterable[Decimal], rules: ScoringRules) -> Decimal:
    """The weighted sum of the values of all factors, in their order. kb: `score.base`."""
    return sum(
        (value * factor.weight for value, factor in zip(values, rules.factors, strict=True)),
        start=Decimal(0),
    )


def concentration_modifier(conditions: Iterable[str], rules: ScoringRules) -> Decimal:
    """The product of the conditions that apply, capped. kb: `score.concentration_modifier`."""
    product = prod((rules.concentration[name] for name in conditions), start=Decimal(1))
    return min(product, rules.concentration_cap)


def concentration_conditions(record: FailRecord, rules: ScoringRules) -> tuple[str, ...]:
    """The members of `score.concentration_modifier` that apply to `record`."""
    security_rate = record.security_fail_rate_pct_adv
    names = []
    if record.reg_sho_threshold:
        names.append("THRESHOLD")
    if not record.cns_eligible:
        names.append("NOT_CNS_ELIGIBLE")
    if security_rate is not None and security_rate > rules.security_rate_over_pct_adv:
        names.append("SECURITY_FAIL_RATE")
    if record.cp_fail_rate_pct > rules.cp_rate_over_pct:
        names.append("CP_FAIL_RATE")
    return tuple(names)


@lru_cache(maxsize=4096)
def priority_score(
    base: Decimal, inventory: Decimal, concentration: Decimal, rules: ScoringRules
) -> Decimal:
    """The base score times both modifiers, capped, rounded half-up once. kb: `score.priority`."""
    exact = min(rules.cap, base * inventory * concentration)
    return exact.quantize(last_place(rules.decimals), ROUND_HALF_UP)


def floor_tier(tier: Tier, category: str, rules: ScoringRules) -> Tier:
    """The tier after the CNS floor. kb: `tier.cns_floor`."""
    if category != "CNS_FAIL" or tier == rules.cns_floor:
        return tier
    tiers = rules.tier.values
    return tier if tiers.index(tier) > tiers.index(rules.cns_floor) else rules.cns_floor


def escalation_level(
    tier: Tier, regulatory_factor: Decimal, rules: ScoringRules
) -> EscalationLevel:
    """The level for the tier after the floor. kb: `tier.escalation`, `tier.compliance`."""
    if tier == "CRITICAL" and regulatory_factor == rules.regulatory_factor["CLOSE_OUT"]:
        return rules.compliance
    return rules.escalation[tier]


def _name_drivers(values: tuple[Decimal, ...], rules: ScoringRules) -> str:
    """The factors that add points, the strongest first."""
    points = [
        (factor.row.word, value * factor.weight)
        for factor, value in zip(rules.factors, values, strict=True)
        if value * factor.weight
    ]
    points.sort(key=lambda driver: -driver[1])
    return ", ".join(f"{word} {plain(value)}" for word, value in points) or "nothing"
