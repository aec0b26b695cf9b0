"""The rules of the resolution waterfall and of gridlock."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from finops_cli.kb.compiler import Compiler


class WaterfallRules(Struct, frozen=True, eq=False, kw_only=True):
    """Numbers of the waterfall and of gridlock (kb: `waterfall.*`, `offset.*`, `gridlock.*`; days
    and counts).
    """

    chase_steps: int
    offset_older_by_days: int
    offset_settles_by_day: int
    partial_deadline_days: int
    recall_notice_days: int
    b2b_notice_min_days: int
    coverage_decimals: int
    gridlock_min_brokers: int
    gridlock_min_attempts: int
    gridlock_aged_min_days: int
    gridlock_similar_ratio: Decimal


def compile_waterfall(c: Compiler) -> WaterfallRules:
    return WaterfallRules(
        chase_steps=c.whole("waterfall.chase_steps", highest=400),
        offset_older_by_days=c.whole("offset.older_by_days"),
        offset_settles_by_day=c.whole("offset.settles_by_day"),
        partial_deadline_days=c.whole("partial.deadline_days"),
        recall_notice_days=c.whole("recall.notice_days"),
        b2b_notice_min_days=c.whole("b2b.notice_min_days"),
        coverage_decimals=c.whole("coverage.decimals", highest=6),
        gridlock_min_brokers=c.whole("gridlock.min_brokers"),
        gridlock_min_attempts=c.whole("gridlock.min_attempts"),
        gridlock_aged_min_days=c.whole("gridlock.aged_min_days"),
        gridlock_similar_ratio=c.number("gridlock.similar_ratio"),
    )
