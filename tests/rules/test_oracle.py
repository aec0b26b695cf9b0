"""Comparison of the finops commands with a second implementation of the rules,
`tests/support/oracle`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import msgspec
import pytest

from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.parse import parse_fail_line
from finops_cli.rules.handoff import NotApplicable, handoff
from finops_cli.rules.triage import triage
from tests.support.oracle import plan_oracle, triage_oracle
from tests.support.oracle.corruptions import PLAN_ACTIONS
from tests.support.oracle.random_fails import random_case, random_fail
from tests.support.program import ROOT

SEED = 20260101
FAILS = (200, pytest.param(5_000, marks=pytest.mark.slow))
CASES = (250, pytest.param(2_000, marks=pytest.mark.slow))
"""Random records: few by default, all of them in CI."""
TEXTS = {"reason", "rationale", "narrative"}
ENGINE = ("--backend", "engine", "--no-timing", "-q")
STEP_ACTIONS = set(PLAN_ACTIONS)
PLAN_FIELDS = [
    "resolution_steps", "additional_ftrs_chased", "fallback_strategy", "fallback_qty",
    "secondary_fallback",
    "secondary_fallback_qty", "total_coverable", "residual_short", "residual_action",
    "gridlock_detected", "gridlock_parties",
    "escalation_required", "escalation_reason", "narrative",
]  # fmt: skip
TRIAGE_FIELDS = [
    "category", "cns_direction", "lifecycle_state", "priority_score", "priority_tier",
    "category_priority_override",
    "score_components", "reason", "action", "escalation_level", "deadline", "flags",
]  # fmt: skip
RECORD_OF_CARD_1: dict[str, Any] = {
    "cusip": "594918104", "side": "Sell", "qty": 5000, "counterparty": "DTC-0005", "age_days": 7,
    "market_value": "$2.1M",
    "cns_position": -5000, "cns_direction": "FTD", "reg_sho_threshold": True,
    "inventory_coverage_pct": 10, "cp_fail_rate_pct": 4,
}  # fmt: skip
INPUT_OF_CARD_2: dict[str, Any] = {
    "triage": {
        "category": "CNS_FAIL", "cns_direction": "FTD", "lifecycle_state": "ESCALATED",
        "priority_score": 88.2,
        "priority_tier": "CRITICAL",
        "score_components": {"age": 18.0, "value": 12.5, "regulatory": 28.0, "counterparty": 3.0},
        "reason": "CNS FTD 32000 shs, threshold security, high priority",
        "action": "LOCATE_AND_DELIVER",
        "escalation_level": "L3", "deadline": "T+13", "flags": ["THRESHOLD_SECURITY", "HIGH_VALUE"],
    },
    "cusip": "594918104", "ftd_qty": 32000,
    "inventory": {"box_qty": 8000, "stock_loan_available": 3000, "recall_outstanding": 5000,
    "pending_receives": 2000},
    "ftrs": [
        {
            "dtc": "DTC-0161", "qty": 12000, "age_days": 3, "settlement_type": "RVP",
            "settlement_date": "T+1",
            "cp_fail_rate_pct": 2.1, "partial_delivery_history": True,
        }
    ],
    "related_fails": [{"category": "DVP_FAIL", "dtc": "DTC-0352", "qty": 5000, "side": "Sell",
    "age_days": 2}],
}  # fmt: skip


def finops(
    command: str, rows: list[dict[str, Any]], options: tuple[str, ...] = ENGINE
) -> list[dict[str, Any]]:
    """`finops COMMAND -` over `rows`, as the lines it prints, numbers exact."""
    call = [sys.executable, "-m", "finops_cli", command, "-", *options]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    done = subprocess.run(
        call,
        input=lines,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Where `actual` is not `expected`: JSON types must agree, numbers are equal as exact
    fractions.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            if key not in expected or key not in actual:
                yield f"{path}/{key}: only in {'actual' if key in actual else 'expected'}"
            else:
                yield from differences(expected[key], actual[key], f"{path}/{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: expected {len(expected)} items, got {len(actual)}"
        for place, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, f"{path}/{place}")
    elif not _equal(expected, actual):
        yield f"{path}: expected {expected}, got {actual}"


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, int | Fraction) and not isinstance(expected, bool):
        is_number = isinstance(actual, int | Decimal) and not isinstance(actual, bool)
        return is_number and Fraction(actual) == expected
    return type(expected) is type(actual) and bool(expected == actual)


def scored_triage(answer: dict[str, Any]) -> dict[str, Any]:
    """The triage without its sentence."""
    return {key: value for key, value in answer.items() if key not in TEXTS}


def scored_plan(answer: dict[str, Any]) -> dict[str, Any]:
    """The plan without its texts; of the escalation reason, whether there is one."""
    plan = {key: value for key, value in answer.items() if key not in TEXTS}
    steps = [
        {key: value for key, value in step.items() if key not in TEXTS}
        for step in plan["resolution_steps"]
    ]
    return plan | {"resolution_steps": steps, "escalation_reason": plan["escalation_reason"] != ""}


def broken_invariants(case: dict[str, Any], plan: dict[str, Any]) -> Iterator[str]:
    """Every invariant that section 6 lists for a valid output, judged on input and output alone."""
    owed, covered = case["ftd_qty"], 0
    for place, step in enumerate(plan["resolution_steps"], start=1):
        covered += step["qty"]
        coverage = Fraction(step["coverage_after_step_pct"])
        if step["step"] != place:
            yield f"step {place} is numbered {step['step']}"
        if (
            abs(coverage - Fraction(100 * covered, owed)) > Fraction(5, 1000)
            or (coverage * 100).denominator != 1
        ):
            yield f"step {place}: coverage {coverage}"
        if not 0 <= coverage <= 100 or step["qty"] < 0 or step["remaining_short"] != owed - covered:
            yield f"step {place}: quantity, coverage or remaining out of range"
        if step["action"] not in STEP_ACTIONS or step["settlement_type"] not in (
            None,
            "RVP",
            "DVP",
            "FOP",
        ):
            yield f"step {place}: unknown word"
    total = covered + plan["fallback_qty"] + plan["secondary_fallback_qty"]
    residual = max(0, owed - total)
    if (plan["total_coverable"], plan["residual_short"]) != (total, residual):
        yield "total or residual does not add up"
    if plan["escalation_required"] is not (residual > 0) or (
        plan["escalation_reason"] != ""
    ) is not (residual > 0):
        yield "escalation disagrees with the residual"
    if plan["residual_action"] != ("ESCALATE" if residual else "NONE"):
        yield "residual_action disagrees"
    known = {row["dtc"] for row in [*case["ftrs"], *case["related_fails"]]}
    if plan["gridlock_detected"] is not bool(plan["gridlock_parties"]) or not known.issuperset(
        plan["gridlock_parties"]
    ):
        yield "gridlock parties"
    yield from _beyond_its_source(case, plan)


def _beyond_its_source(case: dict[str, Any], plan: dict[str, Any]) -> Iterator[str]:
    stock, taken = case["inventory"], Counter[str]()
    sources = Counter[str]({"box": stock["box_qty"], "depot": stock.get("depot_qty") or 0})
    sources.update(
        {
            "INITIATE_RECALL": stock["recall_outstanding"],
            "SOURCE_BORROW": stock["stock_loan_available"],
        }
    )
    for ftr in case["ftrs"]:
        sources.update({str(ftr["dtc"]): ftr["qty"], "any FTR": ftr["qty"]})
    for step in plan["resolution_steps"]:
        if step["action"] in ("CHASE_FTR", "OFFSET_FTR", "NET_GRIDLOCK"):
            taken.update(
                {"any FTR": step["qty"]} | ({step["dtc"]: step["qty"]} if step["dtc"] else {})
            )
        if step["action"] in ("APPLY_BOX", "DEPOT_MOVEMENT"):
            taken.update({"box" if step["action"] == "APPLY_BOX" else "depot": step["qty"]})
    for strategy, qty in (
        ("fallback_strategy", "fallback_qty"),
        ("secondary_fallback", "secondary_fallback_qty"),
    ):
        if plan[strategy] not in ("NONE", "INITIATE_RECALL", "SOURCE_BORROW"):
            yield f"unknown {plan[strategy]}"
        taken[plan[strategy]] += plan[qty]
    yield from (
        f"{source}: took {qty} of {sources[source]}"
        for source, qty in taken.items()
        if qty > sources[source]
    )


@pytest.fixture(scope="module", params=FAILS)
def fails(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    rng = Random(SEED)
    return [random_fail(rng, f"F-{number}") for number in range(request.param)]


@pytest.fixture(scope="module")
def run_lines(fails: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return finops("run", fails)


@pytest.fixture(scope="module", params=CASES)
def cases(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    rng = Random(SEED + 1)
    return [random_case(rng, f"C-{number}") for number in range(request.param)]


@pytest.fixture(scope="module")
def plans(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return finops("resolve", cases)


def describe(found: list[tuple[str, list[str]]]) -> str:
    """How many records differ, and the first few."""
    return f"{len(found)} records differ\n" + "\n".join(
        f"{name}: {where}" for name, where in found[:10]
    )


@pytest.mark.slow
def test_run_of_random_fails_writes_one_ok_line_each(
    fails: list[dict[str, Any]], run_lines: list[dict[str, Any]]
) -> None:
    """`finops run` writes one line with the status ok for each random fail, in input order."""
    assert [line["fail_id"] for line in run_lines] == [fail["fail_id"] for fail in fails]
    assert Counter(line["status"] for line in run_lines) == {"ok": len(fails)}
    assert all(list(line["triage"]) == TRIAGE_FIELDS for line in run_lines)


def test_triage_of_random_fails_equals_the_oracle(
    fails: list[dict[str, Any]], run_lines: list[dict[str, Any]]
) -> None:
    """finops and the oracle give each fail the same triage, except the reason."""
    pairs = zip(fails, run_lines, strict=True)
    found = [
        (f["fail_id"], list(differences(triage_oracle.triage(f), scored_triage(line["triage"]))))
        for f, line in pairs
    ]
    assert not any(where for _, where in found), describe([one for one in found if one[1]])


def test_resolution_is_run_or_skipped_as_the_oracle_says(
    fails: list[dict[str, Any]], run_lines: list[dict[str, Any]]
) -> None:
    """A fail gets the oracle's plan, or a reason in `resolution_skipped` where it has none."""
    found = []
    for fail, line in zip(fails, run_lines, strict=True):
        case = plan_oracle.case_of(fail)
        if case is None:
            skipped = line["resolution"] is None and bool(line["resolution_skipped"])
            where = [] if skipped else ["resolved, or skipped without a reason"]
        elif line["resolution"] is None:
            where = [f"skipped: {line['resolution_skipped']}"]
        else:
            where = [*differences(plan_oracle.resolution(case), scored_plan(line["resolution"]))]
            where += broken_invariants(case, line["resolution"])
        found.append((fail["fail_id"], where))
    assert not any(where for _, where in found), describe([one for one in found if one[1]])


