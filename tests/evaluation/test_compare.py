"""`finops compare`: two evaluations of the same records in pairs; no answer is set apart, other
records are not compared.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.errors import UsageError
from finops_cli.evaluation.compare import compare
from finops_cli.evaluation.outcomes import read_outcomes
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from finops_cli.models.protocol import CompletionRequest
from finops_cli.models.verified_backend import VerifiedBackend
from tests.support.evaluations import evaluated
from tests.support.program import Finops
from tests.support.records import jsonl
from tests.support.text_models import ScriptedModel, right


def forgetful(
    kb: KnowledgeBase, silent_every: int = 10**9, wrong_every: int = 10**9
) -> VerifiedBackend:
    """A model that sometimes says nothing of use, and sometimes takes an action for another."""

    def says(ask: CompletionRequest, number: int) -> str:
        def change(answer: dict[str, Any]) -> dict[str, Any]:
            return answer | ({"action": "ESCALATE"} if number % wrong_every == 0 else {})

        return "no idea" if number % silent_every == 0 else right(ask, kb, change)

    speaking = ScriptedModel(says)
    speaking.concurrency = 1
    return VerifiedBackend(speaking, kb, "reject")


def test_a_worse_model_is_told_from_chance(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Every fourth action wrong: found with the exact probability; fields that are alike are
    not.
    """
    evaluated(tmp_path / "a", kb, Engine(kb), rows=60)
    evaluated(tmp_path / "b", kb, forgetful(kb, wrong_every=4), rows=60)
    found = compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "b"), kb.evaluation)
    by_name = {figure.name: figure for figure in found.metrics}
    action = by_name["action"]
    assert (found.pairs, found.unpaired_first, found.unpaired_second) == (60, 0, 0)
    assert action.first_only == by_name["right as it came"].first_only > 5
    assert action.second_only == 0
    assert action.p == (2 * Decimal(2) ** -action.first_only).quantize(Decimal("0.000001"))
    assert action.p_corrected >= action.p
    assert action.better == "first"
    assert by_name["priority_tier"].better == ""
    assert by_name["priority_tier"].p == 1


def test_no_answer_is_set_apart(tmp_path: Path, kb: KnowledgeBase) -> None:
    """What one did not answer is in no pair of right and wrong: the models are equal where both
    spoke.
    """
    evaluated(tmp_path / "a", kb, Engine(kb), rows=30)
    evaluated(tmp_path / "b", kb, forgetful(kb, silent_every=5), rows=30)
    found = compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "b"), kb.evaluation)
    silent = found.answered["first only"]
    assert silent >= 4
    assert found.answered["both"] == 30 - silent
    assert {figure.first_right - figure.second_right for figure in found.metrics} == {0}
    assert found.metrics[0].pairs == 30 - silent


def test_other_records_are_not_compared(tmp_path: Path, kb: KnowledgeBase, finops: Finops) -> None:
    """No record in common is refused; records in one alone are counted; the command tells JSON and
    text.
    """
    for name, rows, seed in (("a", 10, 7), ("b", 6, 7), ("c", 6, 8)):
        evaluated(tmp_path / name, kb, Engine(kb), rows=rows, seed=seed)
    with pytest.raises(UsageError, match="no record in common"):
        compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "c"), kb.evaluation)
    told = json.loads(finops("compare", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert (told["pairs"], told["unpaired_first"], told["unpaired_second"]) == (6, 4, 0)
    done = finops("compare", tmp_path / "a", tmp_path / "b")
    assert b"No difference is shown" in done.stdout
    assert max(map(len, done.stdout.decode().splitlines())) <= 80 + len(str(tmp_path))
    assert finops("compare", tmp_path / "a", tmp_path).returncode == 2


def test_a_model_that_is_silent_is_not_told_to_be_as_good(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """Right wherever it speaks, and silent every third time: the first sentence of the verdict says
    so, whichever stands first.
    """
    evaluated(tmp_path / "a", kb, Engine(kb), rows=30)
    evaluated(tmp_path / "b", kb, forgetful(kb, silent_every=3), rows=30)
    for pair in (("a", "b"), ("b", "a")):
        *_, answers, right = (
            finops("compare", *(tmp_path / name for name in pair)).stdout.decode().splitlines()
        )
        assert answers.startswith(
            f"{tmp_path / 'a'} answers more often: chance alone would do this with p = 0.0"
        )
        assert (
            right
            == "Where both answer, no difference is shown: chance alone would do this with p = 1."
        )


def test_evaluations_by_different_rules_are_not_compared(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """The same records with another right answer: two truths are no pair."""
    for name in ("a", "b"):
        evaluated(tmp_path / name, kb, Engine(kb), rows=6)
    file = tmp_path / "b/outcomes.jsonl"
    first, *others = file.read_bytes().splitlines(keepends=True)
    changed = json.loads(first)
    changed["expected"]["escalation_level"] = (
        "NONE" if changed["expected"]["escalation_level"] != "NONE" else "DESK"
    )
    file.write_bytes(jsonl(changed) + b"".join(others))
    done = finops("compare", tmp_path / "a", tmp_path / "b")
    assert (done.returncode, b"graded by different rules" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency_ms", "abc"),
        ("latency_ms", [1]),
        ("said", {}),
        ("expected", {}),
        ("stage", "resolver"),
        ("stage", "third"),
    ],
)
def test_a_line_that_is_no_outcome_is_named(
    field: str, value: object, tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    evaluated(tmp_path / "a", kb, Engine(kb), rows=3)
    file = tmp_path / "a/outcomes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + jsonl(json.loads(lines[1]) | {field: value}) + lines[2])
    done = finops("compare", tmp_path / "a", tmp_path / "a")
    assert (
        done.returncode,
        b"outcomes.jsonl line 2: is not an outcome of an evaluation" in done.stderr,
    ) == (2, True), done.stderr
