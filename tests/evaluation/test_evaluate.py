"""The command `finops evaluate`: it finds planted faults, counts missing answers separately, and
its metrics can be recalculated from the raw lines.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import (
    Behaviour,
    CorrectAnswer,
    FakeOllama,
    FixedText,
    ReceivedRequest,
)
from finops_cli.devtools.fake_ollama.response import ResponseStream
from finops_cli.errors import UsageError
from finops_cli.evaluation.reports.text_report import evaluation_text
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.evaluations import (
    age_of,
    at_fake_ollama,
    change_when,
    read_lines,
    run_evaluation,
)
from tests.support.oracle import triage_oracle
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

ROWS = 120


def test_evaluation_of_the_engine_finds_no_error(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The engine is right in every field of every record, misses no CRITICAL fail, and no group is
    flagged.
    """
    f = run_evaluation(tmp_path / "ev", kb, Engine(kb), rows=60).metrics
    assert f.first_answers == {"right": 60, "wrong": 0, "none": 0}
    assert all(each.count == each.of == 60 for each in f.fields.values())
    assert f.criticals is not None
    assert (f.criticals.missed.count, f.rules, f.no_answer) == (0, {}, {})
    assert not any(stratum.flagged for stratum in f.strata)


def test_evaluation_flags_a_fault_at_one_boundary(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A model that errs only at age 9 is flagged at that boundary and no other, with the fields
    that are wrong.
    """

    def one_band_up(answer: dict[str, Any]) -> dict[str, Any]:
        answer["score_components"]["age_factor"] = 80
        return answer

    model = at_fake_ollama(
        server, kb, change_when(lambda request: age_of(request) == 9, one_band_up)
    )
    evaluation = run_evaluation(tmp_path / "ev", kb, model, rows=ROWS)
    worst = evaluation.metrics.strata[0]
    assert (worst.dimension, worst.group) == ("boundary", "age 9, just below a boundary")
    assert worst.flagged
    assert worst.right.count == 0
    assert list(worst.worst) == ["age_factor"]
    others = [
        stratum
        for stratum in evaluation.metrics.strata
        if stratum.dimension == "boundary" and stratum is not worst
    ]
    assert not any(stratum.flagged for stratum in others)
    assert "boundary: age 9, just below a boundary" in evaluation_text(evaluation, kb.evaluation)


def test_evaluation_reports_missed_criticals_first(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A model that never answers CRITICAL misses all of them as HIGH, and the report starts with
    them.
    """

    def never_critical(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["priority_tier"] == "CRITICAL":
            answer |= {"priority_tier": "HIGH", "escalation_level": "L2"}
        return answer

    evaluation = run_evaluation(
        tmp_path / "ev",
        kb,
        at_fake_ollama(server, kb, change_when(lambda _: True, never_critical)),
        rows=ROWS,
    )
    c, escalation = evaluation.metrics.criticals, evaluation.metrics.escalation
    assert c is not None
    assert escalation is not None
    assert c.missed.count == c.missed.of == c.missed_as["HIGH"] > 10
    assert escalation.too_low.count == c.missed.count
    assert c.false_alarms.count == escalation.too_high.count == 0
    assert (
        c.missed_ids
        == [
            o["id"]
            for o in read_lines(tmp_path / "ev/outcomes.jsonl")
            if o["expected"]["priority_tier"] == "CRITICAL"
        ][:20]
    )
    assert [
        line
        for line in evaluation_text(evaluation, kb.evaluation).splitlines()
        if line.endswith(")")
    ][1].startswith("missed criticals")


class RightInALaterTurn(Behaviour):
    """A wrong tier, then the end of the turn and the right answer in another one."""

    def respond(self, response: ResponseStream) -> None:
        def lower_tier(answer: dict[str, Any]) -> dict[str, Any]:
            return answer | {"priority_tier": "LOW"}

        right = response.correct_text()
        response.send_text(
            f"{response.correct_text(lower_tier)}<|endoftext|>\n<think></think>{right}"
        )


def test_evaluation_grades_the_first_turn_of_an_answer(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A right answer in a later turn does not hide a missed CRITICAL fail in the first one."""
    model = at_fake_ollama(server, kb, lambda request: RightInALaterTurn())
    metrics = run_evaluation(tmp_path / "ev", kb, model, rows=40).metrics
    assert metrics.criticals is not None
    assert metrics.criticals.missed.count == metrics.criticals.missed.of > 0
    assert metrics.criticals.missed_as["LOW"] == metrics.criticals.missed.count


def test_evaluation_counts_missing_answers_separately(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A first answer that is not JSON is not a wrong answer: it is excluded from the proportions
    and counted by its rule.
    """

    def script(request: ReceivedRequest) -> FixedText | CorrectAnswer:
        return (
            FixedText("I would rather not.")
            if age_of(request) > 9 and request.attempt == 1
            else CorrectAnswer()
        )

    f = run_evaluation(tmp_path / "ev", kb, at_fake_ollama(server, kb, script), rows=40).metrics
    unanswered = f.first_answers["none"]
    assert unanswered > 5
    assert f.first_answers["wrong"] == 0
    assert f.no_answer == {"reply.json": unanswered}
    assert (f.right.count, f.right.of) == (40 - unanswered, 40 - unanswered)
    assert (f.valid_first_try.count, f.valid_first_try.of) == (40 - unanswered, 40)
    assert f.accepted_after_repair.count == 40  # asked a second time, the model answers
    assert f.criticals is not None
    assert f.criticals.unanswered == f.confusion["priority_tier"]["CRITICAL"]["no answer"] > 0
    assert (f.criticals.missed.count, f.criticals.missed.of) == (
        0,
        f.confusion["priority_tier"]["CRITICAL"]["CRITICAL"],
    )
    assert (
        sum(
            f.confusion["priority_tier"][tier].get("no answer", 0)
            for tier in f.confusion["priority_tier"]
        )
        == unanswered
    )


def test_evaluation_metrics_agree_with_a_second_calculation(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """Proportions, intervals, confusion, latency and tokens agree with a calculation from the
    records and raw answers by other code.
    """

    def off(answer: dict[str, Any]) -> dict[str, Any]:
        answer["priority_score"] += Decimal("0.04") if answer["category"] == "CNS_FAIL" else 3
        return answer

    model = at_fake_ollama(server, kb, change_when(lambda request: age_of(request) % 3 == 0, off))
    f = run_evaluation(tmp_path / "ev", kb, model, rows=60).metrics
    right = close = exact = 0
    tiers: Counter[tuple[str, str]] = Counter()
    latencies, tokens = [], 0
    for record, line in zip(
        read_lines(tmp_path / "ev/records.jsonl"),
        read_lines(tmp_path / "ev/answers.jsonl"),
        strict=True,
    ):
        first = line["raw"]["triage"][0]
        answer = json.loads(first["text"], parse_float=Decimal)
        truth = triage_oracle.triage(record)
        tiers[truth["priority_tier"], answer["priority_tier"]] += 1
        off_by = abs(
            Decimal(answer["priority_score"]) - Decimal(str(float(truth["priority_score"])))
        )
        exact, close = exact + (off_by == 0), close + (off_by <= Decimal("0.05"))
        right += off_by == 0
        latencies.append(line["provenance"]["latency_ms"])
        tokens += first["tokens"]
    assert (f.right.count, f.fields["priority_score"].count) == (right, exact)
    assert f.score_within is not None
    assert f.score_within.count == close > exact
    assert {
        (e, s): n for e, row in f.confusion["priority_tier"].items() for s, n in row.items()
    } == tiers
    z, p, n = 1.959964, right / 60, 60
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert f.right.low_pct is not None
    assert abs(float(f.right.low_pct) - 100 * (centre - spread) / (1 + z * z / n)) < 0.006
    assert f.speed.p95_ms == sorted(latencies)[math.ceil(0.95 * 60) - 1]
    assert f.speed.tokens == tokens
    assert f.speed.tokens_per_second is not None


def test_evaluate_refuses_rows_of_the_train_split(
    tmp_path: Path, kb: KnowledgeBase, finops: Finops
) -> None:
    """A row whose content belongs to the train split is refused, whatever its `split`
    field says.
    """
    assert (
        finops(
            "generate", "--stage", "triage", "-n", 20, "-o", tmp_path / "data", "-q", "--workers", 1
        ).returncode
        == 0
    )
    f = run_evaluation(
        tmp_path / "ev", kb, Engine(kb), rows=9, data=tmp_path / "data/triage-eval.jsonl"
    ).metrics
    assert f.records == 4
    lying = (
        (tmp_path / "data/triage-train.jsonl")
        .read_bytes()
        .replace(b'"split":"train"', b'"split":"eval"')
    )
    (tmp_path / "lying.jsonl").write_bytes(lying)
    with pytest.raises(UsageError, match="belongs to the train split"):
        run_evaluation(tmp_path / "ev", kb, Engine(kb), rows=9, data=tmp_path / "lying.jsonl")


@pytest.mark.slow
def test_equal_evaluations_without_timing_are_identical(
    tmp_path: Path, server: FakeOllama, finops: Finops
) -> None:
    """Without timing, two evaluations of the same records write identical files, but for the note,
    which names the folder.
    """
    fixed = (
        "--backend",
        "ollama",
        "--host",
        server.url,
        "--no-timing",
        "--no-baselines",
        "-q",
        "-n",
        4,
    )
    for stage in ("triage", "resolver"):
        for name in ("one", "two"):
            (tmp_path / name).mkdir(exist_ok=True)
            assert (
                finops(
                    "evaluate", "--stage", stage, "-o", tmp_path / name / stage, *fixed
                ).returncode
                == 0
            )
        one, two = (sorted((tmp_path / name / stage).iterdir()) for name in ("one", "two"))
        assert [file.name for file in one] == [file.name for file in two]
        found = zip(one, two, strict=True)
        compared = [pair for pair in found if not pair[0].name.endswith(".run.json")]
        assert [file.read_bytes() for file, _ in compared] == [
            file.read_bytes() for _, file in compared
        ]


@pytest.mark.slow
def test_evaluate_of_own_records_exits_1_for_a_bad_record(tmp_path: Path, finops: Finops) -> None:
    """An evaluation of own records with a bad one prints JSON on stdout and exits with 1.
    `--resume` refuses other records.
    """
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(), a_fail(fail_id="F-2", age_days=-1)))
    options = ("--stage", "triage", "--backend", "engine", "--no-baselines", "--json")
    call = ("evaluate", *options, "-o", tmp_path / "ev")
    done = finops(*call, "--data", tmp_path / "fails.jsonl")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (
        report["metrics"]["records"],
        report["metrics"]["rejected"],
        report["metrics"]["right"]["of"],
    ) == (2, 1, 1)
    assert json.loads((tmp_path / "ev/evaluation.json").read_bytes()) == report
    assert finops(*call, "-n", 5, "-q", "--overwrite").returncode == 0
    again = finops(*call, "-n", 6, "--resume")
    assert again.returncode == 2
    assert b"the answers so far belong to other records" in again.stderr
    assert finops("evaluate", "--stage", "triage", "-o", tmp_path / "fails.jsonl").returncode == 2
