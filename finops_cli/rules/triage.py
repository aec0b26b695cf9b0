"""Stage 1: triage a fail record by the rules of a knowledge base."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from finops_cli.domain.enums import Category, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules import classification, deadlines, scoring
from finops_cli.rules.triage_facts import TriageFacts

_KIND = {
    "DVP_FAIL": "DVP fail",
    "B2B_PENDING": "Back-to-back fail",
    "CA_EVENT": "Corporate action fail",
    "DK_DISPUTE": "Disputed trade",
    "FTD": "CNS fail to deliver",
    "FTR": "CNS fail to receive",
}


class Urgency(NamedTuple):
    """The facts that decide how urgent a fail is."""

    category: Category
    scored: scoring.Score
    tier: Tier
    """After the CNS floor."""


def assess_urgency(record: FailRecord, kb: KnowledgeBase) -> Urgency:
    """Find the category, the score and the tier of `record`, without the words of a triage."""
    state = deadlines.regulatory_state(record, kb.triage)
    scored = scoring.score(record, state, kb.scoring)
    category = classification.category(record)
    return Urgency(category, scored, scoring.floor_tier(scored.tier, category, kb.scoring))


def triage(record: FailRecord, kb: KnowledgeBase) -> Triage:
    """Triage `record`: score, tier, category, action, escalation, deadline and flags."""
    answer, kind, score = _triage_facts(read_facts(record, kb), kb)
    days = "1 day" if record.age_days == 1 else f"{record.age_days} days"
    return replace(answer, reason=f"{kind} of {record.qty:,} shares aged {days} {score}.")


def read_facts(record: FailRecord, kb: KnowledgeBase) -> TriageFacts:
    """Read the facts of `record`."""
    rules, age, coverage = kb.triage, record.age_days, record.inventory_coverage_pct
    deadline = deadlines.deadline_day(record, rules)
    state = deadlines.regulatory_state(record, rules)
    return TriageFacts(
        factors=scoring.read_factors(record, state, kb.scoring),
        inventory_modifier=kb.scoring.inventory_modifier.of(coverage),
        conditions=scoring.concentration_conditions(record, kb.scoring),
        category=classification.category(record),
        cns_direction=record.cns_direction,
        is_offset=classification.is_offset(record),
        deadline=deadline,
        is_past_deadline=deadline is not None and age >= deadline,
        is_threshold_security=record.reg_sho_threshold,
        has_problem_cp=record.cp_fail_rate_pct > rules.problem_cp_over_pct,
        is_high_value=record.market_value >= rules.high_value_min_usd,
        is_aged=age >= rules.aged_min_days,
        is_recent=age <= rules.ftr_monitor_max_days,
        is_deliverable=record.side == "Sell" and coverage >= rules.dvp_deliver_min_pct,
    )


class _FactsTriage(NamedTuple):
    """The triage of facts, and the parts of its reason that the facts decide."""

    triage: Triage
    """Its reason is empty: it tells the shares and the days of a record."""
    kind: str
    score: str


@lru_cache(maxsize=4096)
def _triage_facts(facts: TriageFacts, kb: KnowledgeBase) -> _FactsTriage:
    """Triage all records with these facts, which many records share. kb: `triage.reason`."""
    scored = scoring.compute_score(
        facts.factors, facts.inventory_modifier, facts.conditions, kb.scoring
    )
    category, deadline = facts.category, facts.deadline
    tier = scoring.floor_tier(scored.tier, category, kb.scoring)
    regulatory_factor = scored.components.regulatory_factor
    close_out = regulatory_factor == kb.scoring.regulatory_factor["CLOSE_OUT"]
    lifecycle = classification.lifecycle_state(
        facts.is_offset, close_out and deadline is not None, tier
    )
    answer = Triage(
        category=category,
        cns_direction=facts.cns_direction,
        lifecycle_state=lifecycle,
        priority_score=scored.priority,
        priority_tier=tier,
        category_priority_override=tier != scored.tier,
        score_components=scored.components,
        reason="",
        action=classification.action(facts, lifecycle, tier),
        escalation_level=scoring.escalation_level(tier, regulatory_factor, kb.scoring),
        deadline=None if deadline is None else f"T+{deadline}",
        flags=classification.flags(facts, close_out),
    )
    raised = (
        "" if tier == scored.tier else f", tier raised from {scored.tier} because it is a CNS fail"
    )
    return _FactsTriage(
        answer,
        _KIND[facts.cns_direction if category == "CNS_FAIL" else category],
        f"scores {scored.priority} ({tier}): {scored.explanation}{raised}",
    )
