"""The score of a fail as a waterfall: each factor, the modifiers, and why each has its value."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from msgspec import Struct

from finops_cli.domain.money import plain
from finops_cli.kb.bands import BandTable, label_bands
from finops_cli.kb.chapters.scoring import ScoringRules, WeightedFactor
from finops_cli.kb.entries import Bands
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.scoring import concentration_conditions
from finops_cli.service.desk.fail.bars import Span, draw_bar
from finops_cli.service.desk.fail.record import GivenRecord
from finops_cli.views.fail_page.line import FailLine
from finops_cli.views.fail_page.page import write_words
from finops_cli.views.fail_page.score import (
    ScorePart,
    explain_part,
    explain_tier,
    list_score_parts,
    write_points,
)

_HIGHEST = Decimal(100)
_INVENTORY, _CONCENTRATION = "score.inventory_modifier", "score.concentration_modifier"
_ON_LINE = {"score.age_factor": "age_days", "score.value_factor": "market_value"}
"""The facts of an output line that factors read; the others are in the record alone."""


class ScoreRow(Struct, frozen=True, kw_only=True):
    """A part of the score, as the page shows it."""

    label: str
    kind: str
    rule: str
    """The entry of kb/ that gives it."""
    points: str
    origin: str
    """The arithmetic: 60 x 0.30."""
    why: str
    """The value of the record, and the band that it falls in."""
    bar: str
    """SVG."""


class ScoreChart(Struct, frozen=True, kw_only=True):
    """The waterfall of a score."""

    rows: list[ScoreRow]
    end: Decimal
    """The points at the end of the bars."""
    tier: str
    tier_reason: str
    sentence: str
    """The whole sum in one line: age 18 + value 25 = 43, x 0.90 inventory = 38.7."""
    escalation: str | None


def make_score_chart(
    line: FailLine, given: GivenRecord | None, kb: KnowledgeBase
) -> ScoreChart | None:
    """Return the waterfall of a line; None where it has no score."""
    triage = line.triage
    parts = [] if triage is None else list(list_score_parts(triage, kb.scoring))
    if triage is None or not parts:
        return None
    ends = [each.end for each in parts if each.end is not None]
    widest = max(_HIGHEST, *ends).to_integral_value(ROUND_CEILING)
    edges = _list_edges(kb.scoring)
    rows = [
        ScoreRow(
            label=part.label,
            kind=part.kind,
            rule=part.rule,
            points=_write_gain(part),
            origin=explain_part(part, kb.scoring),
            why=_explain_value(part, line, given, kb),
            bar=draw_bar(_list_spans(part), widest, edges),
        )
        for part in parts
    ]
    level = triage.escalation_level
    return ScoreChart(
        rows=rows,
        end=widest,
        tier=triage.priority_tier,
        tier_reason=explain_tier(triage, kb.scoring),
        sentence=_write_sum(parts),
        escalation=None if level == "NONE" else level,
    )


def _write_gain(part: ScorePart) -> str:
    """Write the points of a part: +18 for a factor, x 0.90 for a modifier."""
    if part.end is None:
        return ""
    if part.kind == "factor":
        return f"+{write_points(part.end - part.start)}"
    if part.kind == "modifier":
        return f"\N{MULTIPLICATION SIGN} {write_points(part.value, 2)}"
    return write_points(part.end)


def _list_spans(part: ScorePart) -> list[Span]:
    if part.end is None:
        return []
    if part.kind in ("base", "score"):
        return [Span(Decimal(0), part.end, part.kind)]
    if part.kind == "factor":
        return [Span(part.start, part.end, "factor")]
    low, high = min(part.start, part.end), max(part.start, part.end)
    spans = [Span(Decimal(0), low, "kept")]
    if high > low:
        spans.append(Span(low, high, "gained" if part.end > part.start else "lost"))
    return spans


def _list_edges(scoring: ScoringRules) -> list[Decimal]:
    """Return the scores at which a tier ends."""
    edges = [scoring.tier.upper_edge(place) for place in range(len(scoring.tier.values))]
    return [edge[0] for edge in edges if edge is not None]


def _write_sum(parts: list[ScorePart]) -> str:
    """Write the whole sum in one line; empty where the weights of these rules do not fit."""
    terms, text = [], ""
    for part in parts:
        if part.end is None:
            return ""
        if part.kind == "factor":
            terms.append(f"{part.label} {plain(part.end - part.start)}")
        elif part.kind == "base":
            text = f"{' + '.join(terms)} = {plain(part.end)}"
        elif part.kind == "modifier":
            text += f", \N{MULTIPLICATION SIGN} {write_points(part.value, 2)} {part.label}"
        else:
            text += f" = {plain(part.start)}"
            text += "" if part.end == part.start else f" \N{RIGHTWARDS ARROW} {plain(part.end)}"
    return text


def _explain_value(
    part: ScorePart, line: FailLine, given: GivenRecord | None, kb: KnowledgeBase
) -> str:
    """Say which value of the record put a part of the score where it is."""
    record = None if given is None else given.record
    if part.rule == _CONCENTRATION:
        return _explain_concentration(part, given, kb.scoring)
    if part.rule == _INVENTORY:
        cover = None if record is None else Decimal(record.inventory_coverage_pct)
        return _write_band(part, kb.scoring.inventory_modifier, cover, kb)
    factor = next((each for each in kb.scoring.factors if each.row.kb_id == part.rule), None)
    if part.kind != "factor" or factor is None:
        return ""
    if isinstance(factor.table, BandTable):
        return _write_band(part, factor.table, _read_number(factor, line, given), kb)
    words = [word for word in factor.row.members if factor.table.of(word) == part.value]
    return " or ".join(map(write_words, words))


def _read_number(
    factor: WeightedFactor, line: FailLine, given: GivenRecord | None
) -> Decimal | None:
    """Return the number that a factor read, from the line or else from the record."""
    name = _ON_LINE.get(factor.row.kb_id)
    if name is not None and line.fail is not None:
        return Decimal(getattr(line.fail, name))
    if given is None or given.record is None:
        return None
    return Decimal(factor.row.read(given.record, "NONE"))


def _write_band(
    part: ScorePart, table: BandTable[Decimal], number: Decimal | None, kb: KnowledgeBase
) -> str:
    """Write a number with its unit and its band.

    A number whose band has another value was scored by other rules, and is not explained by these.
    """
    entry = kb.entries.get(part.rule)
    if not isinstance(entry, Bands):
        return ""
    if number is None:
        places = [at for at, value in enumerate(table.values) if value == part.value]
        bands = " or ".join(label_bands(entry)[at] for at in places)
        return f"band {bands} ({entry.unit})" if bands else ""
    known = f"{_write_number(number)} ({entry.unit})"
    if table.of(number) != part.value:
        return f"{known}; scored by other rules"
    return f"{known}; band {label_bands(entry)[table.index(number)]}"


def _explain_concentration(
    part: ScorePart, given: GivenRecord | None, scoring: ScoringRules
) -> str:
    if given is None or given.record is None:
        return "no condition applies" if part.value == 1 else "its conditions are in the record"
    return " and ".join(_list_conditions(given, scoring)) or "no condition applies"


def _list_conditions(given: GivenRecord, scoring: ScoringRules) -> Iterator[str]:
    if given.record is None:
        return
    for name in concentration_conditions(given.record, scoring):
        yield f"{write_words(name)} \N{MULTIPLICATION SIGN} {scoring.concentration[name]}"


def _write_number(number: Decimal) -> str:
    return f"{number:,.2f}".removesuffix(".00") if number % 1 else f"{number:,.0f}"
