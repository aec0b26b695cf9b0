"""The library: `import finops_cli as finops`."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
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


def test_example_scores_one_record() -> None:
    """The example prints the score, then one line for each step."""
    first, *steps = run_example("score_one_record.py")
    assert first == "75.1 CRITICAL LOCATE_AND_DELIVER"
    assert steps == ["1 APPLY_BOX 8000 25.00%", "2 PARTIAL_DELIVER 0 25.00%"]


def test_example_writes_critical_fails() -> None:
    """The example writes a header and one CSV row for each CRITICAL fail of the file."""
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


def test_example_checks_an_answer() -> None:
    """The example names the base and the score that do not follow from the factors."""
    assert run_example("check_an_answer.py") == [
        "score.base /score_components/base_score: expected 69.5, found 73.5",
        "score.priority /priority_score: expected 83.4, found 88.2",
    ]


def test_run_record_equals_finops_run() -> None:
    """The library gives the bytes that `finops run` writes, for each record of an example."""
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


def test_record_as_mapping_text_bytes_and_object_is_one_record() -> None:
    """A record may be a mapping, text, bytes or a FailRecord; a float is read as it is written."""
    given = a_fail(cp_fail_rate_pct=4.1)
    text = exact_json.encode(given)
    answers = [finops.triage(form) for form in (given, text, text.decode())]
    answers.append(finops.triage(finops.run_record(given).record))
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
def test_invalid_record_names_its_problems(change: dict[str, Any], rule: str) -> None:
    """InvalidRecord has the problems as values and is a FinopsError."""
    with pytest.raises(finops.InvalidRecord) as caught:
        finops.run_record(a_fail(**change))
    assert [problem.rule for problem in caught.value.problems] == [rule]
    assert isinstance(caught.value, finops.FinopsError)


def test_run_records_streams() -> None:
    """A result is there before the next record is asked for."""
    asked = []

    def records() -> Any:
        for number in range(3):
            asked.append(number)
            yield a_fail()

    results = finops.run_records(records())
    assert asked == []
    next(results)
    assert asked == [0]


def test_run_records_raises_or_reports_an_invalid_record() -> None:
    """An invalid record stops the stream, or is reported with its number and passed over."""
    records = [a_fail(), a_fail(cusip="594918105"), a_fail()]
    with pytest.raises(finops.InvalidRecord, match="cusip"):
        list(finops.run_records(records))
    reported: list[int] = []
    results = finops.run_records(records, on_invalid=lambda number, _: reported.append(number))
    assert len(list(results)) == 2
    assert reported == [2]


def test_check_with_and_without_the_record() -> None:
    """An answer that agrees with itself may still be the answer to another record."""
    answer = finops.triage(a_fail())
    assert finops.check(answer) == finops.check(answer, a_fail()) == []
    other = finops.check(answer, a_fail(age_days=12))
    assert "score.age_factor" in [finding.rule for finding in other]
    assert [finding.rule for finding in finops.check("[]")] == ["schema.shape"]
    with pytest.raises(finops.InvalidRecord):
        finops.check(answer, a_fail(age_days=-1))


def test_resolve_refuses_a_disputed_trade() -> None:
    """A case of a disputed trade has no plan, and the reason says so."""
    [line] = (EXAMPLES / "cards" / "cases.jsonl").read_bytes().splitlines()[:1]
    card = exact_json.decode(line)
    plan = finops.resolve(card)
    assert not isinstance(plan, finops.NotApplicable)
    card["triage"]["category"] = "DK_DISPUTE"
    disputed = finops.resolve(card)
    assert isinstance(disputed, finops.NotApplicable)
    assert "disputed" in disputed.reason


def test_own_knowledge_base_is_used(tmp_path: Path) -> None:
    """`load_kb` takes a folder, and every function takes what it returns."""
    kb = finops.load_kb(shutil.copytree(bundled_kb_dir(), tmp_path / "kb"))
    assert finops.triage(a_fail(), kb) == finops.triage(a_fail())
    assert finops.load_kb() is finops.load_kb()


def test_import_alone_loads_no_rules() -> None:
    """`import finops_cli` loads nothing; the names are there all the same."""
    code = (
        "import sys, finops_cli; assert 'run_record' in dir(finops_cli);"
        "assert [m for m in sys.modules if m.startswith('finops_cli.')] == ['finops_cli.version']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'run_recrod'"):
        finops.run_recrod  # type: ignore[attr-defined]  # noqa: B018
