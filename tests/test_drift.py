"""`finops drift`: what a model says is held against a baseline, as a whole and in windows; other
inputs are told from another model.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
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
from finops_cli.evaluation.drift import Drift, Drifted, drift
from finops_cli.evaluation.drift_dimensions import LineFeatures, read_features
from finops_cli.evaluation.reports.text_report import drift_text
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.conftest import EXAMPLES, Finops
from tests.cures import cured_by
from tests.evaluations import age_of, at_fake_ollama, evaluated, lines_of, when
from tests.ollama_models import a_model_at

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


def by_name(found: Drift) -> dict[str, Drifted]:
    return {each.name: each for each in found.dimensions}


def answers(**times: int) -> Iterator[LineFeatures]:
    """So many records of each value, in this order."""
    return (
        LineFeatures({"answers": value.replace("_", " ")})
        for value, count in times.items()
        for _ in range(count)
    )


def told(run: Iterator[LineFeatures], window: int, kb: KnowledgeBase) -> Drift:
    """Against four hundred answers that all came as they should."""
    return drift(run, answers(as_it_came=400), window, kb.evaluation.drift_threshold, kb.evaluation)


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
    assert Counter(shown.values["answers"] for shown in read_features(tmp_path / "run")) == {
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
    assert [shown.values["answers"] for shown in read_features(tmp_path / "run")] == [
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


def test_few_records_that_are_as_the_baseline_do_not_diverge(kb: KnowledgeBase) -> None:
    """Eight answers that all came as they should, against four hundred of the same: the size of a
    file is no drift.
    """
    found = told(answers(as_it_came=8), window=0, kb=kb)
    assert by_name(found)["answers"].divergence == 0
    assert not found.drifted


def test_what_chance_alone_gives_is_told(kb: KnowledgeBase) -> None:
    """Two samples of one distribution, drawn often, diverge on average by about what is told; the
    text tells it where something drifted.
    """
    draws = random.Random(7)
    values, weights = ("as it came", "asked again", "repaired", "replaced"), (4, 3, 2, 1)

    def drawn(records: int) -> Iterator[LineFeatures]:
        return (
            LineFeatures({"answers": value}) for value in draws.choices(values, weights, k=records)
        )

    held_often = [
        drift(drawn(60), drawn(90), 40, kb.evaluation.drift_threshold, kb.evaluation).dimensions[0]
        for _ in range(200)
    ]
    assert {each.by_chance for each in held_often} == {Decimal("0.041667")}
    assert {each.worst and each.worst.by_chance for each in held_often} == {Decimal("0.054167")}
    assert float(sum(each.divergence for each in held_often)) / 200 == pytest.approx(
        0.0417, rel=0.15
    )
    few = told(answers(as_it_came=30, repaired=30), window=40, kb=kb)
    assert "chance alone gives about 0.010 in the whole, 0.014 in such a window" in drift_text(few)
    assert "chance alone" not in drift_text(told(answers(as_it_came=60), window=40, kb=kb))


def test_drift_at_the_very_end_is_found(kb: KnowledgeBase) -> None:
    """Planted: the last 15 of 95 records.

    Whole windows of 40 end with record 80; the last window takes the half before it, too.
    """
    found = told(answers(as_it_came=80, repaired=15), window=40, kb=kb)
    [drifted] = found.dimensions
    assert drifted.worst is not None
    assert (drifted.worst.first, drifted.worst.last) == (61, 95)
    assert drifted.worst.divergence > drifted.divergence
    assert drifted.drifted


@pytest.mark.parametrize(
    ("asked", "records", "used"),
    [(0, 50, 0), (2, 50, 2), (20, 50, 20), (21, 50, 20), (50, 50, 50), (51, 50, 50), (52, 50, 0)],
)
def test_the_window_that_is_told_is_the_window_that_was_used(
    asked: int, records: int, used: int, kb: KnowledgeBase
) -> None:
    """An odd number is taken one lower, and a file that is shorter than a window has none, at its
    end either.
    """
    found = told(answers(as_it_came=records), window=asked, kb=kb)
    assert found.window == used
    assert (found.dimensions[0].worst is not None) == (used > 0)
    assert (
        (f"windows of {used}" in drift_text(found))
        == (used > 0)
        == ("worst window" in drift_text(found))
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
        Counter(shown.values["answers"] for shown in read_features(tmp_path / "run"))["failed"]
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


def test_a_baseline_whose_answers_failed_is_told(kb: KnowledgeBase) -> None:
    """Its inputs are as little known as those of a run."""
    silent = [LineFeatures({"answers": "failed"}, stands=False)] * 10
    found = drift(answers(as_it_came=20), silent, 0, kb.evaluation.drift_threshold, kb.evaluation)
    assert found.baseline_without_answer == 10
    assert found.sentence.endswith(
        "No answer stands for 0 of 20 records (in the baseline for 10 of 10): they are in no input."
    )


def test_fails_that_no_line_tells_are_not_called_as_before(kb: KnowledgeBase) -> None:
    """Lines of `finops resolve` hold no triage, and so no input: another model cannot be told from
    other fails.
    """
    sentence = told(answers(replaced=40), window=0, kb=kb).sentence
    assert (
        sentence
        == "The answers are not as in the baseline (answers); whether the fails are, these lines do"
        " not tell."
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


def test_what_a_model_said_does_not_steer_the_terminal() -> None:
    moved = Drifted(
        "tier",
        "prediction",
        Decimal(1),
        Decimal(0),
        True,
        None,
        "\x1b[31mHIGH\nNo drift",
        Decimal(0),
        Decimal(9),
    )
    told = drift_text(Drift(9, 0, 9, 0, Decimal("0.1"), 0, True, "The fails are others.", [moved]))
    assert r"  \x1b[31mHIGH No drift was 0 %, is 9 % of the whole" in told.splitlines()[-2]
