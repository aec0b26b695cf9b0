"""Repair an answer in which only numbers, and values that follow from them, are wrong.

Source: kb `model.violation_policy`, `model.unrepairable_fields`.

The result is the reference with the model's own sentences. Sentences with a finding are replaced by
the reference's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from finops_cli.domain.finding import Finding
from finops_cli.domain.resolution import Resolution, Step
from finops_cli.domain.triage import Triage


def repaired_triage(
    answer: Triage, findings: Iterable[Finding], reference: Triage, judgements: frozenset[str]
) -> Triage | None:
    """Correct the numbers of `answer`; None if one of `judgements` is wrong."""
    if any(_misjudged(answer, reference, judgements)):
        return None
    blamed = {finding.path for finding in findings}
    return reference if "/reason" in blamed else replace(reference, reason=answer.reason)


def repaired_plan(
    answer: Resolution,
    findings: Iterable[Finding],
    reference: Resolution,
    judgements: frozenset[str],
) -> Resolution | None:
    """Correct the numbers of `answer`; None if one of `judgements` is wrong.

    The steps of a plan are a judgement: their actions, counterparties and order.
    """
    if any(_misjudged(answer, reference, judgements)) or (
        "steps" in judgements and _course(answer) != _course(reference)
    ):
        return None
    if len(answer.resolution_steps) != len(reference.resolution_steps):
        return None
    blamed = {finding.path for finding in findings}
    steps = tuple(
        _step(i, answer, reference, blamed) for i in range(len(reference.resolution_steps))
    )
    texts = {
        name: getattr(answer, name)
        for name in ("escalation_reason", "narrative")
        if f"/{name}" not in blamed
        and bool(getattr(answer, name)) == bool(getattr(reference, name))
    }
    return replace(reference, resolution_steps=steps, **texts)


def _misjudged(answer: Struct, reference: Struct, judgements: frozenset[str]) -> Iterator[str]:
    fields = set(answer.__struct_fields__) & judgements
    return (name for name in fields if getattr(answer, name) != getattr(reference, name))


def _course(plan: Resolution) -> list[tuple[str, str | None]]:
    return [(step.action, step.dtc) for step in plan.resolution_steps]


def _step(i: int, answer: Resolution, reference: Resolution, blamed: set[str]) -> Step:
    right = reference.resolution_steps[i]
    path = f"/resolution_steps/{i}/rationale"
    return (
        right if path in blamed else replace(right, rationale=answer.resolution_steps[i].rationale)
    )
