"""Two evaluations of the same records, compared in pairs (kb: `evaluate.significance`)."""

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

FIRST = "right as it came"
_MICRO = Decimal("0.000001")


class Paired(Struct, frozen=True):
    """One metric of the pairs that both answered.

    `difference_pct`: the first's share right less the second's; `p` after Holm.
    """

    name: str
    pairs: int
    first_right: int
    second_right: int
    first_only: int
    second_only: int
    difference_pct: Decimal
    low_pct: Decimal
    high_pct: Decimal
    p: Decimal
    p_corrected: Decimal
    better: str
    """`first`, `second`, or empty where chance explains the difference."""


class Comparison(Struct, frozen=True):
    """`unpaired`: records of one evaluation alone.

    `answered`: pairs that both, one alone or neither answered.
    """

    stage: str
    pairs: int
    unpaired_first: int
    unpaired_second: int
    answered: dict[str, int]
    answered_p: Decimal
    answers_more: str
    """`first`, `second`, or empty where chance explains the difference."""
    metrics: list[Paired]
    faster: dict[str, int]
    faster_p: Decimal | None
    shares_lost: dict[str, int] | None


class _Marks(NamedTuple):
    """What is kept of a record: a digest of the right answer, its figures (None without an answer),
    its latency, shares that its plan lost.
    """

    expected: bytes
    right: dict[str, bool] | None
    latency_ms: Decimal | None
    lost: int | None


def compare(
    first: Iterable[Outcome], second: Iterable[Outcome], settings: EvaluationSettings
) -> Comparison:
    """Raises UsageError where the two have no record in common, are of different stages, or were
    marked by different rules.
    """
    one, stage = _by_content(first)
    two, other_stage = _by_content(second)
    if stage != other_stage:
        raise UsageError(
            f"the first evaluation is of stage {stage}, the second of {other_stage}",
            "compare two of one stage",
        )
    pairs = [(marks, two[name]) for name, marks in one.items() if name in two]
    if not pairs:
        raise UsageError(
            "the evaluations have no record in common",
            "make both with the same --seed and --rows, or the same --data",
        )
    if any(a.expected != b.expected for a, b in pairs):
        raise UsageError(
            "the evaluations were marked by different rules (kb)",
            "make one of them anew with the rules of the other",
        )
    both = [(a.right, b.right) for a, b in pairs if a.right is not None and b.right is not None]
    counts = Counter(_answered(a.right is not None, b.right is not None) for a, b in pairs)
    answered = sign_test(counts["first only"], counts["second only"])
    faster = _faster(pairs)
    return Comparison(
        stage,
        len(pairs),
        len(one) - len(pairs),
        len(two) - len(pairs),
        {name: counts[name] for name in ("both", "first only", "second only", "neither")},
        _decimal(answered),
        _surely(counts["first only"], counts["second only"], answered, settings),
        _paired_metrics(both, settings),
        {"first": faster[0], "second": faster[1]},
        _decimal(sign_test(*faster)) if any(faster) else None,
        _lost(pairs) if GRADED_STAGES[stage].plan_shares is not None else None,
    )


def _by_content(outcomes: Iterable[Outcome]) -> tuple[dict[tuple[str, int], _Marks], str]:
    """The records by what the rules read of them; the same content again is its next occurrence."""
    found: dict[tuple[str, int], _Marks] = {}
    seen: Counter[str] = Counter()
    stage = ""
    for outcome in outcomes:
        if stage not in ("", outcome.stage):
            raise UsageError(
                f"an evaluation holds outcomes of {stage} and {outcome.stage}", "make it anew"
            )
        stage = outcome.stage
        if outcome.first is None:
            continue
        seen[outcome.content] += 1
        lost = None if outcome.shares is None else outcome.shares.lost
        found[outcome.content, seen[outcome.content]] = _Marks(
            _digest(outcome), _marks(outcome), outcome.latency_ms, lost
        )
    if not stage:
        raise UsageError("an evaluation without outcomes cannot be compared")
    return found, stage


def _digest(outcome: Outcome) -> bytes:
    return hashlib.blake2b(exact_json.encode(outcome.expected), digest_size=8).digest()


def _marks(outcome: Outcome) -> dict[str, bool] | None:
    said, expected = outcome.said, outcome.expected
    if said is None:
        return None
    marks = {FIRST: outcome.first == "right"}
    marks |= {name: said[name] == expected[name] for name in GRADED_STAGES[outcome.stage].compared}
    if expected.get("priority_tier") == "CRITICAL":
        marks["criticals caught"] = said["priority_tier"] == "CRITICAL"
    return marks


def _paired_metrics(
    both: list[tuple[dict[str, bool], dict[str, bool]]], settings: EvaluationSettings
) -> list[Paired]:
    """Compare each metric; all but the first are corrected for being many."""
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
        _paired(name, table, raw[name], corrected[name], settings) for name, table in tables.items()
    ]


def _paired(
    name: str,
    table: Counter[tuple[bool, bool]],
    p: Fraction,
    corrected: Fraction,
    settings: EvaluationSettings,
) -> Paired:
    first_only, second_only, pairs = table[True, False], table[False, True], table.total()
    difference, low, high = paired_interval(first_only, second_only, pairs, settings.confidence_z)
    right = table[True, True]
    return Paired(
        name,
        pairs,
        right + first_only,
        right + second_only,
        first_only,
        second_only,
        pct(difference),
        pct(low),
        pct(high),
        _decimal(p),
        _decimal(corrected),
        _surely(first_only, second_only, corrected, settings),
    )


def _surely(first_only: int, second_only: int, p: Fraction, settings: EvaluationSettings) -> str:
    """The side that has more, if chance does not explain it."""
    if p > Fraction(settings.significance) or first_only == second_only:
        return ""
    return "first" if first_only > second_only else "second"


def _answered(first: bool, second: bool) -> str:
    return (
        "both"
        if first and second
        else "first only"
        if first
        else "second only"
        if second
        else "neither"
    )


def _faster(pairs: list[tuple[_Marks, _Marks]]) -> tuple[int, int]:
    timed = [
        (a.latency_ms, b.latency_ms)
        for a, b in pairs
        if a.latency_ms is not None and b.latency_ms is not None
    ]
    return sum(a < b for a, b in timed), sum(a > b for a, b in timed)


def _lost(pairs: list[tuple[_Marks, _Marks]]) -> dict[str, int]:
    """Shares lost by both over the pairs that both answered."""
    lost = [(a.lost, b.lost) for a, b in pairs if a.lost is not None and b.lost is not None]
    return {"first": sum(a for a, _ in lost), "second": sum(b for _, b in lost)}


def _decimal(p: Fraction) -> Decimal:
    """A probability to six decimals, rounded half-up from the exact fraction."""
    return (Decimal(p.numerator) / Decimal(p.denominator)).quantize(_MICRO, ROUND_HALF_UP)
