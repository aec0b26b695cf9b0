"""The entries of the knowledge base that decided a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from finops_cli.views.fail_page.line import FailLine, PlanAnswer

_TRIAGE = (
    "triage.category",
    "triage.lifecycle",
    "triage.action",
    "triage.deadline",
    "score.base",
    "score.priority",
    "tier.band",
    "tier.escalation",
)
_STEPS: Mapping[str, str] = {
    "CHASE_FTR": "waterfall.chase",
    "OFFSET_FTR": "waterfall.offset",
    "APPLY_BOX": "waterfall.box",
    "DEPOT_MOVEMENT": "waterfall.depot",
    "PARTIAL_DELIVER": "waterfall.partial",
    "INITIATE_RECALL": "waterfall.fallback",
    "SOURCE_BORROW": "waterfall.fallback",
    "NET_GRIDLOCK": "gridlock.detected",
    "BUY_IN_NOTICE": "waterfall.b2b_notice",
    "SPO_SETTLEMENT": "waterfall.corporate_action",
    "ESCALATE": "plan.escalation",
}
"""The rule of each action of a step."""


def list_rules(line: FailLine) -> list[str]:
    """Return the ids in the order of the page, each once."""
    return list(dict.fromkeys(_find_rules(line)))


def _find_rules(line: FailLine) -> Iterator[str]:
    if line.headline is not None:
        yield "headline.order"
    if line.triage is not None:
        yield from _TRIAGE
        if line.triage.category_priority_override:
            yield "tier.cns_floor"
    if line.resolution is not None:
        yield from _plan_rules(line.resolution)
    if line.clock is not None:
        for entries in (line.clock.obligations, line.clock.rights, line.clock.costs):
            yield from (each.kb for each in entries)
    yield from (found.rule for _, found in line.findings())
    yield from (found.rule for found in line.warnings)


def _plan_rules(plan: PlanAnswer) -> Iterator[str]:
    yield from ("waterfall.rank", "plan.coverage")
    yield from (_STEPS[step.action] for step in plan.resolution_steps if step.action in _STEPS)
    if plan.fallback_strategy != "NONE":
        yield "waterfall.fallback"
    if plan.residual_short:
        yield "plan.residual"
    if plan.escalation_required:
        yield "plan.escalation"
