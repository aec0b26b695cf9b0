"""The fields of an answer that are held against the rules one by one."""

from __future__ import annotations

from typing import Any

from finops_cli.domain.resolution import Resolution
from finops_cli.domain.triage import ScoreComponents, Triage

COMPONENTS = ScoreComponents.__struct_fields__
TRIAGE_FIELDS = (
    tuple(name for name in Triage.__struct_fields__ if name not in ("score_components", "reason"))
    + COMPONENTS
)
PLAN_FIELDS = (
    "steps",
    *(
        name
        for name in Resolution.__struct_fields__
        if name not in ("resolution_steps", "escalation_reason", "narrative")
    ),
)


def triage_fields(answer: Triage) -> dict[str, Any]:
    """Every judged field of a triage.

    Sentences are judged by what they claim, not by their wording.
    """
    said = {name: getattr(answer, name) for name in TRIAGE_FIELDS if name not in COMPONENTS}
    return said | {name: getattr(answer.score_components, name) for name in COMPONENTS}


def plan_fields(plan: Resolution) -> dict[str, Any]:
    """Every judged field of a plan; its steps as action, participant and shares."""
    said = {name: getattr(plan, name) for name in PLAN_FIELDS if name != "steps"}
    return {"steps": [(step.action, step.dtc, step.qty) for step in plan.resolution_steps]} | said
