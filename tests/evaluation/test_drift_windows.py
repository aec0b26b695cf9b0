"""Drift of given values: small files, windows, chance, and the sentence of the report."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

import pytest

from finops_cli.evaluation.drift import DimensionDrift, Drift, drift
from finops_cli.evaluation.drift_dimensions import LineFeatures
from finops_cli.evaluation.reports.text_report import drift_text
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.drifts import answers, by_name, drift_of


def test_few_records_that_are_as_the_baseline_do_not_diverge(kb: KnowledgeBase) -> None:
    """Eight answers that all came as they should, against four hundred of the same: the size of a
    file is no drift.
    """
    found = drift_of(answers(as_it_came=8), window=0, kb=kb)
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
    few = drift_of(answers(as_it_came=30, repaired=30), window=40, kb=kb)
    assert "chance alone gives about 0.010 in the whole, 0.014 in such a window" in drift_text(few)
    assert "chance alone" not in drift_text(drift_of(answers(as_it_came=60), window=40, kb=kb))


def test_drift_at_the_very_end_is_found(kb: KnowledgeBase) -> None:
    """Planted: the last 15 of 95 records.

    Whole windows of 40 end with record 80; the last window takes the half before it, too.
    """
    found = drift_of(answers(as_it_came=80, repaired=15), window=40, kb=kb)
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
    found = drift_of(answers(as_it_came=records), window=asked, kb=kb)
    assert found.window == used
    assert (found.dimensions[0].worst is not None) == (used > 0)
    assert (
        (f"windows of {used}" in drift_text(found))
        == (used > 0)
        == ("worst window" in drift_text(found))
    )


def test_a_baseline_whose_answers_failed_is_told(kb: KnowledgeBase) -> None:
    """Its inputs are as little known as those of a run."""
    unanswered = [LineFeatures({"answers": "failed"}, stands=False)] * 10
    found = drift(
        answers(as_it_came=20), unanswered, 0, kb.evaluation.drift_threshold, kb.evaluation
    )
    assert found.baseline_without_answer == 10
    assert found.sentence.endswith(
        "No answer stands for 0 of 20 records (in the baseline for 10 of 10): they are in no input."
    )


def test_fails_that_no_line_tells_are_not_called_as_before(kb: KnowledgeBase) -> None:
    """Lines of `finops resolve` hold no triage, and so no input: another model cannot be told from
    other fails.
    """
    sentence = drift_of(answers(replaced=40), window=0, kb=kb).sentence
    assert (
        sentence
        == "The answers are not as in the baseline (answers); whether the fails are, these lines do"
        " not tell."
    )


def test_what_a_model_said_does_not_steer_the_terminal() -> None:
    moved = DimensionDrift(
        name="tier",
        kind="prediction",
        divergence=Decimal(1),
        by_chance=Decimal(0),
        drifted=True,
        worst=None,
        moved="\x1b[31mHIGH\nNo drift",
        from_pct=Decimal(0),
        to_pct=Decimal(9),
    )
    found = Drift(
        records=9,
        records_without_answer=0,
        baseline_records=9,
        baseline_without_answer=0,
        threshold=Decimal("0.1"),
        window=0,
        drifted=True,
        sentence="The fails are others.",
        dimensions=[moved],
    )
    line = drift_text(found).splitlines()[-2]
    assert r"  \x1b[31mHIGH No drift was 0 %, is 9 % of the whole" in line
