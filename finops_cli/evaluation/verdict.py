"""Judge in one sentence if a model is worth its cost (kb: `evaluate.acceptance`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
from msgspec import Struct

from finops_cli.evaluation.baselines import FILE, Baselines, Prediction
from finops_cli.evaluation.metrics import Metrics
from finops_cli.evaluation.outcomes import Outcome
from finops_cli.evaluation.stats import pct, sign_test
from finops_cli.kb.chapters.evaluation import EvaluationSettings

_NAMES = {"priority_tier": "tier", "category": "category"}


class BaselineComparison(Struct, frozen=True, kw_only=True):
    """The first answers of the model and the best baseline of one target, on the same records.

    A missing answer is not right.
    """

    target: str
    baseline: str
    records: int
    model_right: int
    baseline_right: int
    model_only: int
    baseline_only: int
    p: Decimal


class Verdict(Struct, frozen=True):
    """The verdict on a model."""

    earned: bool | None
    """Null if no rule applies."""
    sentence: str
    comparisons: list[BaselineComparison]


def compare_with_baselines(outcomes: Iterable[Outcome], folder: Path) -> list[BaselineComparison]:
    """Compare the model with the best baseline of every target.

    Both files contain the records in the same order.
    """
    tables: dict[tuple[str, str], Counter[tuple[bool, bool]]] = {}
    asked = (outcome for outcome in outcomes if outcome.first is not None)
    with (folder / FILE).open("rb") as lines:
        for outcome, line in zip(asked, lines, strict=True):
            predicted = msgspec.json.decode(line, type=Prediction)
            for target, labels in predicted.said.items():
                right = (
                    outcome.said is not None and outcome.said[target] == predicted.expected[target]
                )
                for name, label in labels.items():
                    tables.setdefault((target, name), Counter())[
                        right, label == predicted.expected[target]
                    ] += 1
    return [
        _compare_with_best(target, tables)
        for target in dict.fromkeys(target for target, _ in tables)
    ]


def _compare_with_best(
    target: str, tables: dict[tuple[str, str], Counter[tuple[bool, bool]]]
) -> BaselineComparison:
    def hits(name: str) -> int:
        return sum(n for (_, baseline), n in tables[target, name].items() if baseline)

    best = max((name for of, name in tables if of == target), key=lambda name: (hits(name), name))
    table = tables[target, best]
    model_only, baseline_only = table[True, False], table[False, True]
    p = sign_test(model_only, baseline_only)
    exact = Decimal(p.numerator) / Decimal(p.denominator)
    model_right = table[True, True] + model_only
    return BaselineComparison(
        target=target,
        baseline=best,
        records=table.total(),
        model_right=model_right,
        baseline_right=hits(best),
        model_only=model_only,
        baseline_only=baseline_only,
        p=exact,
    )


def verdict(
    name: str,
    metrics: Metrics,
    comparisons: list[BaselineComparison],
    ran: Baselines,
    is_engine: bool,
    settings: EvaluationSettings,
) -> Verdict:
    """Judge the model called `name`."""
    if is_engine:
        return Verdict(
            None,
            "The engine is the reference for all answers, so it is right by definition.",
            [],
        )
    if ran.not_run is not None:
        return Verdict(None, f"{name} was not judged: {ran.not_run}.", comparisons)
    against = [*_lost(comparisons, settings), *_unsafe(metrics, settings)]
    described = "; ".join(_describe(each) for each in comparisons)
    if against:
        return Verdict(
            False, f"{name} is not worth its cost: {'; '.join(against)} ({described}).", comparisons
        )
    return Verdict(
        True, f"{name} is worth its cost over a simpler baseline: {described}.", comparisons
    )


def _lost(comparisons: list[BaselineComparison], settings: EvaluationSettings) -> list[str]:
    """Say why the best baselines are as good.

    A baseline is significantly better, or the model is significantly better than none of them.
    """
    sure = [
        comparison
        for comparison in comparisons
        if Fraction(comparison.p) <= Fraction(settings.significance)
    ]
    beaten = [
        comparison for comparison in sure if comparison.model_right < comparison.baseline_right
    ]
    if beaten:
        return [f"{each.baseline} is significantly better on {_name(each)}" for each in beaten]
    return [] if sure else ["it is not significantly better than the best baseline on any target"]


def _unsafe(metrics: Metrics, settings: EvaluationSettings) -> list[str]:
    found = []
    missed = None if metrics.criticals is None else metrics.criticals.missed
    if missed and missed.pct is not None and missed.pct > settings.acceptance["missed_pct"]:
        found.append(f"it misses {missed.count:,} of {missed.of:,} criticals")
    accepted_pct = metrics.accepted_after_repair.pct
    if accepted_pct is not None and accepted_pct < settings.acceptance["stands_pct"]:
        found.append(f"only {accepted_pct} % of its answers are accepted after repair")
    return found


def _describe(comparison: BaselineComparison) -> str:
    model, baseline = (
        pct(Decimal(count) / comparison.records)
        for count in (comparison.model_right, comparison.baseline_right)
    )
    return (
        f"{_name(comparison)} right in {model} % of records, {comparison.baseline} in {baseline} %"
    )


def _name(comparison: BaselineComparison) -> str:
    return _NAMES.get(comparison.target, comparison.target)
