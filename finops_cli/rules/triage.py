"""Stage 1: triage a fail record by the rules of a knowledge base."""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.domain.enums import Category, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules import classification, deadlines, scoring

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
    category, scored, tier = assess_urgency(record, kb)
    regulatory_factor = scored.components.regulatory_factor
    close_out = regulatory_factor == kb.scoring.regulatory_factor["CLOSE_OUT"]
    deadline = deadlines.deadline_day(record, kb.triage)
    lifecycle = classification.lifecycle_state(
        classification.is_offset(record), close_out and deadline is not None, tier
    )
    return Triage(
        category=category,
        cns_direction=record.cns_direction,
        lifecycle_state=lifecycle,
        priority_score=scored.priority,
        priority_tier=tier,
        category_priority_override=tier != scored.tier,
        score_components=scored.components,
        reason=reason(record, scored, category, tier),
        action=classification.action(record, category, lifecycle, tier, kb.triage),
        escalation_level=scoring.escalation_level(tier, regulatory_factor, kb.scoring),
        deadline=None if deadline is None else f"T+{deadline}",
        flags=classification.flags(record, close_out, deadline, kb.triage),
    )


def reason(record: FailRecord, scored: scoring.Score, category: str, tier: str) -> str:
    """One sentence that names the drivers. kb: `triage.reason`."""
    kind = _KIND[record.cns_direction if category == "CNS_FAIL" else category]
    days = "1 day" if record.age_days == 1 else f"{record.age_days} days"
    raised = (
        "" if tier == scored.tier else f", tier raised from {scored.tier} because it is a CNS fail"
    )
    return (
        f"{kind} of {record.qty:,} shares aged {days} scores {scored.priority} ({tier}):"
        f" {scored.explanation}{raised}."
    )
