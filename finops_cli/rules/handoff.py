"""Hand a triaged fail to the resolver: card 1's triage becomes card 2's case (kb: `handoff.*`)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from finops_cli.domain.enums import Category, Flag, HandoffFlag, HandoffLifecycleState
from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.resolution import HandoffTriage, ResolverInput, WeightedContributions
from finops_cli.domain.triage import ScoreComponents, Triage
from finops_cli.kb.chapters.handoff import HandoffRules
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.deadlines import has_delivery_obligation


class NotApplicable(NamedTuple):
    """The reason why a fail has no resolution."""

    reason: str
    """One sentence, as `resolution_skipped` of an output line has it."""


_NOTHING_OWED = NotApplicable("no delivery obligation: nothing is owed by us")
_DISPUTED = NotApplicable("disputed trade: nothing is owed until the trade is known")
_NETTED = NotApplicable("the CNS net obligation is gone")
_NO_INVENTORY = NotApplicable("the record carries no inventory")


def find_obstacle(case: ResolverInput) -> NotApplicable | None:
    """Why `case` is not resolved; None when it is. A case owes its `ftd_qty`."""
    return _DISPUTED if case.triage.category == "DK_DISPUTE" else None


def find_exemption(record: FailRecord, triage: Triage) -> NotApplicable | None:
    """Say why a triaged fail owes nothing that could be sourced; None where it does."""
    return exempt(record, triage.category, is_offset=triage.lifecycle_state == "OFFSET")


def exempt(record: FailRecord, category: Category, *, is_offset: bool) -> NotApplicable | None:
    """Say why a fail owes nothing that could be sourced; None where it does."""
    if not has_delivery_obligation(record):
        return _NOTHING_OWED
    if category == "DK_DISPUTE":
        return _DISPUTED
    if is_offset:
        return _NETTED
    return None


def handoff(record: FailRecord, triage: Triage, kb: KnowledgeBase) -> ResolverInput | NotApplicable:
    """Make the case of a triaged fail, or say why it has none. kb: `waterfall.applies`."""
    exemption = find_exemption(record, triage)
    if exemption is not None:
        return exemption
    if record.inventory is None:
        return _NO_INVENTORY
    return make_case(record, triage, kb, record.inventory, record.ftrs)


def make_case(
    record: FailRecord,
    triage: Triage,
    kb: KnowledgeBase,
    inventory: Inventory,
    ftrs: tuple[Ftr, ...],
) -> ResolverInput:
    """Make the case of a triaged fail that may use this stock and these receives."""
    return ResolverInput(
        triage=_convert(record, triage, kb),
        cusip=record.cusip,
        ftd_qty=record.qty,
        inventory=inventory,
        ftrs=ftrs,
        related_fails=record.related_fails,
        age_days=record.age_days,
        corporate_action=record.corporate_action,
        fail_id=record.fail_id,
    )


def _convert(record: FailRecord, triage: Triage, kb: KnowledgeBase) -> HandoffTriage:
    rules = kb.handoff
    return HandoffTriage(
        category=triage.category,
        cns_direction=triage.cns_direction,
        lifecycle_state=_lifecycle(record.age_days, triage, rules),
        priority_score=triage.priority_score,
        priority_tier=triage.priority_tier,
        score_components=_contributions(triage.score_components, kb.scoring),
        reason=triage.reason,
        action=triage.action,
        escalation_level=rules.escalation[triage.escalation_level],
        deadline=triage.deadline,
        flags=_flags(triage.flags, record.qty >= rules.large_position_min_shares, rules),
    )


def _lifecycle(age_days: int, triage: Triage, rules: HandoffRules) -> HandoffLifecycleState:
    state = rules.lifecycle[triage.lifecycle_state]
    if state != "OPEN":
        return state
    if "AGED_FAIL" in triage.flags:
        return "AGED"
    return "NEW" if age_days <= rules.new_max_days else "OPEN"


def _contributions(components: ScoreComponents, rules: ScoringRules) -> WeightedContributions:
    known, weighted = _known_contributions(components, rules)
    if known is components:
        return weighted
    return _weigh(components, rules)  # 10 and 10.0 are equal, but their digits are not


@lru_cache(maxsize=4096)
def _known_contributions(
    components: ScoreComponents, rules: ScoringRules
) -> tuple[ScoreComponents, WeightedContributions]:
    """Weigh components once for all records that share them, as those of the rules do."""
    return components, _weigh(components, rules)


def _weigh(components: ScoreComponents, rules: ScoringRules) -> WeightedContributions:
    return WeightedContributions(
        **{
            factor.row.handoff_field: getattr(components, field) * factor.weight
            for field, factor in rules.factors_by_field
            if factor.row.handoff_field is not None
        }
    )


@lru_cache(maxsize=256)
def _flags(flags: tuple[Flag, ...], large: bool, rules: HandoffRules) -> tuple[HandoffFlag, ...]:
    kept: list[HandoffFlag] = [rules.flags[flag] for flag in flags if rules.flags[flag]]  # type: ignore[misc]
    return (*kept, "LARGE_POSITION") if large else tuple(kept)
