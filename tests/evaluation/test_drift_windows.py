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


def test_drift_of_few_equal_records_is_zero(kb: KnowledgeBase) -> None:
    """Eight answers with the distribution of the baseline have a divergence of 0, although the file
    is small.
    """
    found = drift_of(answers(accepted=8), window=0, kb=kb)
    assert by_name(found)["answers"].divergence == 0
    assert not found.drifted


def test_drift_report_estimates_the_divergence_by_chance(kb: KnowledgeBase) -> None:
    """The estimate of the divergence by chance is near the average of many samples. The text shows
    it only where something drifted.
    """
    draws = random.Random(7)
    values, weights = ("accepted", "asked again", "repaired", "replaced"), (4, 3, 2, 1)

    def sample(records: int) -> Iterator[LineFeatures]:
        return (
            LineFeatures({"answers": value}) for value in draws.choices(values, weights, k=records)
        )

    held_often = [
        drift(sample(60), sample(90), 40, kb.evaluation.drift_threshold, kb.evaluation).dimensions[
            0
        ]
        for _ in range(200)
    ]
    assert {each.by_chance for each in held_often} == {Decimal("0.041667")}
    assert {each.worst and each.worst.by_chance for each in held_often} == {Decimal("0.054167")}
    assert float(sum(each.divergence for each in held_often)) / 200 == pytest.approx(
        0.0417, rel=0.15
    )
    few = drift_of(answers(accepted=30, repaired=30), window=40, kb=kb)
    assert "chance alone gives about 0.010 in the whole, 0.014 in such a window" in drift_text(few)
    assert "chance alone" not in drift_text(drift_of(answers(accepted=60), window=40, kb=kb))


def test_drift_in_the_last_records_is_found(kb: KnowledgeBase) -> None:
    """Drift in the last 15 of 95 records is found, because the last window extends back to a full
    size.
    """
    found = drift_of(answers(accepted=80, repaired=15), window=40, kb=kb)
    [drifted] = found.dimensions
    assert drifted.worst is not None
    assert (drifted.worst.first, drifted.worst.last) == (61, 95)
    assert drifted.worst.divergence > drifted.divergence
    assert drifted.drifted


@pytest.mark.parametrize(
    ("requested", "records", "used"),
    [(0, 50, 0), (2, 50, 2), (20, 50, 20), (21, 50, 20), (50, 50, 50), (51, 50, 50), (52, 50, 0)],
)
def test_drift_window_is_even_and_no_longer_than_the_file(
    requested: int, records: int, used: int, kb: KnowledgeBase
) -> None:
    """An odd window is reduced by one, and a file shorter than the window has none. The report
    shows the window in use.
    """
    found = drift_of(answers(accepted=records), window=requested, kb=kb)
    assert found.window == used
    assert (found.dimensions[0].worst is not None) == (used > 0)
    assert (
        (f"windows of {used}" in drift_text(found))
        == (used > 0)
        == ("worst window" in drift_text(found))
    )


def test_drift_sentence_counts_failed_baseline_answers(kb: KnowledgeBase) -> None:
    """The sentence counts the records of the baseline without an accepted answer."""
    unanswered = [LineFeatures({"answers": "failed"}, stands=False)] * 10
    found = drift(answers(accepted=20), unanswered, 0, kb.evaluation.drift_threshold, kb.evaluation)
    assert found.baseline_without_answer == 10
    assert found.sentence.endswith(
        "0 of 20 records have no accepted answer (in the baseline 10 of 10): their inputs are not"
        " counted."
    )


def test_drift_without_inputs_says_they_are_unknown(kb: KnowledgeBase) -> None:
    """Lines of `finops resolve` have no inputs, so the sentence says that the fails may have
    changed as well.
    """
    sentence = drift_of(answers(replaced=40), window=0, kb=kb).sentence
    assert (
        sentence
        == "The answers differ from the baseline (answers). The lines do not show if the fails"
        " differ too."
    )


def test_drift_report_escapes_control_characters() -> None:
    """Control characters in a model's words are printed in escaped form."""
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
