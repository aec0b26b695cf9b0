"""The command `finops drift`: it compares the answers of a run with a baseline and separates
changed inputs from a changed model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    Busy,
    Changed,
    CorrectAnswer,
    FakeOllama,
    FixedText,
    ReceivedRequest,
)
from finops_cli.errors import UsageError
from finops_cli.evaluation.drift import Drift, drift
from finops_cli.evaluation.drift_dimensions import read_features
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.cures import cured_by
from tests.support.drifts import by_name
from tests.support.evaluations import (
    age_of,
    at_fake_ollama,
    change_when,
    read_lines,
    run_evaluation,
)
from tests.support.ollama_models import a_model_at
from tests.support.program import EXAMPLES, Finops

ROWS = 120


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, kb: KnowledgeBase) -> Path:
    """Answers of the engine to other records of the same mix."""
    folder = tmp_path_factory.mktemp("baseline") / "ev"
    run_evaluation(folder, kb, Engine(kb), rows=400, seed=11)
    return folder


def drift_from(run: Path, baseline: Path, kb: KnowledgeBase, window: int = 0) -> Drift:
    return drift(
        read_features(run),
        read_features(baseline),
        window,
        kb.evaluation.drift_threshold,
        kb.evaluation,
    )


def drifting_model(server: FakeOllama, kb: KnowledgeBase, after: int) -> Any:
    """A model that takes everything for MEDIUM once it has answered `after` records."""

    def medium(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"priority_tier": "MEDIUM"}

    seen: Counter[str] = Counter()

    def script(request: ReceivedRequest) -> CorrectAnswer | Changed:
        seen["records"] += 1
        return Changed(medium) if seen["records"] > after else CorrectAnswer()

    return at_fake_ollama(server, kb, script)


@pytest.mark.slow
def test_drift_of_the_same_mix_is_below_the_threshold(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path
) -> None:
    """Other records of the same mix, answered by the same backend, show no drift in the whole or in
    a window.
    """
    run_evaluation(tmp_path / "run", kb, Engine(kb), rows=400)
    found = drift_from(tmp_path / "run", baseline, kb, window=200)
    assert not found.drifted
    assert found.sentence.startswith("No drift")
    assert all(each.worst is not None for each in found.dimensions)


@pytest.mark.slow
def test_drift_in_the_second_half_is_found_in_its_window(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, server: FakeOllama
) -> None:
    """A model that calls every fail MEDIUM from the middle on drifts, and the worst window is in
    the second half.
    """
    run_evaluation(tmp_path / "run", kb, drifting_model(server, kb, ROWS // 2), rows=ROWS)
    found = drift_from(tmp_path / "run", baseline, kb, window=40)
    tier = by_name(found)["tier"]
    assert tier.drifted
    assert tier.moved == "MEDIUM"
    assert tier.worst is not None
    assert tier.worst.first > ROWS // 2 - 20
    assert tier.worst.divergence > 2 * tier.divergence
    assert by_name(found)["answers"].drifted
    assert not any(
        each.drifted
        for each in found.dimensions
        if each.kind == "input" and each.divergence > tier.divergence
    )
    assert {
        line["triage"]["priority_tier"]
        for line in read_lines(tmp_path / "run/answers.jsonl")[ROWS // 2 :]
    } > {"MEDIUM"}


def test_drift_of_first_answers_is_found_despite_retries(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A model whose first answers are all unusable drifts, although every retry is correct."""
    run_evaluation(tmp_path / "before", kb, Engine(kb), rows=40)
    prose = at_fake_ollama(
        server,
        kb,
        lambda request: (
            FixedText("I think it is high.") if request.attempt == 1 else CorrectAnswer()
        ),
    )
    run_evaluation(tmp_path / "run", kb, prose, rows=40)
    assert {line["status"] for line in read_lines(tmp_path / "run/answers.jsonl")} == {"ok"}
    found = drift_from(tmp_path / "run", tmp_path / "before", kb)
    drifted = [(each.name, each.moved) for each in found.dimensions if each.drifted]
    assert drifted == [("answers", "accepted")]
    assert Counter(features.values["answers"] for features in read_features(tmp_path / "run")) == {
        "asked again": 40
    }
    assert "check the model" in found.sentence


