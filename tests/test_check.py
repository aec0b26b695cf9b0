"""`finops check`: one verdict a line, whatever the line is (contracts, section 3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EXAMPLES, Finops, jsonl, rows


def _verdicts(finops: Finops, *lines: object) -> list[dict[str, Any]]:
    return rows(finops("check", "-", given=jsonl(*lines)).stdout)


@pytest.fixture
def plan(finops: Finops) -> dict[str, Any]:
    """The full gridlock of the examples: three netted receipts, box."""
    output = finops("run", EXAMPLES / "gridlock.jsonl", "--no-timing").stdout
    resolution: dict[str, Any] = json.loads(output.splitlines()[0])["resolution"]
    return resolution


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"{", "schema.json"),
        (b"", "schema.json"),
        (b"[]", "schema.shape"),
        (b"{}", "schema.shape"),
        (b'{"hello": 1}', "schema.shape"),
        (b'{"status": "fine", "provenance": {}}', "schema.enum"),
        (b'{"status": [], "provenance": {}}', "schema.enum"),
        (b'{"status": "ok", "provenance": {}, "triage": null, "resolution": null}', "schema.shape"),
        (b'{"status": "rejected", "provenance": {}}', "schema.shape"),
        (b'{"fail": {"qty": 1}, "triage": {}}', "schema.required"),
        (b'{"fail": 7, "triage": {}}', "schema.type"),
        (b'{"input": null, "resolution": {}}', "schema.type"),
        (b'{"triage": "not an object", "status": "ok", "provenance": {}}', "schema.type"),
        (b'{"priority_score": "88.2"}', "schema.type"),
        (b'{"priority_score": 1e999999}', "schema.range"),
        (b'{"resolution_steps": 7}', "schema.type"),
    ],
)
def test_what_cannot_be_judged_is_a_finding(line: bytes, rule: str, finops: Finops) -> None:
    """No traceback, no line lost, and the next line is judged."""
    done = finops("check", "-", given=line + b"\n" + b"{}\n")
    first, second = rows(done.stdout)
    assert rule in [finding["rule"] for finding in first["findings"]]
    assert (first["line"], first["ok"], second["line"]) == (1, False, 2)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("gridlock_detected",), False, "gridlock.detected"),
        (("gridlock_parties",), ["DTC-0443", "DTC-0161", "DTC-0352"], "gridlock.parties"),
        (("gridlock_parties",), ["DTC-0161", "DTC-0352"], "gridlock.parties"),
        (("resolution_steps", 0, "action"), "ESCALATE", "waterfall.action"),
        (("resolution_steps", 0, "action"), "BUY_IN_NOTICE", "waterfall.quantity"),
        (("resolution_steps", 0, "settlement_type"), None, "waterfall.settlement"),
        (("resolution_steps", 3, "dtc"), "DTC-0161", "waterfall.counterparty"),
        (("resolution_steps", 3, "settlement_date"), "T+1", "waterfall.settlement"),
        (("resolution_steps", 1, "step"), 1, "plan.numbering"),
        (("resolution_steps", 1, "qty"), 9501, "plan.remaining"),
        (("resolution_steps", 1, "coverage_after_step_pct"), 65.01, "plan.coverage"),
        (("total_coverable",), 1, "plan.total"),
        (("escalation_required",), True, "plan.escalation"),
        (("escalation_reason",), "just so", "plan.escalation"),
        (("residual_action",), "ESCALATE", "plan.residual"),
        (("fallback_strategy",), "SOURCE_BORROW", "waterfall.fallback"),
        (("secondary_fallback",), "INITIATE_RECALL", "waterfall.fallback"),
        (("additional_ftrs_chased",), 1, "waterfall.chase"),
    ],
)
def test_a_bare_plan_that_contradicts_itself_is_named(
    path: tuple[Any, ...], value: Any, rule: str, plan: dict[str, Any], finops: Finops
) -> None:
    """Without its input a plan is held against itself: arithmetic, what a step can be, what its fields say of each other."""
    holder: Any = plan
    for key in path[:-1]:
        holder = holder[key]
    [good] = _verdicts(finops, plan)
    holder[path[-1]] = value
    [bad] = _verdicts(finops, plan)
    assert good["ok"]
    assert rule in [finding["rule"] for finding in bad["findings"]]


def test_a_run_held_against_its_fails(tmp_path: Path, finops: Finops) -> None:
    """--fails finds what a consistent answer to another record hides: two answers swapped."""
    output = finops("run", EXAMPLES / "monday.jsonl").stdout.splitlines(keepends=True)
    swapped = b"".join([output[1], output[0], *output[2:]])
    assert finops("check", "-", given=swapped).returncode == 0
    done = finops("check", "-", "--fails", EXAMPLES / "monday.jsonl", given=swapped)
    verdicts = rows(done.stdout)
    assert [verdict["ok"] for verdict in verdicts] == [False, False, True, True, True, True, True, True]
    assert done.returncode == 1


def test_a_usable_fail_may_not_be_rejected(finops: Finops) -> None:
    output = finops("run", EXAMPLES / "damaged.jsonl").stdout.splitlines(keepends=True)
    done = finops("check", "-", "--fails", EXAMPLES / "monday.jsonl", given=output[1])
    assert [finding["path"] for finding in rows(done.stdout)[0]["findings"]] == ["/status"]


def test_binary_float_noise_is_no_wrong_number(finops: Finops) -> None:
    """69.50000000000001 is how a program with floats prints 69.5 (kb: check.tolerance); 69.51 is wrong."""
    line = finops("triage", EXAMPLES / "cards/fails.jsonl").stdout
    [noisy] = rows(finops("check", "-", given=line.replace(b"69.5,", b"69.50000000000001,")).stdout)
    [wrong] = rows(finops("check", "-", given=line.replace(b"69.5,", b"69.51,")).stdout)
    assert (noisy["ok"], [finding["rule"] for finding in wrong["findings"]]) == (True, ["score.base"])
