"""The columns that both reports of an evaluation show for the model's answers, one row each.

A new column is a row here. If nothing counts it yet, it is also a field of `metrics.Metrics`, which
`aggregate` fills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from finops_cli.evaluation.metrics import Metrics
from finops_cli.evaluation.stats import Proportion
from finops_cli.kb.chapters.evaluation import EvaluationSettings


class Column(NamedTuple):
    """A proportion, with its names in the text report and on the page."""

    label: str
    """At most 18 characters."""
    title: str
    proportion: Callable[[Metrics, EvaluationSettings], Proportion | None]
    """Return the proportion; None if the stage does not have it."""


COLUMNS = [
    Column("right of answers", "right of the answers", lambda metrics, _: metrics.right),
    Column("valid first try", "valid at first try", lambda metrics, _: metrics.valid_first_try),
    Column(
        "valid after repair",
        "valid after repair",
        lambda metrics, _: metrics.accepted_after_repair,
    ),
    Column(
        "sentences replaced",
        "sentences replaced",
        lambda metrics, _: metrics.replaced_sentences,
    ),
]
