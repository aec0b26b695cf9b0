"""The command `finops compare`: two evaluations of the same records are compared in pairs."""

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
from tests.support.evaluations import run_evaluation
from tests.support.program import Finops
from tests.support.records import jsonl
from tests.support.text_models import ScriptedModel, correct_answer


def forgetful_model(
    kb: KnowledgeBase, silent_every: int = 10**9, wrong_every: int = 10**9
) -> VerifiedBackend:
    """A model that sometimes gives no usable answer, and sometimes a wrong action."""

    def reply(ask: CompletionRequest, number: int) -> str:
        def change(answer: dict[str, Any]) -> dict[str, Any]:
            return answer | ({"action": "ESCALATE"} if number % wrong_every == 0 else {})

        return "no idea" if number % silent_every == 0 else correct_answer(ask, kb, change)

    model = ScriptedModel(reply)
    model.concurrency = 1
    return VerifiedBackend(model, kb, "reject")


def test_compare_finds_a_worse_action_with_its_probability(
    tmp_path: Path, kb: KnowledgeBase
) -> None:
    """A model with every fourth action wrong is significantly worse for the action, and equal for
    the other fields.
    """
    run_evaluation(tmp_path / "a", kb, Engine(kb), rows=60)
    run_evaluation(tmp_path / "b", kb, forgetful_model(kb, wrong_every=4), rows=60)
    found = compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "b"), kb.evaluation)
    by_name = {figure.name: figure for figure in found.metrics}
    action = by_name["action"]
    assert (found.pairs, found.unpaired_first, found.unpaired_second) == (60, 0, 0)
    assert action.first_only == by_name["right at first try"].first_only > 5
    assert action.second_only == 0
    assert action.p == (2 * Decimal(2) ** -action.first_only).quantize(Decimal("0.000001"))
    assert action.p_corrected >= action.p
    assert action.better == "first"
    assert by_name["priority_tier"].better == ""
    assert by_name["priority_tier"].p == 1


def test_compare_counts_missing_answers_separately(tmp_path: Path, kb: KnowledgeBase) -> None:
    """A record that one model did not answer is in no pair, and counts as answered by the other
    only.
    """
    run_evaluation(tmp_path / "a", kb, Engine(kb), rows=30)
    run_evaluation(tmp_path / "b", kb, forgetful_model(kb, silent_every=5), rows=30)
    found = compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "b"), kb.evaluation)
    unanswered = found.answered["first only"]
    assert unanswered >= 4
    assert found.answered["both"] == 30 - unanswered
    assert {figure.first_right - figure.second_right for figure in found.metrics} == {0}
    assert found.metrics[0].pairs == 30 - unanswered


def test_compare_uses_only_records_in_common(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """Evaluations without a record in common are refused. Records of one side only are counted, and
    text and JSON agree.
    """
    for name, rows, seed in (("a", 10, 7), ("b", 6, 7), ("c", 6, 8)):
        run_evaluation(tmp_path / name, kb, Engine(kb), rows=rows, seed=seed)
    with pytest.raises(UsageError, match="no record in common"):
        compare(read_outcomes(tmp_path / "a"), read_outcomes(tmp_path / "c"), kb.evaluation)
    report = json.loads(finops("compare", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert (report["pairs"], report["unpaired_first"], report["unpaired_second"]) == (6, 4, 0)
    done = finops("compare", tmp_path / "a", tmp_path / "b")
    assert b"No difference is shown" in done.stdout
    assert max(map(len, done.stdout.decode().splitlines())) <= 80 + len(str(tmp_path))
    assert finops("compare", tmp_path / "a", tmp_path).returncode == 2


def test_compare_verdict_first_names_missing_answers(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """If one model often gives no answer, the verdict first says that the other answers more often,
    in either order.
    """
    run_evaluation(tmp_path / "a", kb, Engine(kb), rows=30)
    run_evaluation(tmp_path / "b", kb, forgetful_model(kb, silent_every=3), rows=30)
    for pair in (("a", "b"), ("b", "a")):
        *_, answers, right = (
            finops("compare", *(tmp_path / name for name in pair)).stdout.decode().splitlines()
        )
        assert answers.startswith(
            f"{tmp_path / 'a'} answers more often (exact paired test, p = 0.0"
        )
        assert right == "Where both answer, no difference is shown (exact paired test, p = 1)."


def test_compare_refuses_evaluations_by_different_rules(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """Evaluations with different expected answers to the same record are refused."""
    for name in ("a", "b"):
        run_evaluation(tmp_path / name, kb, Engine(kb), rows=6)
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
def test_compare_names_an_invalid_outcome_line(
    field: str, value: object, tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """A line that is not an outcome of an evaluation ends with exit 2, and the message names file
    and line.
    """
    run_evaluation(tmp_path / "a", kb, Engine(kb), rows=3)
    file = tmp_path / "a/outcomes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + jsonl(json.loads(lines[1]) | {field: value}) + lines[2])
    done = finops("compare", tmp_path / "a", tmp_path / "a")
    assert (
        done.returncode,
        b"outcomes.jsonl line 2 is not an outcome of an evaluation" in done.stderr,
    ) == (2, True), done.stderr