def test_drift_ignores_a_server_that_was_busy_once(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A record for which the server was busy once counts as answered at the first attempt."""
    busy: Counter[str] = Counter()

    def script(request: ReceivedRequest) -> Busy | CorrectAnswer:
        busy[request.prompt] += 1
        return Busy() if busy[request.prompt] == 1 else CorrectAnswer()

    run_evaluation(tmp_path / "run", kb, at_fake_ollama(server, kb, script), rows=5)
    assert all(
        "attempt_errors" in line["provenance"]
        for line in read_lines(tmp_path / "run/answers.jsonl")
    )
    assert [features.values["answers"] for features in read_features(tmp_path / "run")] == [
        "accepted"
    ] * 5


def test_drift_divergence_equals_an_independent_calculation(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path
) -> None:
    """The divergence equals a calculation in floats from the two outputs."""
    run_evaluation(tmp_path / "run", kb, Engine(kb), rows=50, seed=3)
    found = by_name(drift_from(tmp_path / "run", baseline, kb))["action"]
    now, before = (
        Counter(line["triage"]["action"] for line in read_lines(path / "answers.jsonl"))
        for path in (tmp_path / "run", baseline)
    )
    values = 7
    p = {action: (now[action] + 0.5) / (50 + values / 2) for action in {*now, *before}}
    q = {action: (before[action] + 0.5) / (400 + values / 2) for action in {*now, *before}}
    assert len(p) == values
    assert float(found.divergence) == pytest.approx(
        sum(p[a] * math.log(p[a] / q[a]) for a in p), abs=1e-6
    )


def test_drift_window_of_one_record_is_refused(baseline: Path, finops: Finops) -> None:
    """A window of one record is refused with exit 2, because it cannot be halved."""
    done = finops("drift", baseline, "--baseline", baseline, "--window", "1")
    assert done.returncode == 2
    assert b"Expected 0, or 2 or more." in done.stderr


def test_drift_of_younger_fails_names_the_inputs(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, finops: Finops
) -> None:
    """A run of young fails only shows that the inputs drifted, in the report and its sentence."""
    young = [line for line in read_lines(baseline / "records.jsonl") if line["age_days"] <= 3]
    (tmp_path / "young.jsonl").write_bytes(
        b"".join(json.dumps(line, default=float).encode() + b"\n" for line in young)
    )
    assert (
        finops(
            "triage",
            tmp_path / "young.jsonl",
            "-o",
            tmp_path / "out.jsonl",
            "--backend",
            "engine",
            "-q",
        ).returncode
        == 0
    )
    done = finops("drift", tmp_path / "out.jsonl", "--baseline", baseline, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    [age] = [each for each in report["dimensions"] if each["name"] == "age factor"]
    assert age["drifted"]
    assert "The fails (age" in report["sentence"]
    text = finops("drift", tmp_path / "out.jsonl", "--baseline", baseline, "--threshold", "9")
    assert text.returncode == 0
    assert b"No drift" in text.stdout


@pytest.mark.slow
def test_drift_of_failed_answers_names_the_model_first(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, server: FakeOllama
) -> None:
    """When all wrong answers fail, the accepted ones are young. The sentence still names the model
    first and counts the failed records.
    """

    def another_tier(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"priority_tier": "LOW" if answer["priority_tier"] != "LOW" else "HIGH"}

    at_fake_ollama(server, kb, change_when(lambda request: age_of(request) > 3, another_tier))
    rejecting = a_model_at(kb, server.url, stages=("triage",), workers=2, on_violation="reject")
    run_evaluation(tmp_path / "run", kb, rejecting, rows=ROWS)
    failed = sum(line["triage"] is None for line in read_lines(tmp_path / "run/answers.jsonl"))
    found = drift_from(tmp_path / "run", baseline, kb)
    assert (
        Counter(features.values["answers"] for features in read_features(tmp_path / "run"))[
            "failed"
        ]
        == failed
        > ROWS // 3
    )
    assert by_name(found)["age factor"].drifted
    assert (found.records_without_answer, found.baseline_without_answer) == (failed, 0)
    assert (
        found.sentence
        == "The known inputs differ from the baseline (age factor), and so do the answers"
        f" (answers): check the model first. {failed} of {ROWS} records have no accepted answer:"
        " their inputs are not counted."
    )


def test_drift_of_a_file_that_is_not_a_run_is_refused(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, finops: Finops
) -> None:
    """A file of fails is refused with file and line, and so is a run or a baseline without
    records.
    """
    done = finops("drift", EXAMPLES / "monday.jsonl", "--baseline", baseline)
    assert done.returncode == 2
    assert b"monday.jsonl line 1" in done.stderr
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match="the run has no record that was sent to a backend"):
        drift_from(tmp_path / "empty.jsonl", baseline, kb)
    with pytest.raises(UsageError, match="the baseline has no record that was sent to a backend"):
        drift_from(baseline, tmp_path / "empty.jsonl", kb)


@pytest.mark.parametrize(
    ("place", "message", "cure"),
    [
        ("-", "no run here", "give the output of a run"),
        ("nowhere.jsonl", "no run here", "give the output of a run"),
        (".", "no evaluation here", "give the folder"),
    ],
)
def test_drift_of_a_missing_run_names_the_fix(
    place: str, message: str, cure: str, tmp_path: Path, baseline: Path, kb: KnowledgeBase
) -> None:
    """A missing run and a folder without an evaluation are refused with their name and a fix. Stdin
    is not accepted.
    """
    with pytest.raises(UsageError, match=message, check=cured_by(cure)) as refused:
        drift_from(tmp_path / place, baseline, kb)
    assert str(refused.value).startswith(f"{tmp_path / place}: ")


def test_drift_with_an_infinite_threshold_is_refused(baseline: Path, finops: Finops) -> None:
    """An infinite threshold is refused with exit 2, because no divergence could exceed it."""
    done = finops("drift", baseline, "--baseline", baseline, "--threshold", "inf", "--json")
    assert done.returncode == 2
    assert b"--threshold Infinity is not finite" in done.stderr


def test_drift_of_triages_from_plans_is_refused(tmp_path: Path, kb: KnowledgeBase) -> None:
    """Triages and plans have too few dimensions in common, so a comparison between them is
    refused.
    """
    run_evaluation(tmp_path / "triage", kb, Engine(kb), rows=5)
    run_evaluation(tmp_path / "plans", kb, Engine(kb), stage="resolver", rows=5)
    for run, before in (("triage", "plans"), ("plans", "triage")):
        with pytest.raises(UsageError, match="one side has only triages, the other only plans"):
            drift_from(tmp_path / run, tmp_path / before, kb)
