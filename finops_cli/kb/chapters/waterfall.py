"""The knowledge base as typed books, one a chapter, that the rules take as argument."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from finops_cli.kb.compiler import Compiler


@dataclass(frozen=True, eq=False, slots=True)
class WaterfallRules:
    """Figures of the waterfall and of gridlock (kb: `waterfall.*`, `offset.*`, `gridlock.*`; days
    and counts).
    """

    chase_steps: int
    offset_older_by: int
    offset_settles_by: int
    partial_deadline_days: int
    recall_notice_days: int
    b2b_notice_from: int
    coverage_decimals: int
    gridlock_brokers_from: int
    gridlock_attempts_from: int
    gridlock_aged_from: int
    gridlock_similar_ratio: Decimal


def compile_waterfall(c: Compiler) -> WaterfallRules:
    return WaterfallRules(
        chase_steps=c.whole("waterfall.chase_steps", highest=400),
        offset_older_by=c.whole("offset.older_by"),
        offset_settles_by=c.whole("offset.settles_by"),
        partial_deadline_days=c.whole("partial.deadline_days"),
        recall_notice_days=c.whole("recall.notice_days"),
        b2b_notice_from=c.whole("b2b.notice_from"),
        coverage_decimals=c.whole("coverage.decimals", highest=6),
        gridlock_brokers_from=c.whole("gridlock.brokers_from"),
        gridlock_attempts_from=c.whole("gridlock.attempts_from"),
        gridlock_aged_from=c.whole("gridlock.aged_from"),
        gridlock_similar_ratio=c.number("gridlock.similar_ratio"),
    )
