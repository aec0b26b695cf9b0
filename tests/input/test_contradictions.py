"""Contradictory records are rejected or warned of; consistent ones keep their score."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from finops_cli.api import InvalidRecord, run_record
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.datasets.resolver_examples import cases
from finops_cli.datasets.triage_examples import fails
from finops_cli.domain import exact_json
from finops_cli.domain.cusip import check_digit
from finops_cli.domain.fail import FailRecord
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.inputs import InputPolicy, names_in
from finops_cli.pipeline.parse import parse_fail, parse_fail_line
from finops_cli.rules.contradictions import find_case_contradictions
from finops_cli.rules.derivation import coverage_pct
from finops_cli.rules.triage import triage
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

KB = load_kb(bundled_kb_dir())
POLICY = InputPolicy(KB)
CALENDAR = builtin_calendar(KB.calendar)
TREASURY = "9128285M8"
OUTSIDE = {"cns_direction": "N_A", "cns_position": None, "reg_sho_threshold": False}
CONTRADICTORY, CONSISTENT = 500, 5000


def stock(box_qty: int) -> dict[str, int]:
    """Return an inventory with this box."""
    return {
        "box_qty": box_qty,
        "stock_loan_available": 0,
        "recall_outstanding": 0,
        "pending_receives": 0,
    }


def warned_rules(record: dict[str, Any]) -> list[str]:
    """Return the rules that the line of `record` warns of."""
    fail = parse_fail(record).value
    assert fail is not None
    return [each.rule for each in POLICY.find_warnings(fail)]


@pytest.mark.parametrize(
    ("direction", "side", "is_rejected"),
    [
        ("FTD", "Sell", False),
        ("FTD", "Buy", True),
        ("FTR", "Buy", False),
        ("FTR", "Sell", True),
        ("N_A", "Buy", False),
        ("N_A", "Sell", False),
    ],
)
def test_side_against_the_direction_is_rejected(
    direction: str, side: str, is_rejected: bool
) -> None:
    """FTD goes with Sell and FTR with Buy; the problem names both and what would agree."""
    record = a_fail(side=side, cns_direction=direction)
    problems = parse_fail(record).problems
    assert parse_fail_line(jsonl(record).strip()).problems == problems
    assert [each.rule for each in problems] == ["input.side_direction"] * is_rejected
    for each in problems:
        assert each.path == "/side"
        assert f"side is {side}, but cns_direction is {direction}" in each.message
        assert "accepted: side " in each.message


def test_side_against_the_position_is_rejected() -> None:
    """A side that disagrees with the direction of the position is rejected, and the position is
    named.
    """
    record = a_fail(side="Buy")
    del record["cns_direction"]
    [problem] = parse_fail(record).problems
    assert problem.rule == "input.side_direction"
    assert "cns_direction is FTD (from cns_position -5000)" in problem.message


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, []),
        ({"inventory_coverage_pct": 100, "inventory": stock(0)}, ["input.coverage"]),
        ({"inventory_coverage_pct": 99, "inventory": stock(5000)}, ["input.coverage"]),
        ({"inventory_coverage_pct": 24, "inventory": stock(1249)}, []),
        ({"inventory_coverage_pct": Decimal("24.9"), "inventory": stock(1249)}, []),
        ({"inventory_coverage_pct": 80, "inventory": stock(3750)}, []),
        ({"inventory_coverage_pct": 100, "inventory": stock(4998)}, []),
        ({"inventory_coverage_pct": 100, "inventory": stock(4997)}, ["input.coverage"]),
        ({"cns_eligible": False}, ["input.cns_eligible"]),
        ({"cns_eligible": False, **OUTSIDE}, []),
        ({**OUTSIDE, "cns_position": -5000}, ["input.cns_position"]),
        ({**OUTSIDE, "cns_position": 0}, []),
        ({"cns_position": 5000}, []),
        ({"reg_sho_status": "THRESHOLD"}, []),
        ({"reg_sho_status": "THRESHOLD", "reg_sho_threshold": False}, ["input.threshold"]),
        ({"reg_sho_status": "CLOSE_OUT", "reg_sho_threshold": False}, []),
        ({"clock_facts": {"venue": "cns"}}, []),
        ({"clock_facts": {"venue": "ex_clearing"}}, ["input.venue"]),
        ({"clock_facts": {"venue": "ex_clearing"}, **OUTSIDE}, []),
        ({"clock_facts": {"venue": "cns"}, **OUTSIDE}, ["input.venue"]),
        ({"clock_facts": {"sale_type": "short"}}, []),
        ({"clock_facts": {"sale_type": "short"}, **OUTSIDE, "side": "Buy"}, ["input.sale_type"]),
        ({"clock_facts": {"sale_type": "short_exempt"}, **OUTSIDE, "side": "Buy"},
         ["input.sale_type"]),
        ({"clock_facts": {"sale_type": "long"}, **OUTSIDE, "side": "Buy"}, []),
        ({"cusip": TREASURY}, ["input.security_type"]),
        ({"cusip": TREASURY, **OUTSIDE}, ["input.security_type"]),
        ({"cusip": TREASURY, **OUTSIDE, "side": "Buy"}, []),
        ({"cusip": TREASURY, **OUTSIDE, "side": "Buy", "reg_sho_threshold": True},
         ["input.security_type"]),
        ({"clock_facts": {"security_type": "agency"}}, ["input.security_type"]),
        ({"clock_facts": {"security_type": "municipal"}}, ["input.security_type"]),
        ({"clock_facts": {"security_type": "treasury"}}, ["input.security_type"]),
        ({"clock_facts": {"security_type": "corporate_bond"}}, []),
        ({"clock_facts": {"settlement_date": "2026-11-17", "as_of": "2026-11-27"}}, []),
        ({"clock_facts": {"trade_date": "2026-11-16", "as_of": "2026-11-27"}}, []),
        ({"clock_facts": {"settlement_date": "2026-11-17"}}, []),
        ({"clock_facts": {"settlement_date": "2026-11-18", "as_of": "2026-11-27"}},
         ["input.dates"]),
        ({"clock_facts": {"settlement_date": "2026-11-15", "as_of": "2026-11-27"}},
         ["input.dates"]),
        ({"age_days": 0, "clock_facts": {"settlement_date": "2026-11-30", "as_of": "2026-11-27"}},
         ["input.dates"]),
    ],
)  # fmt: skip
def test_contradiction_is_warned_of_by_its_rule(changes: dict[str, Any], rules: list[str]) -> None:
    """Each contradiction of the specification is a warning of its rule, and nothing else is. A
    position against its direction is OFFSET.
    """
    assert warned_rules(a_fail(**changes)) == rules


@pytest.mark.parametrize("cusip", ["913903100", "912909108", "313855108", "313586885"])
def test_equity_near_the_treasury_numbers_is_no_treasury(cusip: str) -> None:
    """An issuer number counts whole: stocks whose CUSIP begins alike have no warning."""
    assert warned_rules(a_fail(cusip=cusip)) == []


def test_each_treasury_issuer_is_whole_and_has_a_source() -> None:
    """Every number of the table has the length of an issuer number, a source, and is found."""
    members = KB.entries["input.treasury_issuers"].members  # type: ignore[union-attr]
    assert len(members) > 10
    for issuer, text in members.items():
        assert len(issuer) == KB.input.issuer_characters
        assert "Source: " in text
        cusip = f"{issuer}A1"
        assert warned_rules(a_fail(cusip=cusip + check_digit(cusip))) == ["input.security_type"]


def test_warning_changes_no_answer_and_is_counted(finops: Finops) -> None:
    """A warned line has the status and the exit code of a good one; the summary counts the rule."""
    record = a_fail(inventory_coverage_pct=100, inventory=stock(0))
    done = finops("run", "-", "--backend", "engine", stdin=jsonl(record))
    [line] = rows(done.stdout)
    assert (done.returncode, line["status"]) == (0, "ok")
    [warning] = line["warnings"]
    assert warning["path"] == "/inventory_coverage_pct"
    assert (warning["expected"], warning["actual"]) == (0, 100)
    assert "box_qty 0 of qty 5000" in warning["message"]
    assert b"warnings     input.coverage 1" in done.stderr


@pytest.mark.parametrize("command", ["run", "triage"])
def test_strict_input_rejects_a_warned_record(command: str, finops: Finops) -> None:
    """`--strict-input` turns the warnings into the problems of a rejected line, which `check`
    accepts; without a warning nothing changes.
    """
    records = jsonl(a_fail(fail_id="A", cns_eligible=False), a_fail(fail_id="B"))
    done = finops(command, "-", "--backend", "engine", "--strict-input", stdin=records)
    first, second = rows(done.stdout)
    assert (done.returncode, first["status"], second["status"]) == (1, "rejected", "ok")
    assert first["error"]["problems"][0]["rule"] == "input.cns_eligible"
    assert second["warnings"] == []


def test_strict_input_rejects_in_the_library() -> None:
    """`run_record` returns the warnings, and raises InvalidRecord with `strict_input`."""
    record = a_fail(cns_eligible=False)
    assert [each.rule for each in run_record(record).warnings] == ["input.cns_eligible"]
    with pytest.raises(InvalidRecord) as caught:
        run_record(record, strict_input=True)
    assert [each.rule for each in caught.value.problems] == ["input.cns_eligible"]


def test_treasury_case_of_the_resolver_is_warned_of() -> None:
    """A resolver input has only its CUSIP to contradict its CNS direction."""
    case = next(cases(0, 7, KB))
    assert find_case_contradictions(case, KB) == []
    changed = replace(case, cusip=TREASURY)
    assert [each.rule for each in find_case_contradictions(changed, KB)] == ["input.security_type"]


def test_check_finds_altered_warnings_and_origin(tmp_path: Path, finops: Finops) -> None:
    """`check --fails` finds the warnings and the origin again; an altered line has a finding."""
    record = a_fail(inventory_coverage_pct=100, inventory=stock(0))
    del record["cp_fail_rate_pct"]
    [line] = rows(finops("run", "-", "--backend", "engine", stdin=jsonl(record)).stdout)
    fails_file = tmp_path / "fails.jsonl"
    fails_file.write_bytes(jsonl(record))
    against = ("--fails", fails_file)
    assert find_rules(finops, line, *against) == []
    assert find_rules(finops, {**line, "warnings": []}, *against) == ["check.input"]
    assert find_rules(finops, {**line, "origin": {}}, *against) == ["check.input"]
    assert find_rules(finops, {**line, "warnings": "none"}) == ["schema.type"]
    assert "check.input" in find_rules(finops, {**line, "warnings": [{"rule": 1}]})


def find_rules(finops: Finops, line: dict[str, Any], *options: object) -> list[str]:
    """Return the rules that `finops check` finds violated."""
    text = json.dumps(line, default=float).encode() + b"\n"
    [verdict] = rows(finops("check", "-", *options, stdin=text).stdout)
    return [each["rule"] for each in verdict["findings"]]


def contradict(record: dict[str, Any], rng: Random) -> dict[str, Any]:
    """Put one random contradiction of section 9 into a consistent record."""
    qty, direction = record["qty"], record["cns_direction"]
    changed = dict(record)
    kind = rng.randrange(8)
    if kind == 0:
        changed |= {"cns_direction": "FTD", "side": "Buy"}
    elif kind == 1:
        changed |= {"cns_direction": "FTR", "side": "Sell"}
    elif kind == 2:
        stated, box = rng.choice(((100, 0), (0, qty), (30, qty), (110, qty // 8)))
        changed |= {"inventory_coverage_pct": stated, "inventory": stock(box)}
    elif kind == 3:
        changed |= {"cns_eligible": False, "cns_direction": "FTD", "side": "Sell"}
    elif kind == 4:
        changed |= {"cns_direction": "N_A", "cns_position": rng.choice((-qty, -1, 1, qty))}
    elif kind == 5:
        changed |= {"reg_sho_status": "THRESHOLD", "reg_sho_threshold": False}
    elif kind == 6:
        age = record["age_days"] + rng.choice((1, 2, 7))
        day = CALENDAR.add(CALENDAR.reviewed, -age, "settlement")
        counted = CALENDAR.on_or_before(CALENDAR.reviewed, "settlement")
        changed["clock_facts"] = {"settlement_date": str(day), "as_of": str(counted)}
    elif direction == "N_A":
        changed |= {"side": "Sell", "clock_facts": {"security_type": "municipal"}}
    else:
        changed |= {"cusip": TREASURY}
    return changed


def test_no_contradictory_record_is_answered_silently() -> None:
    """Each of 500 random contradictory records is rejected or warned of."""
    for number in range(CONTRADICTORY):
        made = exact_json.decode(exact_json.encode(next(fails(number, 31, KB, "coverage"))))
        record = contradict(made, Random(number))
        parsed = parse_fail_line(exact_json.encode(record))
        if parsed.value is None:
            assert {each.rule for each in parsed.problems} == {"input.side_direction"}, record
        else:
            assert POLICY.find_warnings(parsed.value), record


def leave_out(fail: FailRecord, rng: Random) -> dict[str, Any]:
    """Return the record without facts that the rest of it gives, which the rate is not."""
    record: dict[str, Any] = exact_json.decode(exact_json.encode(fail))
    box = rng.randrange(0, 2 * fail.qty)
    record |= {"inventory": stock(box), "inventory_coverage_pct": coverage_pct(box, fail.qty)}
    day = CALENDAR.add(
        CALENDAR.on_or_before(CALENDAR.reviewed, "settlement"), -fail.age_days, "settlement"
    )
    record["clock_facts"] = {"settlement_date": str(day), "as_of": str(CALENDAR.reviewed)}
    position = fail.cns_position
    gives = position is None or (position < 0) == (fail.cns_direction == "FTD")
    names = ["inventory_coverage_pct", "age_days"]
    names += ["side"] if fail.cns_direction != "N_A" else []
    if gives and (position or fail.cns_direction == "N_A"):
        names += ["cns_direction"]
    return {
        name: value
        for name, value in record.items()
        if name not in names or rng.random() < 0.3  # some facts are given
    }


@pytest.mark.slow
def test_consistent_records_keep_their_scores() -> None:
    """Each of 5,000 consistent records has no warning, and the same triage when it leaves out facts
    that the others give.
    """
    derived = 0
    for number in range(CONSISTENT):
        rng = Random(number)
        fail = next(fails(number, 37, KB, "market" if number % 2 else "coverage"))
        assert POLICY.find_warnings(fail) == []
        lacking = parse_fail(leave_out(fail, rng))
        assert lacking.value is not None, lacking.problems
        box = lacking.value.inventory
        assert box is not None
        full: dict[str, Any] = exact_json.decode(exact_json.encode(fail))
        full["inventory_coverage_pct"] = coverage_pct(box.box_qty, fail.qty)
        explicit = parse_fail(full).value
        assert explicit is not None
        assert triage(lacking.value, KB) == triage(explicit, KB)
        assert POLICY.find_warnings(lacking.value) == []
        derived += bool(names_in(lacking.value.origin, "derived"))
    assert derived > CONSISTENT * 0.9


def test_generated_cases_have_no_contradiction() -> None:
    """The generator of the resolver makes no case that a line would warn of."""
    for index in range(100):
        assert find_case_contradictions(next(cases(index, 41, KB)), KB) == []
