"""Facts of a record that follow from its other facts (kb: `input.derived`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from finops_cli.domain import limits
from finops_cli.domain.enums import Direction, Side

SIDES: Mapping[Direction, Side] = {"FTD": "Sell", "FTR": "Buy"}
"""The side of each CNS direction that has one."""


def coverage_pct(box_qty: int, qty: int) -> Decimal:
    """The percentage of `qty` that the box covers, half-up to one decimal, in exact integers.

    `qty` is positive. 12.0 is written 12. The result is at most `limits.PERCENT`.
    """
    tenths = (2 * box_qty * 100 * 10 + qty) // (2 * qty)
    whole, tenth = divmod(tenths, 10)
    if whole >= limits.PERCENT:
        return Decimal(limits.PERCENT)
    return Decimal(whole) if tenth == 0 else Decimal(f"{whole}.{tenth}")


def direction_of(position: int | None) -> Direction:
    """The CNS direction of a position: short is a fail to deliver, long a fail to receive."""
    if not position:
        return "N_A"
    return "FTD" if position < 0 else "FTR"
