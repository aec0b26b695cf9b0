"""Stage 1: triage a fail record by the rules of a knowledge base."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain.enums import Category, Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.money import render_quantity
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules import classification, deadlines, scoring
from finops_cli.rules.triage_facts import (
    TriageFacts,
    collect_bounds,
    make_record_with,
    read_facts,
)

_KIND = {
    "DVP_FAIL": "DVP fail",
    "B2B_PENDING": "Back-to-back fail",
    "CA_EVENT": "Corporate action fail",
    "DK_DISPUTE": "Disputed trade",
    "FTD": "CNS fail to deliver",
    "FTR": "CNS fail to receive",
}


class Urgency(Struct, frozen=True):
    """The facts that decide how urgent a fail is."""

    category: Category
    score: Decimal
    tier: Tier


def assess_urgency(record: FailRecord, kb: KnowledgeBase) -> Urgency:
    """Find the category, the score and the tier of `record`, without the words of a triage."""
    answer = triage_alike(record, kb).triage
    return Urgency(answer.category, answer.priority_score, answer.priority_tier)


def triage(record: FailRecord, kb: KnowledgeBase) -> Triage:
    """Triage `record`: score, tier, category, action, escalation, deadline and flags."""
    return triage_alike(record, kb).give_reason(record)


class SharedTriage(Struct, frozen=True):
    """The triage of records with equal facts, and the parts of its reason that the facts decide."""

    triage: Triage
    """Its reason is empty: it tells the shares and the days of a record."""
    kind: str
    score: str

    def give_reason(self, record: FailRecord) -> Triage:
        """Return the triage of one of these records, with its reason."""
        days = "1 day" if record.age_days == 1 else f"{record.age_days} days"
        qty = render_quantity(record.qty)
        reason = f"{self.kind} of {qty} shares aged {days} {self.score}."
        return replace(self.triage, reason=reason)


def triage_alike(record: FailRecord, kb: KnowledgeBase) -> SharedTriage:
    """Triage all records that have the facts of `record`."""
    compared = collect_bounds(kb)
    facts = read_facts(record, compared, kb)
    return _triage_facts(facts, kb) if compared.is_complete else _triage(record, facts, kb)


@lru_cache(maxsize=4096)
def _triage_facts(facts: TriageFacts, kb: KnowledgeBase) -> SharedTriage:
    """Triage all records with these facts, which many records share."""
    return _triage(make_record_with(facts, kb), facts, kb)


def _triage(record: FailRecord, facts: TriageFacts, kb: KnowledgeBase) -> SharedTriage:
    """Triage `record`, which has these facts. kb: `triage.reason`."""
    rules, category = kb.triage, facts.category
    scored = scoring.score(record, deadlines.regulatory_state(record, rules), kb.scoring)
    deadline = deadlines.deadline_day(record, rules)
    tier = scoring.floor_tier(scored.tier, category, kb.scoring)
    regulatory_factor = scored.components.regulatory_factor
    close_out = regulatory_factor == kb.scoring.regulatory_factor["CLOSE_OUT"]
    lifecycle = classification.lifecycle_state(
        facts.is_offset, close_out and deadline is not None, tier
    )
    answer = Triage(
        category=category,
        cns_direction=record.cns_direction,
        lifecycle_state=lifecycle,
        priority_score=scored.priority,
        priority_tier=tier,
        category_priority_override=tier != scored.tier,
        score_components=scored.components,
        reason="",
        action=classification.action(record, category, lifecycle, tier, rules),
        escalation_level=scoring.escalation_level(tier, regulatory_factor, kb.scoring),
        deadline=None if deadline is None else f"T+{deadline}",
        flags=classification.flags(record, close_out, deadline, rules),
    )
    raised = (
        "" if tier == scored.tier else f", tier raised from {scored.tier} because it is a CNS fail"
    )
    return SharedTriage(
        answer,
        _KIND[record.cns_direction if category == "CNS_FAIL" else category],
        f"scores {scored.priority} ({tier}): {scored.explanation}{raised}",
    )
