"""The Python library: `import finops_cli as finops`."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import finops_cli as finops
from finops_cli.domain import exact_json
from finops_cli.kb.load import bundled_kb_dir
from tests.support.program import EXAMPLES
from tests.support.records import a_fail

LIBRARY = EXAMPLES / "library"


def run_example(name: str, *arguments: Path) -> list[str]:
    command = [sys.executable, str(LIBRARY / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_example_score_one_record_prints_score_and_steps() -> None:
    """The example prints the score of a record, then one line for each step of its plan."""
    first, *steps = run_example("score_one_record.py")
    assert first == "75.1 CRITICAL LOCATE_AND_DELIVER"
    assert steps == ["1 APPLY_BOX 8000 25.00%", "2 PARTIAL_DELIVER 0 25.00%"]


def test_example_write_critical_fails_prints_a_csv() -> None:
    """The example prints a header and one CSV row for each CRITICAL fail of the file."""
    header, *found = run_example("write_critical_fails.py", EXAMPLES / "monday.jsonl")
    assert header == "fail_id,cusip,score,action,deadline"
    lines = (EXAMPLES / "monday.expected.jsonl").read_bytes().splitlines()
    answers = [exact_json.decode(line) for line in lines]
    critical = [
        (line["fail_id"], line["triage"]["priority_score"])
        for line in answers
        if line["triage"] and line["triage"]["priority_tier"] == "CRITICAL"
    ]
    assert [(row.split(",")[0], Decimal(row.split(",")[2])) for row in found] == critical


def test_example_check_an_answer_prints_two_violations() -> None:
    """The example prints that the base score and the priority score do not follow from the
    factors.
    """
    assert run_example("check_an_answer.py") == [
        "score.base /score_components/base_score: expected 69.5, found 73.5",
        "score.priority /priority_score: expected 83.4, found 88.2",
    ]


def test_run_record_equals_the_run_command() -> None:
    """`run_record` gives each record of an example the triage and the resolution that `finops run`
    writes.
    """
    lines = (EXAMPLES / "monday.jsonl").read_bytes().splitlines()
    expected = (EXAMPLES / "monday.expected.jsonl").read_bytes().splitlines()
    for line, written in zip(lines, map(exact_json.decode, expected), strict=True):
        result = finops.run_record(line)
        assert exact_json.decode(exact_json.encode(result.triage)) == written["triage"]
        if isinstance(result.resolution, finops.NotApplicable):
            assert result.resolution.reason == written["resolution_skipped"]
        else:
            plan = exact_json.decode(exact_json.encode(result.resolution))
            assert plan == written["resolution"]


def test_triage_accepts_mapping_bytes_text_and_object() -> None:
    """A record may be a mapping, bytes, text or a FailRecord. Each form gets the same answer."""
    record = a_fail(cp_fail_rate_pct=4.1)
    text = exact_json.encode(record)
    answers = [finops.triage(form) for form in (record, text, text.decode())]
    answers.append(finops.triage(finops.run_record(record).record))
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"cusip": "594918105"}, "cusip.check_digit"),
        ({"age_days": -1}, "schema.range"),
        ({"cp_fail_rate_pct": math.nan}, "schema.json"),
        ({"qty": object()}, "schema.json"),
    ],
)
def test_invalid_record_raises_with_its_problems(change: dict[str, Any], rule: str) -> None:
    """An invalid record raises InvalidRecord, which is a FinopsError and has the problems as
    values.
    """
    with pytest.raises(finops.InvalidRecord) as caught:
        finops.run_record(a_fail(**change))
    assert [problem.rule for problem in caught.value.problems] == [rule]
    assert isinstance(caught.value, finops.FinopsError)


def test_run_records_reads_one_record_per_result() -> None:
    """`run_records` reads a record only when its result is requested."""
    read = []

    def records() -> Any:
        for number in range(3):
            read.append(number)
            yield a_fail()

    results = finops.run_records(records())
    assert read == []
    next(results)
    assert read == [0]


def test_run_records_raises_or_reports_an_invalid_record() -> None:
    """An invalid record raises InvalidRecord. With `on_invalid` it is reported with its number and
    skipped.
    """
    records = [a_fail(), a_fail(cusip="594918105"), a_fail()]
    with pytest.raises(finops.InvalidRecord, match="cusip"):
        list(finops.run_records(records))
    reported: list[int] = []
    results = finops.run_records(records, on_invalid=lambda number, _: reported.append(number))
    assert len(list(results)) == 2
    assert reported == [2]


def test_check_with_another_record_finds_violations() -> None:
    """An answer that is consistent in itself violates rules when it is checked against another
    record.
    """
    answer = finops.triage(a_fail())
    assert finops.check(answer) == finops.check(answer, a_fail()) == []
    other = finops.check(answer, a_fail(age_days=12))
    assert "score.age_factor" in [finding.rule for finding in other]
    assert [finding.rule for finding in finops.check("[]")] == ["schema.shape"]
    with pytest.raises(finops.InvalidRecord):
        finops.check(answer, a_fail(age_days=-1))


def test_resolve_of_a_disputed_trade_is_not_applicable() -> None:
    """A case of a disputed trade gets NotApplicable with a reason instead of a plan."""
    [line] = (EXAMPLES / "cards" / "cases.jsonl").read_bytes().splitlines()[:1]
    card = exact_json.decode(line)
    plan = finops.resolve(card)
    assert not isinstance(plan, finops.NotApplicable)
    card["triage"]["category"] = "DK_DISPUTE"
    disputed = finops.resolve(card)
    assert isinstance(disputed, finops.NotApplicable)
    assert "disputed" in disputed.reason


def test_load_kb_accepts_a_folder_and_caches_the_bundled_kb(tmp_path: Path) -> None:
    """`load_kb` loads a knowledge base from a folder, and returns the same object for the bundled
    one.
    """
    kb = finops.load_kb(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    assert finops.triage(a_fail(), kb) == finops.triage(a_fail())
    assert finops.load_kb() is finops.load_kb()


def test_import_of_finops_cli_loads_no_rules() -> None:
    """`import finops_cli` loads only the version. The public names are listed, and an unknown name
    raises AttributeError.
    """
    code = (
        "import sys, finops_cli; assert 'run_record' in dir(finops_cli);"
        "assert [m for m in sys.modules if m.startswith('finops_cli.')] == ['finops_cli.version']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'run_recrod'"):
        finops.run_recrod  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"qty": math.nan}, "/qty"),
        ({"qty": Decimal("NaN")}, "/qty"),
        ({"qty": Decimal("sNaN")}, "/qty"),
        ({"market_value": math.inf}, "/market_value"),
        ({"notes": date(2026, 1, 2)}, "/notes"),
        ({"notes": {1, 2}}, "/notes"),
        ({"inventory": {"box_qty": object()}}, "/inventory/box_qty"),
        ({"ftrs": [{"qty": math.nan}]}, "/ftrs/0/qty"),
    ],
)
def test_value_that_json_cannot_express_is_named_by_its_field(
    changes: dict[str, Any], path: str
) -> None:
    """Rule: the problem has the path of the field; the message has no words about lines."""
    with pytest.raises(finops.InvalidRecord) as caught:
        finops.run_record({**a_fail(), **changes})
    assert [problem.path for problem in caught.value.problems] == [path]
    assert "line" not in str(caught.value)
    assert caught.value.cure


def test_record_that_contains_itself_is_refused_by_its_field() -> None:
    """Rule: endless nesting is a problem of a field, not of Python's recursion."""
    record = a_fail()
    record["origin"] = record
    with pytest.raises(finops.InvalidRecord, match="nested more than 32 levels") as caught:
        finops.run_record(record)
    assert caught.value.problems[0].path == "/origin"


