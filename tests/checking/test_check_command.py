"""The command `finops check`: it prints one verdict for each input line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import EXAMPLES, Finops
from tests.support.records import jsonl, rows


def check_lines(finops: Finops, *lines: object) -> list[dict[str, Any]]:
    return rows(finops("check", "-", stdin=jsonl(*lines)).stdout)


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
def test_check_of_an_unreadable_line_is_a_finding(line: bytes, rule: str, finops: Finops) -> None:
    """A line that the checker cannot read gets a finding instead of a traceback. The next line is
    still checked.
    """
    done = finops("check", "-", stdin=line + b"\n" + b"{}\n")
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
        (("resolution_steps", 3, "qty"), 99_999, "waterfall.quantity"),
        (("resolution_steps", 0, "remaining_short"), 0, "plan.remaining"),
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
def test_check_of_an_inconsistent_plan_names_the_rule(
    path: tuple[Any, ...], value: Any, rule: str, plan: dict[str, Any], finops: Finops
) -> None:
    """A plan without its input is checked for internal consistency: its arithmetic, its possible
    steps and its related fields.
    """
    holder: Any = plan
    for key in path[:-1]:
        holder = holder[key]
    [good] = check_lines(finops, plan)
    holder[path[-1]] = value
    [bad] = check_lines(finops, plan)
    assert good["ok"]
    assert rule in [finding["rule"] for finding in bad["findings"]]


def test_check_with_fails_finds_two_swapped_answers(tmp_path: Path, finops: Finops) -> None:
    """Two swapped answers are consistent in themselves. `finops check --fails` finds them because
    each answers another record.
    """
    output = finops("run", EXAMPLES / "monday.jsonl").stdout.splitlines(keepends=True)
    swapped = b"".join([output[1], output[0], *output[2:]])
    assert finops("check", "-", stdin=swapped).returncode == 0
    done = finops("check", "-", "--fails", EXAMPLES / "monday.jsonl", stdin=swapped)
    verdicts = rows(done.stdout)
    assert [verdict["ok"] for verdict in verdicts] == [
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        True,
    ]
    assert done.returncode == 1


def paths_of_findings(
    finops: Finops, tmp_path: Path, output: bytes, fails: bytes
) -> list[list[str]]:
    """Check `output` against `fails` and return the paths of the findings of each line."""
    (tmp_path / "fails.jsonl").write_bytes(fails)
    done = finops("check", "-", "--fails", tmp_path / "fails.jsonl", stdin=output)
    return [[finding["path"] for finding in line["findings"]] for line in rows(done.stdout)]


def test_check_with_fails_finds_missing_and_extra_answers(tmp_path: Path, finops: Finops) -> None:
    """A missing, dropped, misnamed, needlessly rejected or wrongly accepted answer is a finding. A
    line too many is a finding as well.
    """
    fails = (EXAMPLES / "monday.jsonl").read_bytes().splitlines(keepends=True)[:2]
    output = finops("run", "-", "-q", stdin=b"".join(fails)).stdout.splitlines(keepends=True)
    first = json.loads(output[0])
    dropped = {**first, "resolution": None, "resolution_skipped": "because"}
    untriaged = {**first, "triage": None}
    deleted = {key: value for key, value in first.items() if key != "resolution"}
    blamed = {**first, "verification": {"triage": [{"rule": "score.base"}], "resolution": []}}
    rejected = {
        **first,
        "status": "rejected",
        "error": {"problems": [{"rule": "input.duplicate"}]},
        "triage": None,
    }
    cases = [
        (output[0], b"".join(fails), [[], [""]]),
        (b"".join(output), fails[0], [[], [""]]),
        (output[0].replace(b"F-1001", b"F-9999"), fails[0], [["/fail_id"]]),
        (jsonl(dropped), fails[0], [["/resolution"]]),
        (jsonl(deleted), fails[0], [["/resolution_skipped"]]),
        (jsonl(untriaged), fails[0], [["/triage"]]),
        (jsonl(blamed), fails[0], [["/verification"]]),
        (jsonl(rejected), fails[0], [["/status"]]),
        (output[0], fails[0].replace(b"594918104", b"594918105"), [["/status"]]),
        (output[0] * 2, fails[0] * 2, [[], ["/status"]]),
        (jsonl({**first, "status": "failed"}), fails[0], [["/raw"]]),
        (b'{"priority_score": 1}', fails[0], [[""]]),
    ]
    for answers, records, paths in cases:
        assert paths_of_findings(finops, tmp_path, answers, records) == paths


def test_check_with_cases_finds_a_plan_without_its_steps(tmp_path: Path, finops: Finops) -> None:
    """The output of `finops resolve` is checked against its cases with `--fails`. A plan without
    its steps is a finding.
    """
    case = (EXAMPLES / "cards/cases.jsonl").read_bytes()
    output = finops("resolve", "-", "-q", stdin=case).stdout
    gutted = json.loads(output)
    gutted["resolution"] |= {
        "resolution_steps": [],
        "residual_short": 24000,
        "total_coverable": 8000,
    }
    assert paths_of_findings(finops, tmp_path, output, case) == [[]]
    [paths] = paths_of_findings(finops, tmp_path, jsonl(gutted), case)
    assert "/residual_short" in paths


def test_check_refuses_to_overwrite_its_inputs(tmp_path: Path, finops: Finops) -> None:
    """`finops check` does not write its output over its outputs file or fails file, and does not
    read both from stdin.
    """
    file = tmp_path / "out.jsonl"
    file.write_bytes((EXAMPLES / "cards/published.jsonl").read_bytes())
    before = file.read_bytes()
    assert finops("check", file, "-o", file).returncode == 2
    assert finops("check", "-", "--fails", file, "-o", file).returncode == 2
    assert finops("check", "-", "--fails", "-").returncode == 2
    assert file.read_bytes() == before


def test_check_of_a_huge_line_prints_a_short_verdict(finops: Finops) -> None:
    """A line with 100,000 empty steps or a huge exponent gives findings of limited size."""
    line = finops("triage", EXAMPLES / "cards/fails.jsonl").stdout
    absurd = [
        b'{"resolution_steps": [' + b"{}," * 100_000 + b"{}]}",
        line.strip().replace(b'"age_factor":60', b'"age_factor":1e-999999999999'),
    ]
    done = finops("check", "-", stdin=b"\n".join(absurd))
    assert [row["ok"] for row in rows(done.stdout)] == [False, False]
    assert len(done.stdout) < 20_000


def test_check_tolerates_binary_float_noise(finops: Finops) -> None:
    """The checker accepts 69.50000000000001 for 69.5, as a program with floats prints it, and
    rejects 69.50001.
    """
    line = finops("triage", EXAMPLES / "cards/fails.jsonl").stdout
    [noisy] = rows(finops("check", "-", stdin=line.replace(b"69.5,", b"69.50000000000001,")).stdout)
    [wrong] = rows(finops("check", "-", stdin=line.replace(b"69.5,", b"69.50001,")).stdout)
    assert (noisy["ok"], [finding["rule"] for finding in wrong["findings"]]) == (
        True,
        ["score.base"],
    )


def test_check_tolerates_noise_of_factors(finops: Finops) -> None:
    """A factor and a modifier may have the noise too, beside a sentence with the exact numbers."""
    line = finops("triage", EXAMPLES / "cards/fails.jsonl").stdout
    for exact, noisy in (
        (b'"age_factor":60', b'"age_factor":60.00000000000002'),
        (b'"concentration_modifier":1.2', b'"concentration_modifier":1.20000005'),
    ):
        assert exact in line
        changed = line.replace(exact, noisy)
        assert [row["findings"] for row in rows(finops("check", "-", stdin=changed).stdout)] == [
            [] for _ in line.splitlines()
        ]
