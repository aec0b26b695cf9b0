"""`finops evaluate`: planted faults are found, no answer is not a wrong one, and the figures can be
reckoned anew from the raw lines.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finops_cli.devtools.fake_ollama import CorrectAnswer, FakeOllama, FixedText, ReceivedRequest
from finops_cli.errors import UsageError
from finops_cli.evaluation.reports.text_report import evaluation_text
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.engine import Engine
from tests.support.evaluations import age_of, at_fake_ollama, evaluated, lines_of, when
from tests.support.oracle import triage_oracle
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

ROWS = 120


def test_the_engine_is_right_about_everything(tmp_path: Path, kb: KnowledgeBase) -> None:
    """The reference against itself: every field of every record, no critical missed, no group
    singled out.
    """
    f = evaluated(tmp_path / "ev", kb, Engine(kb), rows=60).metrics
    assert f.first_answers == {"right": 60, "wrong": 0, "none": 0}
    assert all(each.count == each.of == 60 for each in f.fields.values())
    assert f.criticals is not None
    assert (f.criticals.missed.count, f.rules, f.no_answer) == (0, {}, {})
    assert not any(stratum.flagged for stratum in f.strata)


def test_a_fault_at_one_boundary_is_named(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """Planted: the factor of day 9 is taken for that of the band above.

    The report names the boundary and the fields.
    """

    def one_band_up(answer: dict[str, Any]) -> dict[str, Any]:
        answer["score_components"]["age_factor"] = 80
        return answer

    model = at_fake_ollama(server, kb, when(lambda request: age_of(request) == 9, one_band_up))
    evaluation = evaluated(tmp_path / "ev", kb, model, rows=ROWS)
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
    assert "boundary: age 9, just below a boundary" in evaluation_text(evaluation)


def test_missed_criticals_are_the_first_figure(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """Planted: nothing is ever CRITICAL.

    All criticals are missed as HIGH, and that is the first thing said.
    """

    def never_critical(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["priority_tier"] == "CRITICAL":
            answer |= {"priority_tier": "HIGH", "escalation_level": "L2"}
        return answer

    evaluation = evaluated(
        tmp_path / "ev",
        kb,
        at_fake_ollama(server, kb, when(lambda _: True, never_critical)),
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
            for o in lines_of(tmp_path / "ev/outcomes.jsonl")
            if o["expected"]["priority_tier"] == "CRITICAL"
        ][:20]
    )
    assert [line for line in evaluation_text(evaluation).splitlines() if line.endswith(")")][
        1
    ].startswith("missed criticals")


def test_no_answer_is_an_outcome_of_its_own(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """A first answer that is no JSON is not wrong: it is in no share of right answers, and counted
    by its rule.
    """

    def script(request: ReceivedRequest) -> FixedText | CorrectAnswer:
        return (
            FixedText("I would rather not.")
            if age_of(request) > 9 and request.attempt == 1
            else CorrectAnswer()
        )

    f = evaluated(tmp_path / "ev", kb, at_fake_ollama(server, kb, script), rows=40).metrics
    silent = f.first_answers["none"]
    assert silent > 5
    assert f.first_answers["wrong"] == 0
    assert f.no_answer == {"reply.json": silent}
    assert (f.right.count, f.right.of) == (40 - silent, 40 - silent)
    assert (f.valid_first_try.count, f.valid_first_try.of) == (40 - silent, 40)
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
        == silent
    )


def test_figures_agree_with_an_independent_reckoning(
    tmp_path: Path, kb: KnowledgeBase, server: FakeOllama
) -> None:
    """From records and raw words alone, by other code and the oracle's rules: shares, Wilson,
    confusion, latency, tokens.
    """

    def off(answer: dict[str, Any]) -> dict[str, Any]:
        answer["priority_score"] += Decimal("0.04") if answer["category"] == "CNS_FAIL" else 3
        return answer

    model = at_fake_ollama(server, kb, when(lambda request: age_of(request) % 3 == 0, off))
    f = evaluated(tmp_path / "ev", kb, model, rows=60).metrics
    right = close = exact = 0
    tiers: Counter[tuple[str, str]] = Counter()
    latencies, tokens = [], 0
    for record, answer in zip(
        lines_of(tmp_path / "ev/records.jsonl"),
        lines_of(tmp_path / "ev/answers.jsonl"),
        strict=True,
    ):
        first = answer["raw"]["triage"][0]
        said = json.loads(first["text"], parse_float=Decimal)
        truth = triage_oracle.triage(record)
        tiers[truth["priority_tier"], said["priority_tier"]] += 1
        off_by = abs(Decimal(said["priority_score"]) - Decimal(str(float(truth["priority_score"]))))
        exact, close = exact + (off_by == 0), close + (off_by <= Decimal("0.05"))
        right += off_by == 0
        latencies.append(answer["provenance"]["latency_ms"])
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


def test_a_train_row_is_no_examination(tmp_path: Path, kb: KnowledgeBase, finops: Finops) -> None:
    """Rows of the train split are refused by their content, whatever their `split` says; those of
    the eval split are asked about.
    """
    assert (
        finops(
            "generate", "--stage", "triage", "-n", 20, "-o", tmp_path / "data", "-q", "--workers", 1
        ).returncode
        == 0
    )
    f = evaluated(
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
        evaluated(tmp_path / "ev", kb, Engine(kb), rows=9, data=tmp_path / "lying.jsonl")


def test_equal_evaluations_are_equal_bytes(
    tmp_path: Path, server: FakeOllama, finops: Finops
) -> None:
    """Without timing nothing in the folder depends on when or how fast it was made: not the
    captures, not the page.
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
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_the_command_writes_streams_and_statuses(tmp_path: Path, finops: Finops) -> None:
    """Own records, one of which cannot be used: JSON on stdout, talk on stderr, exit code 1;
    --resume refuses other records.
    """
    (tmp_path / "fails.jsonl").write_bytes(jsonl(a_fail(), a_fail(fail_id="F-2", age_days=-1)))
    call = ("evaluate", "--stage", "triage", "--backend", "engine", "-o", tmp_path / "ev", "--json")
    done = finops(*call, "--data", tmp_path / "fails.jsonl")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (
        told["metrics"]["records"],
        told["metrics"]["rejected"],
        told["metrics"]["right"]["of"],
    ) == (2, 1, 1)
    assert json.loads((tmp_path / "ev/evaluation.json").read_bytes()) == told
    assert finops(*call, "-n", 5, "-q").returncode == 0
    again = finops(*call, "-n", 6, "--resume")
    assert again.returncode == 2
    assert b"other records were asked about so far" in again.stderr
    assert finops("evaluate", "--stage", "triage", "-o", tmp_path / "fails.jsonl").returncode == 2
