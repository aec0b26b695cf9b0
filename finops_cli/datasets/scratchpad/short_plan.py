"""Make a plan with the engine's numbers and decisions, in short sentences without numbers.

A tiny resolver has to learn every word of an answer and needs time to write it. The checker
requires only that a free text exists and that its numbers are right. Required statements (the
corporate action, a partial gridlock) are included.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from finops_cli.domain.enums import StepAction
from finops_cli.domain.resolution import Resolution, ResolverInput
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.gridlock import assess
from finops_cli.rules.sourcing import corporate_action_option
from finops_cli.rules.waterfall import resolve

_RATIONALES: dict[StepAction, str] = {
    "CHASE_FTR": "Chase the counterparty",
    "OFFSET_FTR": "Aged: netted across dates",
    "NET_GRIDLOCK": "In gridlock: propose net settlement",
    "APPLY_BOX": "Free box holds shares",
    "PARTIAL_DELIVER": "Deliver the partial today",
    "DEPOT_MOVEMENT": "Depot shares arrive before the deadline",
    "BUY_IN_NOTICE": "Formal buy-in notice",
    "SPO_SETTLEMENT": "Shares cannot be delivered after the event: settle in cash",
}
_ACTION_WORDS: dict[StepAction, str] = {
    "CHASE_FTR": "chase",
    "OFFSET_FTR": "net across dates",
    "NET_GRIDLOCK": "propose a net settlement to all",
    "BUY_IN_NOTICE": "serve buy-in notice",
    "APPLY_BOX": "apply the box",
    "PARTIAL_DELIVER": "deliver the partial",
    "DEPOT_MOVEMENT": "move from the depot",
    "SPO_SETTLEMENT": "settle in cash",
}
_SOURCES = {"INITIATE_RECALL": "recall", "SOURCE_BORROW": "borrow"}
_OPTIONS = {
    "A": " Option A: deliver the pre-event shares; the counterparty must agree.",
    "B": " Option B: deliver the post-event equivalent; the counterparty must agree.",
    "C": " Option C: settle in cash, free of payment; the counterparty must agree.",
}


def make_short_plan(case: ResolverInput, kb: KnowledgeBase) -> Resolution:
    """Make the engine's plan for `case` in short words.

    Raises ValueError if the age of the fail is unknown.
    """
    plan = resolve(case, kb)
    steps = tuple(
        replace(step, rationale=_RATIONALES[step.action]) for step in plan.resolution_steps
    )
    reason = "The residual has no source" if plan.residual_short else ""
    return replace(
        plan,
        resolution_steps=steps,
        escalation_reason=reason,
        narrative=_narrative(case, plan, kb),
    )


def _narrative(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> str:
    text = "; ".join(_parts(case, plan, kb))
    option = corporate_action_option(case)
    return f"{text[0].upper()}{text[1:]}.{_OPTIONS[option] if option else ''}"


def _parts(case: ResolverInput, plan: Resolution, kb: KnowledgeBase) -> Iterator[str]:
    taken = {step.action for step in plan.resolution_steps}
    yield from (words for action, words in _ACTION_WORDS.items() if action in taken)
    yield from (
        _SOURCES[name]
        for name in (plan.fallback_strategy, plan.secondary_fallback)
        if name != "NONE"
    )
    if assess(case, kb.waterfall).extent == "partial":
        yield "partial gridlock: escalate there"
    yield "escalate the residual" if plan.residual_short else "no shares stay uncovered"
