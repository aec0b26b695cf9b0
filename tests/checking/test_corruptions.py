"""Corrupted answers: the checker names exactly the field that was made wrong, and accepts the
correct answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from finops_cli.checking.outputs import check_lines
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.verify.codecs import RESOLUTION, TRIAGE
from tests.rules.test_oracle import finops
from tests.support.oracle.corruptions import (
    Corruption,
    corruptions,
    some_input_may_give,
    some_record_gives,
)
from tests.support.oracle.random_fails import random_case, random_fail
from tests.support.soak import scaled

pytestmark = pytest.mark.slow

SEED, GOOD_ONES, STEP = 20260201, scaled(1_000, 2_000), scaled(500, 100)
Line = dict[str, Any]
CheckedCorruption = tuple[Corruption, list[str]]


def findings_of(line: Line) -> list[dict[str, Any]]:
    """Return the checker's findings for one line of `finops check`: `{fail, triage}`, `{input,
    resolution}` or an answer alone.
    """
    [verdict] = check_lines([json.dumps(line).encode()], load_kb(bundled_kb_dir()))
    assert verdict.ok is not bool(verdict.findings)
    return [{"rule": finding.rule, "path": finding.path} for finding in verdict.findings]


def plain(line: Line) -> Line:
    """Return `line` with floats instead of Decimals, so that it can be corrupted and
    written again.
    """
    again = json.loads(json.dumps(line, default=float))
    assert isinstance(again, dict)
    return again


def varied_lines(lines: list[Line], kind: str, most: int) -> list[Line]:
    """Return the first lines that each have a word not seen before."""
    seen: set[str] = set()
    kept = []
    for line in lines:
        answer = line[kind]
        words = {
            f"{key}={value}"
            for key, value in answer.items()
            if isinstance(value, str | bool) and len(str(value)) < 30
        }
        words |= {step["action"] for step in answer.get("resolution_steps", ())} | set(
            answer.get("flags", ())
        )
        if not words <= seen and len(answer.get("resolution_steps", ())) <= 9:
            seen |= words
            kept.append(line)
    return kept[:most]


@pytest.fixture(scope="module")
def correct_fails() -> list[Line]:
    rng = Random(SEED)
    fails = [random_fail(rng, f"F-{number}") for number in range(GOOD_ONES)]
    return [
        {"fail": fail, "triage": plain(line["triage"])}
        for fail, line in zip(fails, finops("triage", fails), strict=True)
    ]


@pytest.fixture(scope="module")
def correct_cases() -> list[Line]:
    rng = Random(SEED + 1)
    cases = [random_case(rng, f"C-{number}") for number in range(GOOD_ONES)]
    lines = zip(cases, finops("resolve", cases), strict=True)
    return [{"input": plain(case), "resolution": plain(line["resolution"])} for case, line in lines]


@pytest.fixture(scope="module")
def corrupted(correct_fails: list[Line], correct_cases: list[Line]) -> list[CheckedCorruption]:
    """Each corruption with the paths that are reported when the input is known."""
    found = []
    for kind, lines in (("triage", correct_fails), ("resolution", correct_cases)):
        for line in [*varied_lines(lines, kind, 12), *lines[::STEP]]:
            for corruption in corruptions(line[kind]):
                findings = findings_of(line | {kind: corruption.answer})
                found.append((corruption, [finding["path"] for finding in findings]))
    return found


def is_plan(corruption: Corruption) -> bool:
    return "total_coverable" in corruption.answer or "fallback_qty" in corruption.answer


def is_accepted_path(corruption: Corruption, path: str) -> bool:
    if path == corruption.path or path.startswith(f"{corruption.path}/"):
        return True
    return corruption.parent_will_do and path == corruption.path.rpartition("/")[0]


def describe_missed(missed: list[str], of: int) -> str:
    """Return how many were missed, and the first of them."""
    return f"{len(missed)} of {of}\n" + "\n".join(missed[:40])


def find_misjudged(corrupted: list[CheckedCorruption]) -> Iterator[str]:
    for corruption, paths in corrupted:
        if not any(is_accepted_path(corruption, path) for path in paths):
            yield f"{corruption.path} {corruption.what}: blamed {paths or 'nothing'}"


def test_corruptions_number_at_least_600_in_both_stages(corrupted: list[CheckedCorruption]) -> None:
    """The tests of this module use at least 600 corrupted answers, from triage and from
    resolution.
    """
    kinds = {is_plan(corruption) for corruption, _ in corrupted}
    assert len(corrupted) >= 600
    assert kinds == {True, False}


def test_check_blames_the_corrupted_field(corrupted: list[CheckedCorruption]) -> None:
    """When the input is known, a finding names the corrupted field. For a missing or unknown field
    it may name the parent.
    """
    missed = list(find_misjudged(corrupted))
    assert not missed, describe_missed(missed, len(corrupted))


def test_check_blames_no_other_field(corrupted: list[CheckedCorruption]) -> None:
    """When the input is known, the checker reports no field that was left unchanged."""
    wrong = []
    for corruption, paths in corrupted:
        if corruption.path == "/resolution_steps":
            continue
        others = [path for path in paths if not is_accepted_path(corruption, path)]
        if others:
            wrong.append(f"{corruption.path} {corruption.what}: also blamed {others}")
    assert not wrong, describe_missed(wrong, len(corrupted))


def test_check_of_correct_answers_with_input_finds_nothing(
    correct_fails: list[Line], correct_cases: list[Line]
) -> None:
    """A correct answer beside its input gives no finding."""
    blamed = [
        str((line, found))
        for line in [*correct_fails, *correct_cases]
        if (found := findings_of(line))
    ]
    assert not blamed, describe_missed(blamed, 2 * GOOD_ONES)


def test_check_of_correct_answers_alone_finds_nothing(
    correct_fails: list[Line], correct_cases: list[Line]
) -> None:
    """A correct answer without its input gives no finding."""
    bare = [line["triage"] for line in correct_fails] + [
        line["resolution"] for line in correct_cases
    ]
    blamed = [str((answer, found)) for answer in bare if (found := findings_of(answer))]
    assert not blamed, describe_missed(blamed, 2 * GOOD_ONES)


def is_well_formed(answer: Line) -> bool:
    shape = RESOLUTION if "resolution_steps" in answer else TRIAGE
    return shape.read(json.loads(json.dumps(answer), parse_float=Decimal)) is not None


def test_check_command_reports_the_same_paths(corrupted: list[CheckedCorruption]) -> None:
    """`finops check` prints one verdict for each line, in order and counted from 1, with the paths
    that the library reports.
    """
    some = [corruption.answer for corruption, _ in corrupted[::20]]
    verdicts = finops("check", some, options=("-q",))
    assert [verdict["line"] for verdict in verdicts] == list(range(1, len(some) + 1))
    paths = [[finding["path"] for finding in verdict["findings"]] for verdict in verdicts]
    assert paths == [[finding["path"] for finding in findings_of(answer)] for answer in some]


@pytest.mark.parametrize("field", ["inventory_modifier", "concentration_modifier"])
@pytest.mark.parametrize("absurd", [-1e300, -(10**30), 1e300])
def test_check_of_an_absurd_modifier_is_a_finding(
    correct_fails: list[Line], field: str, absurd: float
) -> None:
    """A modifier far out of range is a finding and not a crash, with and without the record."""
    line = correct_fails[0]
    answer = line["triage"] | {
        "score_components": line["triage"]["score_components"] | {field: absurd}
    }
    for checked in (line | {"triage": answer}, answer):
        assert f"/score_components/{field}" in {finding["path"] for finding in findings_of(checked)}


def test_check_of_triage_alone_accepts_only_possible_answers(
    corrupted: list[CheckedCorruption],
) -> None:
    """A triage without its record is accepted exactly when the oracle gives that answer to some
    record. Its reason is not counted, since it names the value before the corruption.
    """
    wrong = []
    bare = [corruption for corruption, _ in corrupted if not is_plan(corruption)]
    for corruption in bare:
        possible = is_well_formed(corruption.answer) and some_record_gives(corruption.answer)
        found = [finding["path"] for finding in findings_of(corruption.answer)]
        paths = [path for path in found if path != "/reason" or path == corruption.path]
        if possible is bool(paths):
            wrong.append(
                f"{corruption.path} {corruption.what}: {'possible' if possible else 'impossible'},"
                f" blamed {paths}"
            )
    assert not wrong, describe_missed(wrong, len(bare))


def test_check_of_plan_alone_rejects_impossible_numbers(corrupted: list[CheckedCorruption]) -> None:
    """A plan without its input gets a finding when its numbers are impossible for every number of
    shares owed.
    """
    wrong = []
    bare = [corruption for corruption, _ in corrupted if is_plan(corruption)]
    for corruption in bare:
        possible = is_well_formed(corruption.answer) and some_input_may_give(corruption.answer)
        if not possible and not findings_of(corruption.answer):
            wrong.append(f"{corruption.path} {corruption.what}: impossible, blamed nothing")
    assert not wrong, describe_missed(wrong, len(bare))
