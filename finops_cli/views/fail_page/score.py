"""The score of a fail as bars of text: the points of each factor, the modifiers, the tier."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from finops_cli.domain.money import plain
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.views.columns import Row
from finops_cli.views.fail_page.line import TriageAnswer

_POINTS = Decimal("2.5")
"""Points of the score for each mark of a bar: 100 points take 40 columns."""
_HIGHEST = Decimal(100)
_MARK = "#"
_RAISED = "tier.cns_floor"


def list_score_rows(answer: TriageAnswer, scoring: ScoringRules) -> Iterator[Row]:
    """Yield label, points, origin and bar of each part of a score, in the order of the formula."""
    parts = answer.score_components
    yield from _factor_rows(answer, scoring)
    base = parts["base_score"]
    yield Row(("base", write_points(base), "the sum", _bar(base)))
    running = base
    for name in ("inventory_modifier", "concentration_modifier"):
        running *= parts[name]
        label = name.removesuffix("_modifier")
        yield Row(
            (
                label,
                f"x {write_points(parts[name], 2)}",
                f"gives {write_points(running)}",
                _bar(running),
            )
        )
    score = answer.priority_score
    note = f"at most {plain(scoring.cap)}" if running > scoring.cap else "rounded"
    yield Row(("score", write_points(score), "" if score == running else note, _bar(score)))


def _factor_rows(answer: TriageAnswer, scoring: ScoringRules) -> Iterator[Row]:
    """Yield the factors; without points where the weights of these rules give another base."""
    parts = answer.score_components
    known = [(each, parts.get(each.row.field or "")) for each in scoring.factors]
    points = [each.weight * value for each, value in known if value is not None]
    fits = len(points) == len(known) and sum(points) == parts["base_score"]
    for each, value in known:
        if value is None:
            continue
        label = each.row.word
        if not fits:
            yield Row((label, "", f"factor {plain(value)}", ""))
            continue
        gained = each.weight * value
        yield Row((label, write_points(gained), f"{plain(value)} x {each.weight:f}", _bar(gained)))


def explain_tier(answer: TriageAnswer, scoring: ScoringRules) -> str:
    """Say why the fail has its tier: the band of its score, or the floor of a CNS fail."""
    table, tier = scoring.tier, answer.priority_tier
    if answer.category_priority_override:
        banded = table.of(answer.priority_score)
        return f"raised from {banded}, because a CNS fail is at least {tier} ({_RAISED})"
    place = table.values.index(tier) if tier in table.values else 0
    edges = []
    below = table.upper_edge(place - 1) if place else None
    above = table.upper_edge(place)
    if below is not None:
        edges.append(f"{'over' if below[1] else 'at least'} {plain(below[0])}")
    if above is not None:
        edges.append(f"{'at most' if above[1] else 'below'} {plain(above[0])}")
    text = " and ".join(edges)
    if not text:
        return "each score"
    return f"a score of {text}" if text.startswith("at ") else f"a score {text}"


def _bar(points: Decimal) -> str:
    """Draw a bar. Points above the highest score end in an arrow."""
    if points > _HIGHEST:
        return _MARK * int(_HIGHEST / _POINTS) + ">"
    marks = (points / _POINTS).quantize(Decimal(1), ROUND_HALF_UP)
    return _MARK * max(int(marks), 1 if points > 0 else 0)


def write_points(points: Decimal, decimals: int = 1) -> str:
    """Write points with at least this number of decimals."""
    text = plain(points)
    missing = decimals - len(text.partition(".")[2])
    if missing <= 0:
        return text
    return f"{text}{'' if '.' in text else '.'}{'0' * missing}"
