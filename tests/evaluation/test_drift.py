"""`finops drift` compares the answers of a run with a baseline, as a whole and in windows.

It distinguishes other inputs from another model.
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
from tests.support.evaluations import age_of, at_fake_ollama, evaluated, lines_of, when
from tests.support.ollama_models import a_model_at
from tests.support.program import EXAMPLES, Finops

ROWS = 120


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, kb: KnowledgeBase) -> Path:
    """Predictions as they should be, of other records of the same mix."""
    folder = tmp_path_factory.mktemp("baseline") / "ev"
    evaluated(folder, kb, Engine(kb), rows=400, seed=11)
    return folder


def held(run: Path, baseline: Path, kb: KnowledgeBase, window: int = 0) -> Drift:
    return drift(
        read_features(run),
        read_features(baseline),
        window,
        kb.evaluation.drift_threshold,
        kb.evaluation,
    )


def drifting(server: FakeOllama, kb: KnowledgeBase, after: int) -> Any:
    """A model that takes everything for MEDIUM once it has answered `after` records."""

    def medium(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"priority_tier": "MEDIUM"}

    seen: Counter[str] = Counter()

    def script(request: ReceivedRequest) -> CorrectAnswer | Changed:
        seen["records"] += 1
        return Changed(medium) if seen["records"] > after else CorrectAnswer()

    return at_fake_ollama(server, kb, script)


def test_the_same_mix_does_not_drift(tmp_path: Path, kb: KnowledgeBase, baseline: Path) -> None:
    """Other records of the same mix, by the same answerer: nothing above the threshold, in no
    window either.
    """
    evaluated(tmp_path / "run", kb, Engine(kb), rows=400)
    found = held(tmp_path / "run", baseline, kb, window=200)
    assert not found.drifted
    assert found.sentence.startswith("No drift")
    assert all(each.worst is not None for each in found.dimensions)


def test_drift_half_way_is_found_in_its_window(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, server: FakeOllama
) -> None:
    """Planted: from the middle of the file on all is MEDIUM.

    The engine's figures stand in the output, but the model's words count.
    """
    evaluated(tmp_path / "run", kb, drifting(server, kb, ROWS // 2), rows=ROWS)
    found = held(tmp_path / "run", baseline, kb, window=40)
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
        for line in lines_of(tmp_path / "run/answers.jsonl")[ROWS // 2 :]
    } > {"MEDIUM"}


def test_first_answers_that_asking_again_saved_are_seen(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """Planted: every first answer is prose and every second one right.

    All stands, nothing was replaced, and yet the model drifted.
    """
    evaluated(tmp_path / "before", kb, Engine(kb), rows=40)
    prose = at_fake_ollama(
        server,
        kb,
        lambda request: (
            FixedText("I think it is high.") if request.attempt == 1 else CorrectAnswer()
        ),
    )
    evaluated(tmp_path / "run", kb, prose, rows=40)
    assert {line["status"] for line in lines_of(tmp_path / "run/answers.jsonl")} == {"ok"}
    found = held(tmp_path / "run", tmp_path / "before", kb)
    drifted = [(each.name, each.moved) for each in found.dimensions if each.drifted]
    assert drifted == [("answers", "as it came")]
    assert Counter(features.values["answers"] for features in read_features(tmp_path / "run")) == {
        "asked again": 40
    }
    assert "look at the model" in found.sentence


def test_what_a_server_overcame_is_not_asked_again(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A server that was busy once is no fault of the model: the first answer that came stood."""
    busy: Counter[str] = Counter()

    def script(request: ReceivedRequest) -> Busy | CorrectAnswer:
        busy[request.prompt] += 1
        return Busy() if busy[request.prompt] == 1 else CorrectAnswer()

    evaluated(tmp_path / "run", kb, at_fake_ollama(server, kb, script), rows=5)
    assert all(
        "attempt_errors" in line["provenance"] for line in lines_of(tmp_path / "run/answers.jsonl")
    )
    assert [features.values["answers"] for features in read_features(tmp_path / "run")] == [
        "as it came"
    ] * 5


def test_divergence_is_reckoned_anew_from_the_lines(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path
) -> None:
    """By another way, in floats, from the two outputs alone."""
    evaluated(tmp_path / "run", kb, Engine(kb), rows=50, seed=3)
    found = by_name(held(tmp_path / "run", baseline, kb))["action"]
    now, before = (
        Counter(line["triage"]["action"] for line in lines_of(path / "answers.jsonl"))
        for path in (tmp_path / "run", baseline)
    )
    values = 7
    p = {action: (now[action] + 0.5) / (50 + values / 2) for action in {*now, *before}}
    q = {action: (before[action] + 0.5) / (400 + values / 2) for action in {*now, *before}}
    assert len(p) == values
    assert float(found.divergence) == pytest.approx(
        sum(p[a] * math.log(p[a] / q[a]) for a in p), abs=1e-6
    )


