"""The score of a fail as bars of text: the points of each factor, the modifiers, the tier."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

from finops_cli.domain.money import plain
from finops_cli.kb.chapters.scoring import ScoringRules
from finops_cli.views.columns import Row
from finops_cli.views.fail_page.line import TriageAnswer

_POINTS = Decimal("2.5")
"""Points of the score for each mark of a bar: 100 points take 40 columns."""
_HIGHEST = Decimal(100)
_ZERO = Decimal(0)
_MARK = "#"
_RAISED = "tier.cns_floor"


class ScorePart(NamedTuple):
    """A part of a score: a factor, the base, a modifier, or the score. Amounts are points."""

    label: str
    kind: Literal["factor", "base", "modifier", "score"]
    rule: str
    """The entry of kb/ that gives it."""
    value: Decimal
    """The value of a factor or modifier; else the points themselves."""
    weight: Decimal | None
    """The weight of a factor."""
    start: Decimal
    """The points before it."""
    end: Decimal | None
    """The points with it; None where the weights of these rules give another base."""


_BASE_RULE, _PRIORITY_RULE = "score.base", "score.priority"
_MODIFIERS = ("inventory_modifier", "concentration_modifier")


def list_score_parts(answer: TriageAnswer, scoring: ScoringRules) -> Iterator[ScorePart]:
    """Yield the parts of a score in the order of the formula; none where the line lacks one."""
    parts = answer.score_components
    if not {"base_score", *_MODIFIERS} <= set(parts):
        return
    yield from _factor_parts(answer, scoring)
    running = base = parts["base_score"]
    yield ScorePart("base", "base", _BASE_RULE, base, None, _ZERO, base)
    for name in _MODIFIERS:
        before, running = running, running * parts[name]
        label = name.removesuffix("_modifier")
        yield ScorePart(label, "modifier", f"score.{name}", parts[name], None, before, running)
    score = answer.priority_score
    yield ScorePart("score", "score", _PRIORITY_RULE, score, None, running, score)


def _factor_parts(answer: TriageAnswer, scoring: ScoringRules) -> Iterator[ScorePart]:
    """Yield the factors, each on top of those before it."""
    parts = answer.score_components
    known = [(each, parts.get(each.row.field or "")) for each in scoring.factors]
    points = [each.weight * value for each, value in known if value is not None]
    fits = len(points) == len(known) and sum(points) == parts["base_score"]
    running = _ZERO
    for each, value in known:
        if value is None:
            continue
        end = running + each.weight * value if fits else None
        row = each.row
        yield ScorePart(row.word, "factor", row.kb_id, value, each.weight, running, end)
        running = running if end is None else end


def list_score_rows(answer: TriageAnswer, scoring: ScoringRules) -> Iterator[Row]:
    """Yield label, points, origin and bar of each part of a score, in the order of the formula."""
    for part in list_score_parts(answer, scoring):
        yield _write_part(part, scoring)


def _write_part(part: ScorePart, scoring: ScoringRules) -> Row:
    end = part.end
    if end is None:
        return Row((part.label, "", f"factor {plain(part.value)}", ""))
    gained = end - part.start if part.kind == "factor" else end
    points = f"x {write_points(part.value, 2)}" if part.kind == "modifier" else write_points(gained)
    return Row((part.label, points, explain_part(part, scoring), _bar(gained)))


def explain_part(part: ScorePart, scoring: ScoringRules) -> str:
    """Say how a part of a score comes about; empty where nothing is to be said."""
    if part.kind == "factor":
        return f"{plain(part.value)} x {part.weight:f}"
    if part.kind == "base":
        return "the sum"
    if part.kind == "modifier":
        return f"gives {write_points(part.end or _ZERO)}"
    if part.start > scoring.cap:
        return f"at most {plain(scoring.cap)}"
    return "" if part.start == part.end else "rounded"


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