@pytest.mark.parametrize("given", [object(), None, 3, [], '{"a":', "", b"\xff"], ids=range(7))
def test_thing_that_is_not_a_record_is_called_a_record(given: Any) -> None:
    """Rule: the library says "record" where the messages about files say "line"."""
    with pytest.raises(finops.InvalidRecord) as caught:
        finops.run_record(given)
    assert "the record " in str(caught.value)
    assert "the line" not in str(caught.value)
    assert "per line" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: finops.run_records("examples/monday.jsonl"), "with open"),
        (lambda: finops.run_records(b"{}"), "with open"),
        (lambda: finops.run_records({}), "with open"),
        (lambda: finops.run_records(None), "with open"),  # type: ignore[arg-type]
        (lambda: finops.load_kb(3), "knowledge base"),  # type: ignore[arg-type]
        (lambda: finops.triage(a_fail(), kb="x"), "load_kb"),  # type: ignore[arg-type]
        (lambda: finops.check({}, kb="x"), "load_kb"),  # type: ignore[arg-type]
        (lambda: finops.resolve({}, kb="x"), "load_kb"),  # type: ignore[arg-type]
        (lambda: finops.run_records([], kb="x"), "load_kb"),  # type: ignore[arg-type]
    ],
    ids=range(9),
)
def test_argument_of_another_type_is_an_error_of_finops(
    call: Callable[[], object], cure: str
) -> None:
    """Rule: a wrong argument raises FinopsError at once, with a cure."""
    with pytest.raises(finops.FinopsError) as caught:
        call()
    assert cure in caught.value.cure


def test_compute_clock_gives_the_dates_of_the_law() -> None:
    """Rule: the moment is the argument, else `as_of` of the record; the days can be listed."""
    record = a_fail(clock_facts={"trade_date": "2026-11-16", "sale_type": "short"})
    found = finops.compute_clock(record, as_of="2026-11-17", explain=True)
    duty = next(each for each in found.obligations if each.rule == "SHO-204(a)")
    assert (found.binding, found.binding_due, found.deadline_days) == (
        "SHO-204(a)",
        "2026-11-18",
        1,
    )
    assert [(day.date, day.counted) for day in duty.days or ()] == [
        ("2026-11-17", False),
        ("2026-11-18", True),
    ]
    record["clock_facts"]["as_of"] = "2026-11-18T15:00:00Z"
    assert finops.compute_clock(record).as_of == "2026-11-18T10:00"


@pytest.mark.parametrize(
    ("facts", "as_of", "expected"),
    [
        ({}, None, "as_of is missing"),
        ({"trade_date": "2026-11-15"}, "2026-11-17", "trade_date is 2026-11-15"),
        ({}, "2026-02-30", "as_of is '2026-02-30'"),
        ({}, 20261117, "as_of is 20261117"),
    ],
)
def test_compute_clock_refuses_impossible_facts(
    facts: dict[str, str], as_of: Any, expected: str
) -> None:
    """Rule: the error names the fact and what is accepted."""
    with pytest.raises(finops.FinopsError, match=expected):
        finops.compute_clock(a_fail(clock_facts=facts), as_of=as_of)
