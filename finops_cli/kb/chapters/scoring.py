"""The knowledge base as typed books, one a chapter, that the rules take as argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast, get_args

from finops_cli.domain import enums as words
from finops_cli.kb.bands import BandTable
from finops_cli.kb.compiler import Compiler


@dataclass(frozen=True, eq=False, slots=True)
class ScoringRules:
    """What a score is made of (kb: `score.*`, `tier.*`)."""

    weights: Mapping[str, Decimal]
    age_factor: BandTable[Decimal]
    value_factor: BandTable[Decimal]
    regulatory_factor: Mapping[str, Decimal]
    cp_history_factor: BandTable[Decimal]
    inventory_modifier: BandTable[Decimal]
    concentration: Mapping[str, Decimal]
    concentration_cap: Decimal
    security_rate_over: Decimal
    cp_rate_over: Decimal
    cap: Decimal
    decimals: int
    tier: BandTable[words.Tier]
    cns_floor: words.Tier
    escalation: Mapping[str, words.EscalationLevel]
    compliance: words.EscalationLevel


def compile_scoring(c: Compiler) -> ScoringRules:
    return ScoringRules(
        weights=c.scores("score.base", ("age", "value", "regulatory", "cp_history")),
        age_factor=c.score_bands("score.age_factor"),
        value_factor=c.score_bands("score.value_factor"),
        regulatory_factor=c.scores("score.regulatory_factor", get_args(words.RegShoStatus)),
        cp_history_factor=c.score_bands("score.cp_history_factor"),
        inventory_modifier=c.score_bands("score.inventory_modifier"),
        concentration=c.scores(
            "score.concentration_modifier",
            ("THRESHOLD", "NOT_CNS_ELIGIBLE", "SECURITY_FAIL_RATE", "CP_FAIL_RATE"),
        ),
        concentration_cap=c.number("score.concentration_cap", highest=100),
        security_rate_over=c.number("score.security_rate_over"),
        cp_rate_over=c.number("score.cp_rate_over"),
        cap=c.number("score.cap", highest=1000),
        decimals=c.whole("score.decimals", highest=6),
        tier=cast(BandTable[words.Tier], c.word_bands("tier.band", words.Tier)),
        cns_floor=cast(words.Tier, c.choice("tier.cns_floor", words.Tier)),
        escalation=cast(
            Mapping[str, words.EscalationLevel],
            c.texts("tier.escalation", get_args(words.Tier), words.EscalationLevel),
        ),
        compliance=cast(words.EscalationLevel, c.choice("tier.compliance", words.EscalationLevel)),
    )
