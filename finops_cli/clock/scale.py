"""The clock of a whole fail from the clock of one of its shares.

Without events, history and lots, the dates of a fail do not depend on its quantity: every quantity
is zero or the whole fail. A run computes the dates once for each combination of facts.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from finops_cli.clock.costs import compute_charge
from finops_cli.domain.clock import Clock, CostItem
from finops_cli.domain.fail import FailRecord


def scale(unit: Clock, record: FailRecord) -> Clock:
    """Multiply each quantity of `unit`, the block of one share, by those of `record`."""
    qty = record.qty
    threshold = unit.threshold
    if threshold is not None:
        threshold = replace(threshold, persistent_qty=threshold.persistent_qty * qty)
    return replace(
        unit,
        lots=tuple([replace(lot, qty=lot.qty * qty) for lot in unit.lots]),
        obligations=tuple(
            [
                replace(
                    each,
                    qty=each.qty * qty,
                    open_qty=None if each.open_qty is None else each.open_qty * qty,
                )
                for each in unit.obligations
            ]
        ),
        penalty_boxes=tuple(
            [
                replace(box, uncured_qty=box.uncured_qty * qty) if box.uncured_qty else box
                for box in unit.penalty_boxes
            ]
        ),
        threshold=threshold,
        costs=tuple([_charge(item, record.market_value) for item in unit.costs]),
    )


def _charge(item: CostItem, market_value: Decimal) -> CostItem:
    if item.rate_pct is None:
        return item
    return replace(item, amount_usd=compute_charge(market_value, item.rate_pct))
