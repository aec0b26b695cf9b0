"""`finops handoff`: triaged lines become cases, in order, and no fail is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finops_cli.files.jsonl import lines_of
from finops_cli.pipeline.case_lines import FailLookup
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.streams import talk_to

ENGINE = ("--backend", "engine", "-q", "--no-timing")
MONDAY = EXAMPLES / "monday.jsonl"
STOCK = {"box_qty": 1, "stock_loan_available": 2, "recall_outstanding": 3, "pending_receives": 4}


def plans(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    shown = ("fail_id", "status", "resolution", "resolution_skipped")
    return [tuple(line.get(name) for name in shown) for line in lines]


def pipe(finops: Finops, fails: Path) -> list[dict[str, Any]]:
    """Answer `fails` by the three commands of a pipe."""
    triaged = finops("triage", fails, *ENGINE).stdout
    cases = finops("handoff", "-", "--fails", fails, "-q", stdin=triaged).stdout
    assert cases.count(b"\n") == triaged.count(b"\n")
    return list(rows(finops("resolve", "-", *ENGINE, stdin=cases).stdout))


@pytest.mark.parametrize(
    "name",
    ["monday", "gridlock", "corporate-action", "back-to-back", "damaged", "cards/fails"],
)
def test_pipe_of_three_commands_gives_the_plans_of_run(finops: Finops, name: str) -> None:
    """Triage, handoff and resolve give each fail the status, plan and reason that run gives it."""
    fails = EXAMPLES / f"{name}.jsonl"
    whole = list(rows(finops("run", fails, *ENGINE).stdout))
    assert plans(pipe(finops, fails)) == plans(whole)


def test_triaged_lines_in_another_order_find_their_records(finops: Finops) -> None:
    """Some of the triaged lines, sorted otherwise, become the cases of their own records."""
    triaged = finops("triage", MONDAY, *ENGINE).stdout.splitlines(keepends=True)
    chosen = [triaged[6], triaged[0], triaged[2]]
    done = finops("handoff", "-", "--fails", MONDAY, stdin=b"".join(chosen))
    assert done.returncode == 0
    made = list(rows(done.stdout))
    assert [case["fail_id"] for case in made] == ["F-1007", "F-1001", "F-1003"]
    records = {record["fail_id"]: record for record in rows(MONDAY.read_bytes())}
    for case in made:
        assert case["cusip"] == records[case["fail_id"]]["cusip"]
    assert b"5 records of --fails have no triaged line" in done.stderr


def test_triage_of_a_model_is_of_the_next_record(finops: Finops) -> None:
    """A triage alone, as a model prints it, is handed on with the records in their order."""
    lines = finops("triage", MONDAY, *ENGINE).stdout.splitlines()[:3]
    alone = b"".join(jsonl(json.loads(line)["triage"]) for line in lines)
    made = list(rows(finops("handoff", "-", "--fails", MONDAY, "-q", stdin=alone).stdout))
    assert [case["fail_id"] for case in made] == ["F-1001", "F-1002", "F-1003"]


def a_triaged(finops: Finops, **changes: Any) -> dict[str, Any]:
    record = a_fail(fail_id="F-1", inventory=STOCK)
    return {**json.loads(finops("triage", "-", *ENGINE, stdin=jsonl(record)).stdout), **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fail_id": "F-9"}, "no fail of --fails is called F-9"),
        ({"fail": {"cusip": "037833100", "qty": 5000}}, "its triage is of cusip 037833100"),
        ({"triage": None, "status": "failed"}, "the triage does not stand"),
        ({"triage": {"category": "CNS_FAIL"}}, "the triage cannot be used"),
        ({"triage": [1]}, "the line has no triage"),
    ],
)
def test_line_that_cannot_be_used_is_rejected_in_the_pipe(
    finops: Finops, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """A triage that is unusable, or of another fail, is a rejected line with the reason, also of
    resolve; its neighbour is answered.
    """
    fails = tmp_path / "fails.jsonl"
    both = jsonl(a_triaged(finops, **changes)) + jsonl(a_triaged(finops))
    fails.write_bytes(jsonl(a_fail(fail_id="F-1", inventory=STOCK)) * 2)
    done = finops("handoff", "-", "--fails", fails, "-q", stdin=both)
    first, second = rows(done.stdout)
    assert (done.returncode, first["status"]) == (1, "rejected")
    assert reason in first["no_case"]
    assert second["ftd_qty"] == 5000
    answers = list(rows(finops("resolve", "-", *ENGINE, stdin=done.stdout).stdout))
    assert answers[0]["status"] == "rejected"
    assert answers[0]["error"]["problems"][0]["rule"] == "handoff.no_case"
    assert reason in answers[0]["error"]["message"]


@pytest.mark.parametrize("line", [b"not JSON", b'{"fail_id": "F-1"}', b"[]", b""])
def test_line_without_a_triage_takes_no_record(finops: Finops, tmp_path: Path, line: bytes) -> None:
    """A line that is no triage is rejected, and the next one still finds its record."""
    fails = tmp_path / "fails.jsonl"
    fails.write_bytes(jsonl(a_fail(fail_id="F-1", inventory=STOCK)))
    given = line + b"\n" + jsonl(a_triaged(finops))
    first, second = rows(finops("handoff", "-", "--fails", fails, "-q", stdin=given).stdout)
    assert first["status"] == "rejected"
    assert second["fail_id"] == "F-1"


def test_each_triaged_line_is_handed_on_before_the_next() -> None:
    """A stream of triaged lines is answered line by line."""
    triage = {"category": "DK_DISPUTE", "fail_id": "F-1", "priority_score": 1}
    with talk_to("handoff", "-", "--fails", MONDAY, "-q") as program:
        for _ in range(2):
            program.send(jsonl(triage))
            assert program.receive()["status"] == "rejected"
        status, _ = program.end()
    assert status == 1


def test_fails_that_are_passed_over_are_found_again(tmp_path: Path) -> None:
    """Records are found in any order, each once, and those that nobody asked for are counted."""
    path = tmp_path / "fails.jsonl"
    path.write_bytes(b"".join(jsonl(a_fail(fail_id=f"F-{number}")) for number in range(10)))
    with path.open("rb") as file:
        lookup = FailLookup(line for line, _ in lines_of(file))
        found = [lookup.find(f"F-{number}", []) for number in (7, 2, 2, 5)]
        assert [each and each["fail_id"] for each in found] == ["F-7", "F-2", None, "F-5"]
        assert lookup.count_rest() == 7
        lookup.close()


def test_check_judges_the_answers_to_passed_on_lines(finops: Finops, tmp_path: Path) -> None:
    """`check --fails` takes the lines of handoff as cases, and finds a plan that has no case."""
    cases, out = tmp_path / "cases.jsonl", tmp_path / "out.jsonl"
    triaged = finops("triage", MONDAY, *ENGINE).stdout
    cases.write_bytes(finops("handoff", "-", "--fails", MONDAY, "-q", stdin=triaged).stdout)
    assert finops("resolve", cases, "-o", out, *ENGINE).returncode == 0
    assert finops("check", out, "--fails", cases, "-q").returncode == 0
    lines = out.read_bytes().splitlines(keepends=True)
    planned = json.loads(lines[0])
    planned["fail_id"] = "F-1004"
    out.write_bytes(b"".join([*lines[:3], jsonl(planned), *lines[4:]]))
    verdict = list(rows(finops("check", out, "--fails", cases, "-q").stdout))[3]
    assert verdict["findings"][0]["path"] == "/resolution"


def test_two_inputs_from_stdin_are_refused(finops: Finops) -> None:
    """Triages and fails cannot both come from stdin."""
    done = finops("handoff", "-", "--fails", "-")
    assert done.returncode == 2
    assert b"cannot both be stdin" in done.stderr
