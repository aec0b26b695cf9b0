"""The scoring rules: the factors of the base score, the modifiers and the tiers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple, cast, get_args

from msgspec import Struct

from finops_cli.domain import enums
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.triage import ScoreComponents, make_components_type
from finops_cli.kb.bands import BandTable, LookupTable
from finops_cli.kb.compiler import Compiler
from finops_cli.kb.factors import FACTORS, Factor, Quantity


class WeightedFactor(Struct, frozen=True, eq=False):
    """A factor with its weight and its values from the knowledge base."""

    row: Factor
    weight: Decimal
    table: BandTable[Decimal] | LookupTable[Decimal]

    def value_of(self, record: FailRecord, state: enums.RegShoStatus) -> Decimal:
        """The unweighted value of the factor for a record in regulatory state `state`."""
        return self.table.of(self.row.read(record, state))  # type: ignore[arg-type]


class BandedNumber(NamedTuple):
    """A number of a record, and the band table that divides numbers of its kind."""

    quantity: Quantity
    table: BandTable[Decimal]
    number: Decimal


class ScoringRules(Struct, frozen=True, eq=False, kw_only=True):
    """The parts of a priority score (kb: `score.*`, `tier.*`)."""

    factors: tuple[WeightedFactor, ...]
    factors_by_field: tuple[tuple[str, WeightedFactor], ...]
    """The field of `score_components` and the factor, for each factor that is shown."""
    hidden_factors: tuple[WeightedFactor, ...]
    """The factors that enter the base score and are not shown."""
    components: type[ScoreComponents]
    """The type of `score_components`: a field for each factor that is shown."""
    age_factor: BandTable[Decimal]
    value_factor: BandTable[Decimal]
    regulatory_factor: Mapping[str, Decimal]
    cp_history_factor: BandTable[Decimal]
    inventory_modifier: BandTable[Decimal]
    concentration: Mapping[str, Decimal]
    concentration_cap: Decimal
    security_rate_over_pct_adv: Decimal
    cp_rate_over_pct: Decimal
    cap: Decimal
    decimals: int
    tier: BandTable[enums.Tier]
    cns_floor: enums.Tier
    escalation: Mapping[str, enums.EscalationLevel]
    compliance: enums.EscalationLevel

    def weight(self, name: str) -> Decimal:
        """The weight of the factor `name`."""
        return next(factor.weight for factor in self.factors if factor.row.name == name)


def quantities(record: FailRecord, rules: ScoringRules) -> tuple[BandedNumber, ...]:
    """The numbers of `record` that its factors are banded by, in the order of the factors."""
    return tuple(
        BandedNumber(factor.row.quantity, factor.table, Decimal(factor.row.read(record, "NONE")))
        for factor in rules.factors
        if factor.row.quantity is not None and isinstance(factor.table, BandTable)
    )


def compile_scoring(c: Compiler, factors: tuple[Factor, ...] = FACTORS) -> ScoringRules:
    """Read the scoring rules. Raises KnowledgeError naming the entry that does not fit."""
    weights = c.scores("score.base", tuple(factor.name for factor in factors))
    weighted = tuple(_weigh(factor, weights[factor.name], c) for factor in factors)
    return ScoringRules(
        factors=weighted,
        factors_by_field=tuple((f.row.field, f) for f in weighted if f.row.field is not None),
        hidden_factors=tuple(f for f in weighted if f.row.field is None),
        components=make_components_type(
            tuple(factor.field for factor in factors if factor.field is not None)
        ),
        age_factor=c.score_bands("score.age_factor"),
        value_factor=c.score_bands("score.value_factor"),
        regulatory_factor=c.scores("score.regulatory_factor", get_args(enums.RegShoStatus)),
        cp_history_factor=c.score_bands("score.cp_history_factor"),
        inventory_modifier=c.score_bands("score.inventory_modifier"),
        concentration=c.scores(
            "score.concentration_modifier",
            ("THRESHOLD", "NOT_CNS_ELIGIBLE", "SECURITY_FAIL_RATE", "CP_FAIL_RATE"),
        ),
        concentration_cap=c.number("score.concentration_cap", highest=100),
        security_rate_over_pct_adv=c.number("score.security_rate_over_pct_adv"),
        cp_rate_over_pct=c.number("score.cp_rate_over_pct"),
        cap=c.number("score.cap", highest=1000),
        decimals=c.whole("score.decimals", highest=6),
        tier=cast(BandTable[enums.Tier], c.word_bands("tier.band", enums.Tier)),
        cns_floor=cast(enums.Tier, c.choice("tier.cns_floor", enums.Tier)),
        escalation=cast(
            Mapping[str, enums.EscalationLevel],
            c.texts("tier.escalation", get_args(enums.Tier), enums.EscalationLevel),
        ),
        compliance=cast(enums.EscalationLevel, c.choice("tier.compliance", enums.EscalationLevel)),
    )


def _weigh(factor: Factor, weight: Decimal, c: Compiler) -> WeightedFactor:
    if factor.quantity is not None:
        return WeightedFactor(factor, weight, c.score_bands(factor.kb_id))
    return WeightedFactor(factor, weight, LookupTable(c.scores(factor.kb_id, factor.members)))
