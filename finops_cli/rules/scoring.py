"""The priority score (kb: `score.*`, `tier.*`). Exact: every product is a Decimal, rounded once."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import plain
from finops_cli.domain.triage import ScoreComponents
from finops_cli.domain.vocabulary import EscalationLevel, RegShoStatus, Tier
from finops_cli.kb.book import ScoringBook


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


def score(record: FailRecord, state: RegShoStatus, book: ScoringBook) -> Score:
    """The score of `record`, whose regulatory state is `state`."""
    security_rate = record.security_fail_rate_pct_adv
    return _score(
        book,
        book.age_factor.index(record.age_days),
        book.value_factor.index(record.market_value),
        state,
        book.cp_history_factor.index(record.cp_fail_rate_pct),
        book.inventory_modifier.index(record.inventory_coverage_pct),
        record.reg_sho_threshold,
        not record.cns_eligible,
        security_rate is not None and security_rate > book.security_rate_over,
        record.cp_fail_rate_pct > book.cp_rate_over,
    )


@lru_cache(maxsize=4096)
def _score(
    book: ScoringBook,
    age: int,
    value: int,
    state: RegShoStatus,
    cp_history: int,
    inventory: int,
    *conditions: bool,
) -> Score:
    """A score depends on bands and conditions alone; records share it."""
    base, modifiers = (
        _base(book, age, value, state, cp_history),
        _modifiers(book, inventory, *conditions),
    )
    components = ScoreComponents(*base[:5], *modifiers[:2])
    priority = priority_score(base.score, modifiers.inventory, modifiers.concentration, book)
    return Score(components, priority, book.tier.of(priority), f"{base.drivers}; {modifiers.words}")


def base_score(
    age: Decimal, value: Decimal, regulatory: Decimal, cp_history: Decimal, book: ScoringBook
) -> Decimal:
    """The weighted sum of the four factors. kb: `score.base`."""
    weights = book.weights
    return (
        age * weights["age"]
        + value * weights["value"]
        + regulatory * weights["regulatory"]
        + cp_history * weights["cp_history"]
    )


def priority_score(
    base: Decimal, inventory: Decimal, concentration: Decimal, book: ScoringBook
) -> Decimal:
    """kb: `score.priority`."""
    return min(book.cap, base * inventory * concentration).quantize(
        _unit(book.decimals), ROUND_HALF_UP
    )


def floor_tier(tier: Tier, category: str, book: ScoringBook) -> Tier:
    """The tier after the CNS floor. kb: `tier.cns_floor`."""
    if category != "CNS_FAIL" or tier == book.cns_floor:
        return tier
    tiers = book.tier.values
    return tier if tiers.index(tier) > tiers.index(book.cns_floor) else book.cns_floor


def escalation_level(tier: Tier, regulatory_factor: Decimal, book: ScoringBook) -> EscalationLevel:
    """Read off the tier after the floor. kb: `tier.escalation`, `tier.compliance`."""
    if tier == "CRITICAL" and regulatory_factor == book.regulatory_factor["CLOSE_OUT"]:
        return book.compliance
    return book.escalation[tier]


@lru_cache(maxsize=1024)
def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def _base(
    book: ScoringBook, age_band: int, value_band: int, state: RegShoStatus, cp_band: int
) -> Base:
    factors = (
        book.age_factor.values[age_band],
        book.value_factor.values[value_band],
        book.regulatory_factor[state],
        book.cp_history_factor.values[cp_band],
    )
    points = {
        name: factor * book.weights[key]
        for name, key, factor in zip(
            ("age", "value", "regulatory", "counterparty"), book.weights, factors, strict=True
        )
    }
    strongest_first = sorted(points.items(), key=lambda item: -item[1])
    drivers = ", ".join(f"{name} {plain(value)}" for name, value in strongest_first if value)
    total = Decimal(plain(base_score(*factors, book=book)))
    return Base(*factors, total, f"base {total} from {drivers or 'nothing'}")


def _modifiers(
    book: ScoringBook,
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
            product *= book.concentration[name]
    inventory, concentration = (
        book.inventory_modifier.values[inventory_band],
        min(product, book.concentration_cap),
    )
    return Modifiers(
        inventory,
        concentration,
        f"inventory modifier {inventory}, concentration modifier {concentration}",
    )
