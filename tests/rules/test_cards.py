"""The worked examples of the two model cards: their correct answers, and the errors in the answers
that the cards print.
"""

from __future__ import annotations

from decimal import Decimal

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows


def violation(finding: dict[str, object]) -> tuple[object, object, object, object]:
    """Return the rule, the path and both values of a finding."""
    return finding["rule"], finding["path"], finding["expected"], finding["actual"]


def test_card_1_fail_scores_83_4(finops: Finops) -> None:
    """The fail of card 1 has a base score of 69.5, a priority score of 83.4 and the tier
    CRITICAL.
    """
    [line] = rows(finops("triage", EXAMPLES / "cards/fails.jsonl").stdout)
    triage = line["triage"]
    assert triage["score_components"]["base_score"] == Decimal("69.5")
    assert (triage["priority_score"], triage["priority_tier"]) == (Decimal("83.4"), "CRITICAL")


def test_card_2_case_covers_28_000_of_32_000_shares(finops: Finops) -> None:
    """The plan for card 2 is to chase 12,000 shares, take 8,000 from the box, recall 5,000 and
    borrow 3,000. A residual of 4,000 is escalated.
    """
    [line] = rows(finops("resolve", EXAMPLES / "cards/cases.jsonl").stdout)
    plan = line["resolution"]
    steps = [
        (step["action"], step["qty"], step["coverage_after_step_pct"])
        for step in plan["resolution_steps"]
    ]
    assert steps == [("CHASE_FTR", 12000, Decimal("37.5")), ("APPLY_BOX", 8000, Decimal("62.5"))]
    assert (plan["fallback_strategy"], plan["fallback_qty"]) == ("INITIATE_RECALL", 5000)
    assert (plan["secondary_fallback"], plan["secondary_fallback_qty"]) == ("SOURCE_BORROW", 3000)
    assert (plan["total_coverable"], plan["residual_short"], plan["residual_action"]) == (
        28000,
        4000,
        "ESCALATE",
    )


def test_published_answers_are_rejected_with_their_errors(finops: Finops) -> None:
    """The checker finds the arithmetic errors in the answers that the cards print. With the input
    it also finds the factors and steps that contradict the record.
    """
    done = finops("check", EXAMPLES / "cards/published.jsonl")
    lines = [line["findings"] for line in rows(done.stdout)]
    bare_triage, triage, bare_plan = (
        {violation(finding) for finding in findings} for findings in lines[:3]
    )
    assert done.returncode == 1
    assert bare_triage == {
        ("score.base", "/score_components/base_score", Decimal("66.50"), Decimal("73.5")),
        ("score.priority", "/priority_score", Decimal("79.8"), Decimal("88.2")),
    }
    assert triage == {
        ("score.cp_history_factor", "/score_components/cp_history_factor", 60, 30),
        ("score.base", "/score_components/base_score", Decimal("69.5"), Decimal("73.5")),
        ("score.priority", "/priority_score", Decimal("83.4"), Decimal("88.2")),
    }
    assert bare_plan == {("plan.total", "/total_coverable", 20000, 28000)}
    total, missing = sorted(lines[3], key=lambda finding: str(finding["rule"]))
    assert violation(total) == ("plan.total", "/total_coverable", 20000, 28000)
    assert (missing["rule"], missing["path"]) == ("waterfall.step_missing", "/resolution_steps/1")
    assert (missing["expected"]["action"], missing["expected"]["qty"]) == ("APPLY_BOX", 8000)
