"""The two published card examples: what they should have said, and why the checker rejects what
they say (domain, section 7).
"""

from __future__ import annotations

from decimal import Decimal

from tests.support.program import EXAMPLES, Finops
from tests.support.records import rows


def _broken(finding: dict[str, object]) -> tuple[object, object, object, object]:
    return finding["rule"], finding["path"], finding["expected"], finding["actual"]


def test_the_cards_fail_scores_83_4(finops: Finops) -> None:
    """Factors 60, 70, 80, 60 give base 69.5; on the threshold list, 10 % covered: 69.5 x 1.00 x
    1.20 = 83.4.
    """
    [line] = rows(finops("triage", EXAMPLES / "cards/fails.jsonl").stdout)
    triage = line["triage"]
    assert triage["score_components"]["base_score"] == Decimal("69.5")
    assert (triage["priority_score"], triage["priority_tier"]) == (Decimal("83.4"), "CRITICAL")


def test_the_cards_case_is_covered_to_28_000_of_32_000(finops: Finops) -> None:
    """Chase 12,000 (37.5 %), box 8,000 (62.5 %), recall 5,000, borrow 3,000: total 28,000, residual
    4,000.
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


def test_published_outputs_are_rejected_for_the_right_reasons(finops: Finops) -> None:
    """Alone, held against their own numbers; with their input, against what it gives."""
    done = finops("check", EXAMPLES / "cards/published.jsonl")
    lines = [line["findings"] for line in rows(done.stdout)]
    bare_triage, triage, bare_plan = (
        {_broken(finding) for finding in findings} for findings in lines[:3]
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
    assert _broken(total) == ("plan.total", "/total_coverable", 20000, 28000)
    assert (missing["rule"], missing["path"]) == ("waterfall.step_missing", "/resolution_steps/1")
    assert (missing["expected"]["action"], missing["expected"]["qty"]) == ("APPLY_BOX", 8000)