def test_handoff_of_random_fails_equals_the_oracle(fails: list[dict[str, Any]]) -> None:
    """The handoff turns a triage into the same resolver input as the oracle does."""
    kb, found = load_kb(bundled_kb_dir()), []
    for fail in fails:
        record = parse_fail_line(json.dumps(fail).encode()).value
        assert record is not None
        case = handoff(record, triage(record, kb), kb)
        if isinstance(case, NotApplicable):
            continue
        lines = msgspec.to_builtins(case.triage, builtin_types=(Decimal,))
        lines["flags"] = list(lines["flags"])
        expected = plan_oracle.handoff(fail)
        found.append((fail["fail_id"], list(differences(expected, scored_triage(lines)))))
    assert len(found) > len(fails) // 10
    assert not any(where for _, where in found), describe([one for one in found if one[1]])


def test_plan_of_random_cases_equals_the_oracle(
    cases: list[dict[str, Any]], plans: list[dict[str, Any]]
) -> None:
    """finops and the oracle give each random case the same plan in every field except the texts."""
    pairs = zip(cases, plans, strict=True)
    found = [
        (
            c["fail_id"],
            list(differences(plan_oracle.resolution(c), scored_plan(line["resolution"]))),
        )
        for c, line in pairs
    ]
    assert not any(where for _, where in found), describe([one for one in found if one[1]])


