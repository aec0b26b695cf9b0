"""A plan is checked against itself: what each step and each field implies for the others."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from finops_cli.domain.resolution import Resolution, Step
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.verify.resolution import check_resolution

OWED = 1_000
PARTIES = ("DTC-0001", "DTC-0002")


def step_of(number: int, action: Any, qty: int, remaining: int, pct: str, **given: Any) -> Step:
    """Make a step; a receipt has a counterparty and settles."""
    return Step(
        step=number,
        action=action,
        qty=qty,
        dtc=given.get("dtc"),
        settlement_type="RVP" if "dtc" in given and qty else None,
        settlement_date="T+1" if "dtc" in given and qty else None,
        rationale="a reason",
        coverage_after_step_pct=Decimal(pct),
        remaining_short=remaining,
    )


PLAN = Resolution(
    resolution_steps=(
        step_of(1, "OFFSET_FTR", 125, 875, "12.5", dtc="DTC-0003"),
        step_of(2, "NET_GRIDLOCK", 200, 675, "32.5", dtc=PARTIES[0]),
        step_of(3, "NET_GRIDLOCK", 75, 600, "40", dtc=PARTIES[1]),
        step_of(4, "NET_GRIDLOCK", 100, 500, "50"),
        step_of(5, "BUY_IN_NOTICE", 0, 500, "50", dtc=PARTIES[0]),
        step_of(6, "APPLY_BOX", 99, 401, "59.9"),
    ),
    additional_ftrs_chased=3,
    fallback_strategy="INITIATE_RECALL",
    fallback_qty=300,
    secondary_fallback="SOURCE_BORROW",
    secondary_fallback_qty=100,
    total_coverable=999,
    residual_short=1,
    residual_action="ESCALATE",
    gridlock_detected=True,
    gridlock_parties=PARTIES,
    escalation_required=True,
    escalation_reason="1 share has no source",
    narrative="A plan.",
)
"""A plan that agrees with itself, with an aggregated step, a gridlock, a notice and a residual."""


def rules_broken(plan: Resolution, kb: KnowledgeBase) -> list[tuple[str, str]]:
    """Check `plan` alone, as the engine's own plan, and return the rules and paths found."""
    found = check_resolution(plan, kb, plan, OWED)
    return [(finding.rule, finding.path) for finding in found]


def with_step(i: int, **changes: Any) -> Resolution:
    """Return the plan with a changed step."""
    steps = list(PLAN.resolution_steps)
    steps[i] = replace(steps[i], **changes)
    return replace(PLAN, resolution_steps=tuple(steps))


def test_plan_that_agrees_with_itself_has_no_finding(kb: KnowledgeBase) -> None:
    """A consistent plan is accepted, whether the shares owed are known or follow from it."""
    assert rules_broken(PLAN, kb) == []
    assert check_resolution(PLAN, kb) == []


@pytest.mark.parametrize(
    ("i", "changes", "expected"),
    [
        (0, {"step": 2}, ["plan.numbering /step"]),
        (
            1,
            {"coverage_after_step_pct": Decimal("32.6")},
            ["plan.coverage /coverage_after_step_pct"],
        ),
        (
            2,
            {"coverage_after_step_pct": Decimal("39.9")},
            ["plan.coverage /coverage_after_step_pct"],
        ),
        (5, {"remaining_short": 400}, ["plan.remaining /remaining_short"]),
        (5, {"remaining_short": 402}, ["plan.remaining /remaining_short"]),
        (5, {"dtc": "DTC-0001"}, ["waterfall.counterparty /dtc"]),
        (4, {"settlement_type": "RVP"}, ["waterfall.settlement /settlement_type"]),
        (1, {"settlement_date": None}, ["waterfall.settlement /settlement_date"]),
        (5, {"action": "SOURCE_BORROW"}, ["waterfall.action /action"]),
    ],
)
def test_wrong_field_of_a_step_is_found(
    kb: KnowledgeBase, i: int, changes: dict[str, Any], expected: Sequence[str]
) -> None:
    """Each field of a step follows from the steps so far and the shares owed, or from its action;
    a wrong one is found, and nothing else is.
    """
    wanted = [tuple(each.split()) for each in expected]
    found = rules_broken(with_step(i, **changes), kb)
    assert found == [(rule, f"/resolution_steps/{i}{path}") for rule, path in wanted]


def test_step_that_covers_too_much_is_found(kb: KnowledgeBase) -> None:
    """Steps may not cover more than the shares owed, also where everything else adds up to that."""
    last = replace(
        PLAN.resolution_steps[-1],
        qty=501,
        remaining_short=0,
        coverage_after_step_pct=Decimal("100.1"),
    )
    plan = replace(
        PLAN,
        resolution_steps=(*PLAN.resolution_steps[:-1], last),
        total_coverable=1401,
        residual_short=0,
        residual_action="NONE",
        escalation_required=False,
        escalation_reason="",
    )
    assert ("waterfall.quantity", "/resolution_steps/5/qty") in rules_broken(plan, kb)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"additional_ftrs_chased": 0}, ["waterfall.chase /additional_ftrs_chased"]),
        ({"gridlock_parties": PARTIES[:1]}, ["gridlock.parties /gridlock_parties"]),
        ({"gridlock_parties": PARTIES[::-1]}, ["gridlock.parties /gridlock_parties"]),
        (
            {"gridlock_detected": False, "gridlock_parties": ()},
            ["gridlock.detected /gridlock_detected"],
        ),
        (
            {"total_coverable": 998, "residual_short": 2},
            ["plan.total /total_coverable"],
        ),
        ({"residual_short": 2}, ["plan.residual /residual_short"]),
        ({"escalation_reason": ""}, ["plan.escalation /escalation_reason"]),
        ({"secondary_fallback": "NONE"}, ["waterfall.fallback /secondary_fallback_qty"]),
    ],
)
def test_wrong_field_of_a_plan_is_found(
    kb: KnowledgeBase, changes: dict[str, Any], expected: Sequence[str]
) -> None:
    """Each field of a plan follows from its steps and other fields; a wrong one is found, and
    nothing else is.
    """
    wanted = [tuple(each.split()) for each in expected]
    assert rules_broken(replace(PLAN, **changes), kb) == wanted


@pytest.mark.parametrize(("stated", "is_right"), [("0.01", True), ("0.00", False)])
def test_coverage_is_rounded_half_up(kb: KnowledgeBase, stated: str, is_right: bool) -> None:
    """One of 20,000 shares is 0.005 %, which is 0.01 % with two decimals and not 0 %."""
    steps = (step_of(1, "APPLY_BOX", 1, 19_999, stated),)
    plan = replace(PLAN, resolution_steps=steps)
    found = {finding.rule for finding in check_resolution(plan, kb, plan, 20_000)}
    assert ("plan.coverage" not in found) == is_right
