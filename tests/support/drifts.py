"""Drifts of runs with a single dimension: the way in which the answers came."""

from __future__ import annotations

from collections.abc import Iterator

from finops_cli.evaluation.drift import DimensionDrift, Drift, drift
from finops_cli.evaluation.drift_dimensions import LineFeatures
from finops_cli.kb.rulebook import KnowledgeBase


def by_name(found: Drift) -> dict[str, DimensionDrift]:
    return {each.name: each for each in found.dimensions}


def answers(**times: int) -> Iterator[LineFeatures]:
    """Return as many records of each value as given, in this order."""
    return (
        LineFeatures({"answers": value.replace("_", " ")})
        for value, count in times.items()
        for _ in range(count)
    )


def drift_of(run: Iterator[LineFeatures], window: int, kb: KnowledgeBase) -> Drift:
    """Return the drift from four hundred answers that were accepted at once."""
    return drift(run, answers(accepted=400), window, kb.evaluation.drift_threshold, kb.evaluation)