def test_plan_of_random_cases_breaks_no_invariant(
    cases: list[dict[str, Any]], plans: list[dict[str, Any]]
) -> None:
    """Each plan obeys the invariants of a plan and has the fields of card 2, in their order."""
    pairs = zip(cases, plans, strict=True)
    found = [
        (case["fail_id"], list(broken_invariants(case, line["resolution"]))) for case, line in pairs
    ]
    assert not any(where for _, where in found), describe([one for one in found if one[1]])
    assert all(list(line["resolution"]) == PLAN_FIELDS for line in plans)


def test_random_cases_reach_every_action_and_outcome(plans: list[dict[str, Any]]) -> None:
    """The random cases use every step action, both fallbacks and all gridlock outcomes."""
    seen = Counter(
        step["action"] for line in plans for step in line["resolution"]["resolution_steps"]
    )
    assert seen.keys() >= STEP_ACTIONS - {"INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE"}, seen
    sizes = {min(len(line["resolution"]["gridlock_parties"]), 2) for line in plans}
    assert sizes == {0, 1, 2}
    assert any(line["resolution"]["additional_ftrs_chased"] for line in plans)
    assert {line["resolution"]["secondary_fallback"] for line in plans} == {"NONE", "SOURCE_BORROW"}


def text_form_of(fail: dict[str, Any]) -> str:
    """Write `fail` in the text form, with the labels that card 1 uses."""
    pairs = [
        f"CUSIP: {fail['cusip']}", f"Side: {fail['side']}", f"Qty: {fail['qty']}",
        f"Counterparty: {fail['counterparty']}",
        f"Age: {fail['age_days']} days", f"Market Value: {fail['market_value']}",
        *([f"CNS Position: {fail['cns_position']}"] if fail.get("cns_position") is not None else []),  # noqa: E501
        f"CNS Direction: {fail['cns_direction']}",
        f"Reg SHO Threshold: {'Yes' if fail['reg_sho_threshold'] else 'No'}",
        f"Inventory Coverage: {fail['inventory_coverage_pct']}%",
        f"CP 15-day Fail Rate: {fail['cp_fail_rate_pct']}%",
    ]  # fmt: skip
    return f"Triage this fail record: {' | '.join(pairs)}"


