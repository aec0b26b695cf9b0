"""Compare two evaluations of the same records in pairs (kb: `evaluate.significance`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec import Struct

from finops_cli.domain import exact_json
from finops_cli.errors import UsageError
from finops_cli.evaluation.graded_stages import GRADED_STAGES
from finops_cli.evaluation.outcomes import Outcome
from finops_cli.evaluation.stats import holm, paired_interval, pct, sign_test
from finops_cli.kb.chapters.evaluation import EvaluationSettings

FIRST = "right at first try"
_MICRO = Decimal("0.000001")


class PairedMetric(Struct, frozen=True, kw_only=True):
    """One metric over the pairs that both evaluations answered."""

    name: str
    pairs: int
    first_right: int
    second_right: int
    first_only: int
    second_only: int
    difference_pct: Decimal
    """The percentage of right answers of the first run, minus the one of the second."""
    low_pct: Decimal
    high_pct: Decimal
    p: Decimal
    p_corrected: Decimal
    """After Holm's correction."""
    better: str
    """`first`, `second`, or empty if chance explains the difference."""


class Comparison(Struct, frozen=True, kw_only=True):
    """A comparison of two evaluations on the records that both contain."""

    stage: str
    pairs: int
    unpaired_first: int
    """Records that only the first evaluation contains."""
    unpaired_second: int
    answered: dict[str, int]
    """Number of pairs answered by both, by one or by neither."""
    answered_p: Decimal
    answers_more: str
    """`first`, `second`, or empty if chance explains the difference."""
    metrics: list[PairedMetric]
    faster: dict[str, int]
    faster_p: Decimal | None
    shares_lost: dict[str, int] | None


class _Grades(NamedTuple):
    """The grades of one record that a comparison uses."""

    expected: bytes
    """A digest of the correct answer."""
    right: dict[str, bool] | None
    """One grade for each metric; None without an answer."""
    latency_ms: Decimal | None
    lost: int | None
    """Shares of stock that the plan leaves uncovered although they are available."""


def compare(
    first: Iterable[Outcome], second: Iterable[Outcome], settings: EvaluationSettings
) -> Comparison:
    """Compare two evaluations, pair by pair.

    Raises UsageError if they have no record in common, are of different stages, or were graded by
    different rules.
    """
    one, stage = _by_content(first)
    two, other_stage = _by_content(second)
    if stage != other_stage:
        raise UsageError(
            f"the first evaluation is of stage {stage}, the second of {other_stage}",
            "compare two evaluations of the same stage",
        )
    pairs = [(grades, two[name]) for name, grades in one.items() if name in two]
    if not pairs:
        raise UsageError(
            "the evaluations have no record in common",
            "run both with the same --seed and --rows, or the same --data",
        )
    if any(a.expected != b.expected for a, b in pairs):
        raise UsageError(
            "the evaluations were graded by different rules (kb)",
            "evaluate one of them again with the rules of the other",
        )
    both = [(a.right, b.right) for a, b in pairs if a.right is not None and b.right is not None]
    counts = Counter(_answered_by(a.right is not None, b.right is not None) for a, b in pairs)
    answered = sign_test(counts["first only"], counts["second only"])
    faster = _faster(pairs)
    return Comparison(
        stage=stage,
        pairs=len(pairs),
        unpaired_first=len(one) - len(pairs),
        unpaired_second=len(two) - len(pairs),
        answered={name: counts[name] for name in ("both", "first only", "second only", "neither")},
        answered_p=_decimal(answered),
        answers_more=_better_side(counts["first only"], counts["second only"], answered, settings),
        metrics=_compare_metrics(both, settings),
        faster={"first": faster[0], "second": faster[1]},
        faster_p=_decimal(sign_test(*faster)) if any(faster) else None,
        shares_lost=_lost(pairs) if GRADED_STAGES[stage].plan_shares is not None else None,
    )


