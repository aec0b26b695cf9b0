"""The pipeline with correct and wrong models: an answer with findings is never accepted, and stage
2 runs only where it applies.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.output import encode
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import SEQUENCES
from finops_cli.pipeline.summary import count_line
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.text_models import a_model

INVENTORY = {
    "box_qty": 1000,
    "stock_loan_available": 0,
    "recall_outstanding": 0,
    "pending_receives": 9000,
}


def run_one(kb: KnowledgeBase, backend: Any) -> tuple[dict[str, Any], RunSummary]:
    line = jsonl(a_fail(inventory=INVENTORY)).strip()
    written = Pipeline(SEQUENCES["run"], backend, kb, timed=False).process(1, line)
    tally = RunSummary()
    count_line(tally, written.line, written.owed, backend.origin.is_model)
    return json.loads(encode(written.line), parse_float=Decimal), tally


def raise_score_by_a_tenth(stage: str, answer: dict[str, Any]) -> None:
    if stage == "triage":
        answer["priority_score"] += Decimal("0.1")


def drop_one_share(stage: str, answer: dict[str, Any]) -> None:
    if stage == "resolver":
        answer["residual_short"] -= 1


def use_another_age(stage: str, answer: dict[str, Any]) -> None:
    """Change the age to 2 days consistently: 10 x 0.30 less and a matching score."""
    if stage == "triage":
        components = answer["score_components"]
        components["age_factor"], components["base_score"] = 10, Decimal("54.5")
        answer["priority_score"], answer["priority_tier"], answer["escalation_level"] = (
            Decimal("65.4"),
            "HIGH",
            "L2",
        )


def fill_the_box(stage: str, answer: dict[str, Any]) -> None:
    """Change the box to 2,000 shares consistently, although it holds 1,000."""
    if stage == "resolver":
        box, *notice = answer["resolution_steps"]
        for step in (box, *notice):
            step["coverage_after_step_pct"], step["remaining_short"] = 40, 3000
        box["qty"], answer["total_coverable"], answer["residual_short"] = 2000, 2000, 3000


def test_wrong_score_fails_the_line_and_skips_resolution(kb: KnowledgeBase) -> None:
    """A wrong score fails the line: the line names the rule and both values, keeps the raw answer,
    and skips the resolution.
    """
    line, tally = run_one(kb, a_model(kb, raise_score_by_a_tenth, "reject"))
    assert (line["status"], line["triage"], line["resolution"]) == ("failed", None, None)
    [finding] = line["verification"]["triage"]
    assert (finding["rule"], finding["path"]) == ("score.priority", "/priority_score")
    assert (finding["expected"], finding["actual"]) == (Decimal("83.4"), Decimal("83.5"))
    assert '"priority_score":83.5' in line["raw"]["triage"][0]["text"]
    assert line["resolution_skipped"] == "the triage does not stand"
    assert tally.violations == {"score.priority": 1}
    assert not tally.all_verified


def test_wrong_plan_fails_the_line_and_keeps_the_triage(kb: KnowledgeBase) -> None:
    """A wrong plan fails the line and is removed. The triage and the raw plan stay."""
    line, tally = run_one(kb, a_model(kb, drop_one_share, "reject"))
    assert (line["status"], line["resolution"]) == ("failed", None)
    assert line["triage"]["priority_score"] == Decimal("83.4")
    assert [finding["rule"] for finding in line["verification"]["resolution"]] == ["plan.residual"]
    assert '"residual_short":3999' in line["raw"]["resolution"][0]["text"]
    assert tally.plans == 0


@pytest.mark.parametrize(
    ("stage", "change", "rule"),
    [
        ("triage", use_another_age, "score.age_factor"),
        ("resolution", fill_the_box, "waterfall.quantity"),
    ],
)
def test_consistent_answer_to_another_record_fails(
    stage: str, change: Any, rule: str, kb: KnowledgeBase
) -> None:
    """An answer that is consistent but belongs to another age or another box fails against its
    record.
    """
    line, _ = run_one(kb, a_model(kb, change, "reject"))
    assert (line["status"], line[stage]) == ("failed", None)
    assert rule in [finding["rule"] for finding in line["verification"][stage]]


def test_rejected_line_counts_zero_attempts(finops: Finops) -> None:
    """`attempts` is 1 for an answered line and 0 for a rejected one."""
    good, bad = rows(finops("triage", "-", stdin=jsonl(a_fail(), {"qty": 1})).stdout)
    assert (good["provenance"]["attempts"], bad["provenance"]["attempts"]) == (1, 0)


def test_resolve_summary_reports_residual_without_a_tier(finops: Finops) -> None:
    """The summary of `finops resolve` reports uncovered shares as `unknown`, because a case has no
    tier.
    """
    done = finops("resolve", EXAMPLES / "cards/cases.jsonl")
    assert "uncovered    unknown 4,000" in done.stderr.decode()


def test_empty_dk_reason_does_not_make_a_dispute(finops: Finops) -> None:
    """An empty `dk_reason` leaves the category CNS_FAIL. A text in it makes the fail a
    DK_DISPUTE.
    """
    empty, disputed = rows(
        finops(
            "triage",
            "-",
            stdin=jsonl(a_fail(dk_reason=""), a_fail(fail_id="F-2", dk_reason="price")),
        ).stdout
    )
    assert (empty["triage"]["category"], disputed["triage"]["category"]) == (
        "CNS_FAIL",
        "DK_DISPUTE",
    )


def test_plan_with_thousands_of_receipts_passes_the_check(finops: Finops, tmp_path: Path) -> None:
    """A gridlock of thousands of receipts gives a plan with all of them and a short narrative. The
    checker accepts it.
    """
    ftr = {
        "qty": 1,
        "age_days": 6,
        "settlement_type": "RVP",
        "settlement_date": "T+1",
        "cp_fail_rate_pct": 1,
    }
    ftrs = [
        {**ftr, "dtc": f"DTC-{number:04d}", "partial_delivery_history": False}
        for number in range(9000)
    ]
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(
        jsonl(
            a_fail(inventory=INVENTORY, ftrs=ftrs, qty=20_000),
            a_fail(ftrs=ftrs, inventory=INVENTORY),
        )
    )
    output = finops("run", fails).stdout
    first, second = rows(output)
    assert len(first["resolution"]["gridlock_parties"]) == 9000
    assert first["resolution"]["additional_ftrs_chased"] == 8990
    assert len(first["resolution"]["narrative"]) < 1000
    assert second["status"] == "rejected"
    assert finops("check", "-", "--fails", fails, stdin=output).returncode == 0


def test_correct_model_is_credited_in_line_and_summary(kb: KnowledgeBase) -> None:
    """The line of a correct model has the status ok and names the models. The summary counts their
    requests and correct answers.
    """
    line, tally = run_one(kb, a_model(kb))
    assert line["status"] == "ok"
    assert line["provenance"]["models"] == {"triage": "small", "resolver": "smaller"}
    assert tally.models == {
        "triage asked": 1,
        "triage right": 1,
        "resolver asked": 1,
        "resolver right": 1,
    }
    assert (tally.owed, tally.covered, tally.residual, tally.uncovered) == (
        5000,
        1000,
        4000,
        {"CRITICAL": 4000},
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cns_direction": "N_A", "side": "Buy"}, "nothing is owed by us"),
        ({"cns_direction": "FTR", "side": "Buy"}, "nothing is owed by us"),
        ({"dk_reason": "unknown trade"}, "until the trade is known"),
        ({"cns_position": 0}, "net obligation is gone"),
        ({"inventory": None}, "no inventory"),
    ],
)
def test_skipped_resolution_gives_its_reason(
    changes: dict[str, Any], reason: str, finops: Finops
) -> None:
    """Where the resolution does not apply, `resolution_skipped` gives the reason (kb:
    waterfall.applies).
    """
    [line] = rows(
        finops("run", "-", stdin=jsonl(a_fail(**{"inventory": INVENTORY, **changes}))).stdout
    )
    assert (line["status"], line["resolution"]) == ("ok", None)
    assert reason in line["resolution_skipped"]


def test_resolve_of_a_disputed_case_gives_no_plan(finops: Finops) -> None:
    """A case of category DK_DISPUTE gets no plan, and the checker rejects a plan for it."""
    case = json.loads((EXAMPLES / "cards/cases.jsonl").read_text())
    [plan] = rows(finops("resolve", "-", stdin=jsonl(case)).stdout)
    case["triage"]["category"] = "DK_DISPUTE"
    [line] = rows(finops("resolve", "-", stdin=jsonl(case)).stdout)
    assert (line["status"], line["resolution"]) == ("ok", None)
    assert "until the trade is known" in line["resolution_skipped"]
    judged = {
        "input": case,
        "resolution": json.loads(json.dumps(plan["resolution"], default=float)),
    }
    [verdict] = rows(finops("check", "-", stdin=jsonl(judged)).stdout)
    assert [finding["rule"] for finding in verdict["findings"]] == ["waterfall.applies"]


def test_case_age_is_derived_from_its_age_component(finops: Finops) -> None:
    """Without `age_days` the age of a case is derived from its age component. A component that no
    factor gives is rejected.
    """
    case = json.loads((EXAMPLES / "cards/cases.jsonl").read_text())
    case["triage"]["score_components"]["age"] = 17
    [line] = rows(finops("resolve", "-", stdin=jsonl(case)).stdout)
    assert line["error"]["problems"][0]["rule"] == "input.age"
    [line] = rows(finops("resolve", "-", stdin=jsonl({**case, "age_days": 9})).stdout)
    assert line["status"] == "ok"
