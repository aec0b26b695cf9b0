"""The one place where card 1's triage becomes card 2's input (kb: `handoff.*`,
`waterfall.applies`).
"""

from __future__ import annotations

from functools import lru_cache

from finops_cli.domain.enums import Flag, HandoffFlag, HandoffLifecycleState
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.resolution import HandoffTriage, ResolverInput, WeightedContributions
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.kb.chapters.handoff import HandoffRules
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import has_delivery_obligation

_DISPUTED = "disputed trade: nothing is owed until the trade is known"


def not_resolved_because(record: FailRecord, triage: Triage) -> str | None:
    """Why stage 2 does not apply to `record`; None when it does. kb: `waterfall.applies`."""
    if not has_delivery_obligation(record):
        return "no delivery obligation: nothing is owed by us"
    if triage.category == "DK_DISPUTE":
        return _DISPUTED
    if triage.lifecycle_state == "OFFSET":
        return "the CNS net obligation is gone"
    if record.inventory is None:
        return "the record carries no inventory"
    return None


def case_not_resolved_because(case: ResolverInput) -> str | None:
    """The same for a resolver input, which says by its `ftd_qty` that shares are owed."""
    return _DISPUTED if case.triage.category == "DK_DISPUTE" else None


def handoff(record: FailRecord, triage: Triage, kb: KnowledgeBase) -> ResolverInput | str:
    """The resolver input of a triaged fail, or the reason why it has none."""
    inventory = record.inventory
    reason = not_resolved_because(record, triage)
    if reason is not None or inventory is None:
        return reason or "the record carries no inventory"
    rules = kb.handoff
    converted = HandoffTriage(
        triage.category,
        triage.cns_direction,
        _lifecycle(record.age_days, triage, rules),
        triage.priority_score,
        triage.priority_tier,
        _contributions(triage.score_components, kb.scoring),
        triage.reason,
        triage.action,
        rules.escalation[triage.escalation_level],
        triage.deadline,
        _flags(triage.flags, record.qty >= rules.large_position_from, rules),
    )
    return ResolverInput(
        converted,
        record.cusip,
        record.qty,
        inventory,
        record.ftrs,
        record.related_fails,
        record.age_days,
        record.corporate_action,
        record.fail_id,
    )


def _lifecycle(age_days: int, triage: Triage, rules: HandoffRules) -> HandoffLifecycleState:
    state = rules.lifecycle[triage.lifecycle_state]
    if state != "OPEN":
        return state
    if "AGED_FAIL" in triage.flags:
        return "AGED"
    return "NEW" if age_days <= rules.new_to else "OPEN"


def _contributions(components: ScoreComponents, rules: ScoringRules) -> WeightedContributions:
    return WeightedContributions(
        **{
            factor.row.handoff_field: getattr(components, field) * factor.weight
            for field, factor in rules.shown_factors
            if factor.row.handoff_field is not None
        }
    )


@lru_cache(maxsize=256)
def _flags(flags: tuple[Flag, ...], large: bool, rules: HandoffRules) -> tuple[HandoffFlag, ...]:
    kept: list[HandoffFlag] = [rules.flags[flag] for flag in flags if rules.flags[flag]]  # type: ignore[misc]
    return (*kept, "LARGE_POSITION") if large else tuple(kept)