def test_a_window_of_one_record_is_refused(baseline: Path, finops: Finops) -> None:
    """It has no halves: nothing could be looked at."""
    done = finops("drift", baseline, "--baseline", baseline, "--window", "1")
    assert done.returncode == 2
    assert b"give 2 or more, or 0 for the whole" in done.stderr


def test_other_fails_are_told_from_another_model(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, finops: Finops
) -> None:
    """A blotter of fails none of which is old: the inputs drift, and the sentence says that the
    model is not to blame alone.
    """
    young = [line for line in lines_of(baseline / "records.jsonl") if line["age_days"] <= 3]
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
    told = json.loads(done.stdout)
    [age] = [each for each in told["dimensions"] if each["name"] == "age factor"]
    assert age["drifted"]
    assert "The fails are others than in the baseline (age" in told["sentence"]
    text = finops("drift", tmp_path / "out.jsonl", "--baseline", baseline, "--threshold", "9")
    assert text.returncode == 0
    assert b"No drift" in text.stdout


def test_a_model_whose_answers_fail_is_not_excused_by_the_inputs(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, server: FakeOllama
) -> None:
    """Planted: the tier of every fail above day 3 is wrong, and what is wrong fails.

    What is left is young, but no other fails came.
    """

    def another_tier(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"priority_tier": "LOW" if answer["priority_tier"] != "LOW" else "HIGH"}

    at_fake_ollama(server, kb, when(lambda request: age_of(request) > 3, another_tier))
    rejecting = a_model_at(kb, server.url, stages=("triage",), workers=2, on_violation="reject")
    evaluated(tmp_path / "run", kb, rejecting, rows=ROWS)
    failed = sum(line["triage"] is None for line in lines_of(tmp_path / "run/answers.jsonl"))
    found = held(tmp_path / "run", baseline, kb)
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
        == "The inputs that are known are not as in the baseline (age factor), nor are the answers"
        f" (answers): look at the model first. No answer stands for {failed} of {ROWS} records:"
        " they are in no input."
    )


def test_what_is_no_run_is_refused(
    tmp_path: Path, kb: KnowledgeBase, baseline: Path, finops: Finops
) -> None:
    """A file of fails is no output; the message names file and line.

    Nothing to hold is no verdict either.
    """
    done = finops("drift", EXAMPLES / "monday.jsonl", "--baseline", baseline)
    assert done.returncode == 2
    assert b"monday.jsonl line 1" in done.stderr
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match="the run has no record that anybody was asked about"):
        held(tmp_path / "empty.jsonl", baseline, kb)
    with pytest.raises(UsageError, match="the baseline has no record that anybody was asked about"):
        held(baseline, tmp_path / "empty.jsonl", kb)


@pytest.mark.parametrize(
    ("place", "says", "cure"),
    [
        ("-", "no run here", "give the output of a run"),
        ("nowhere.jsonl", "no run here", "give the output of a run"),
        (".", "no evaluation here", "give the folder"),
    ],
)
def test_where_no_run_is_the_cure_is_named(
    place: str, says: str, cure: str, tmp_path: Path, baseline: Path, kb: KnowledgeBase
) -> None:
    """A folder that holds no evaluation is called by its own name; stdin is not read, so it is not
    proposed.
    """
    with pytest.raises(UsageError, match=says, check=cured_by(cure)) as refused:
        held(tmp_path / place, baseline, kb)
    assert str(refused.value).startswith(f"{tmp_path / place}: ")


def test_a_threshold_without_end_is_refused(baseline: Path, finops: Finops) -> None:
    """No divergence would be above it, and JSON has no number for it."""
    done = finops("drift", baseline, "--baseline", baseline, "--threshold", "inf", "--json")
    assert done.returncode == 2
    assert b"a threshold of Infinity is none" in done.stderr


def test_triages_are_not_held_against_plans(tmp_path: Path, kb: KnowledgeBase) -> None:
    """They have no distribution in common but how the answers came to stand, which would say that
    all is well.
    """
    evaluated(tmp_path / "triage", kb, Engine(kb), rows=5)
    evaluated(tmp_path / "plans", kb, Engine(kb), stage="resolver", rows=5)
    for run, before in (("triage", "plans"), ("plans", "triage")):
        with pytest.raises(UsageError, match="one side has triages alone, the other plans alone"):
            held(tmp_path / run, tmp_path / before, kb)