def test_triage_of_text_form_equals_the_oracle(fails: list[dict[str, Any]]) -> None:
    """A fail in the text form gets the triage of the record that it describes."""
    known = [{name: fail.get(name) for name in RECORD_OF_CARD_1} for fail in fails[:500]]
    lines = finops(
        "triage",
        [{"fail_id": f"T-{n}", "text": text_form_of(fail)} for n, fail in enumerate(known)],
    )
    pairs = zip(known, lines, strict=True)
    found = [
        (line["fail_id"], list(differences(triage_oracle.triage(f), scored_triage(line["triage"]))))
        for f, line in pairs
    ]
    assert not any(where for _, where in found), describe([one for one in found if one[1]])


def test_card_1_record_scores_69_5_and_83_4() -> None:
    """finops and the oracle give the record of card 1 the scores 69.5 and 83.4."""
    [line] = finops("triage", [RECORD_OF_CARD_1])
    for answer in (line["triage"], triage_oracle.triage(RECORD_OF_CARD_1)):
        assert (answer["score_components"]["base_score"], answer["priority_score"]) == (
            Fraction("69.5"),
            Fraction("83.4"),
        )


def test_card_2_input_gives_the_same_plan_as_the_oracle() -> None:
    """finops and the oracle give the input of card 2 the plan that the rules require."""
    [line] = finops("resolve", [INPUT_OF_CARD_2])
    for plan in (line["resolution"], plan_oracle.resolution(INPUT_OF_CARD_2)):
        steps = [
            (step["action"], step["qty"], step["coverage_after_step_pct"])
            for step in plan["resolution_steps"]
        ]
        assert steps == [
            ("CHASE_FTR", 12_000, Fraction("37.5")),
            ("APPLY_BOX", 8_000, Fraction("62.5")),
        ]
        assert (plan["fallback_strategy"], plan["fallback_qty"]) == ("INITIATE_RECALL", 5_000)
        assert (plan["secondary_fallback"], plan["secondary_fallback_qty"]) == (
            "SOURCE_BORROW",
            3_000,
        )
        assert (plan["total_coverable"], plan["residual_short"], plan["residual_action"]) == (
            28_000,
            4_000,
            "ESCALATE",
        )