def _by_content(outcomes: Iterable[Outcome]) -> tuple[dict[tuple[str, int], _Grades], str]:
    """Group the records by content and number the repetitions of the same content."""
    found: dict[tuple[str, int], _Grades] = {}
    seen: Counter[str] = Counter()
    stage = ""
    for outcome in outcomes:
        if stage not in ("", outcome.stage):
            raise UsageError(
                f"an evaluation holds outcomes of {stage} and {outcome.stage}", "evaluate it again"
            )
        stage = outcome.stage
        if outcome.first is None:
            continue
        seen[outcome.content] += 1
        lost = None if outcome.shares is None else outcome.shares.lost
        found[outcome.content, seen[outcome.content]] = _Grades(
            _digest(outcome), _grades(outcome), outcome.latency_ms, lost
        )
    if not stage:
        raise UsageError(
            "an evaluation without outcomes cannot be compared",
            "run `finops evaluate` again on a set with records",
        )
    return found, stage


def _digest(outcome: Outcome) -> bytes:
    return hashlib.blake2b(exact_json.encode(outcome.expected), digest_size=8).digest()


def _grades(outcome: Outcome) -> dict[str, bool] | None:
    said, expected = outcome.said, outcome.expected
    if said is None:
        return None
    grades = {FIRST: outcome.first == "right"}
    grades |= {name: said[name] == expected[name] for name in GRADED_STAGES[outcome.stage].compared}
    if expected.get("priority_tier") == "CRITICAL":
        grades["criticals caught"] = said["priority_tier"] == "CRITICAL"
    return grades


def _compare_metrics(
    both: list[tuple[dict[str, bool], dict[str, bool]]], settings: EvaluationSettings
) -> list[PairedMetric]:
    """Compare each metric. All p values but the first are corrected for the number of tests."""
    tables: dict[str, Counter[tuple[bool, bool]]] = {}
    for one, two in both:
        for name, right in one.items():
            tables.setdefault(name, Counter())[right, two[name]] += 1
    raw = {
        name: sign_test(table[True, False], table[False, True]) for name, table in tables.items()
    }
    corrected = holm({name: p for name, p in raw.items() if name != FIRST}) | {
        name: p for name, p in raw.items() if name == FIRST
    }
    return [
        _compare_metric(name, table, raw[name], corrected[name], settings)
        for name, table in tables.items()
    ]


def _compare_metric(
    name: str,
    table: Counter[tuple[bool, bool]],
    p: Fraction,
    corrected: Fraction,
    settings: EvaluationSettings,
) -> PairedMetric:
    first_only, second_only, pairs = table[True, False], table[False, True], table.total()
    difference, low, high = paired_interval(first_only, second_only, pairs, settings.confidence_z)
    right = table[True, True]
    return PairedMetric(
        name=name,
        pairs=pairs,
        first_right=right + first_only,
        second_right=right + second_only,
        first_only=first_only,
        second_only=second_only,
        difference_pct=pct(difference),
        low_pct=pct(low),
        high_pct=pct(high),
        p=_decimal(p),
        p_corrected=_decimal(corrected),
        better=_better_side(first_only, second_only, corrected, settings),
    )


def _better_side(
    first_only: int, second_only: int, p: Fraction, settings: EvaluationSettings
) -> str:
    """Name the side that is right more often, unless chance explains the difference."""
    if p > Fraction(settings.significance) or first_only == second_only:
        return ""
    return "first" if first_only > second_only else "second"


def _answered_by(first: bool, second: bool) -> str:
    return (
        "both"
        if first and second
        else "first only"
        if first
        else "second only"
        if second
        else "neither"
    )


def _faster(pairs: list[tuple[_Grades, _Grades]]) -> tuple[int, int]:
    timed = [
        (a.latency_ms, b.latency_ms)
        for a, b in pairs
        if a.latency_ms is not None and b.latency_ms is not None
    ]
    return sum(a < b for a, b in timed), sum(a > b for a, b in timed)


def _lost(pairs: list[tuple[_Grades, _Grades]]) -> dict[str, int]:
    """Add up the lost shares of each side over the pairs that both answered."""
    lost = [(a.lost, b.lost) for a, b in pairs if a.lost is not None and b.lost is not None]
    return {"first": sum(a for a, _ in lost), "second": sum(b for _, b in lost)}


def _decimal(p: Fraction) -> Decimal:
    """Round an exact probability half-up to six decimals."""
    return (Decimal(p.numerator) / Decimal(p.denominator)).quantize(_MICRO, ROUND_HALF_UP)
