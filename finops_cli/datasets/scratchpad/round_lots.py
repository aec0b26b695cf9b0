"""Round generated fails like real ones: quantities in round lots and values of few digits.

Some fails lose all fails to receive, or get shares in a depot. Generated numbers are seldom round,
and a model does not learn rows of zeros from them (docs/tiny-models.md).
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TypeVar

from msgspec.structs import replace

from finops_cli.datasets.triage_examples import tidy
from finops_cli.domain.fail import FailRecord, Ftr, Inventory, RelatedFail
from finops_cli.domain.money import Percent, Usd
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.rules.derivation import coverage_pct

LOTS = (10, 100, 100, 100, 500, 1_000, 1_000, 5_000)
"""Sizes of a lot, in shares. 100 is the round lot of most US equities (Reg NMS, Rule 600)."""
_DIGITS = (1, 2, 2, 3, 3, 4)
"""Number of digits before the zeros of a value: $300K, $13.4M, $271.2K."""
_WITHOUT_RECEIPTS, _WITH_DEPOT = 0.12, 0.3
_MOST_LOTS_OF_DEPOT = 500
_QUANTITIES = ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives")

_Qty = TypeVar("_Qty", Ftr, RelatedFail)


def round_record_to_lots(fail: FailRecord, draw: random.Random) -> FailRecord:
    """Round the quantity of a stage 1 record to lots, and its value to few digits.

    A CNS position that equals the quantity is rounded with it.
    """
    lot, value, position = draw.choice(LOTS), fail.market_value, fail.cns_position
    qty = _round_qty(fail.qty, lot)
    unit = Decimal(1).scaleb(value.adjusted() + 1 - draw.choice(_DIGITS))
    if position in (fail.qty, -fail.qty):
        position = qty if position > 0 else -qty
    return replace(
        fail,
        qty=qty,
        cns_position=position,
        market_value=Usd(tidy((value / unit).to_integral_value() * unit)) if unit > 1 else value,
    )


def round_fail_to_lots(fail: FailRecord, kb: KnowledgeBase, draw: random.Random) -> FailRecord:
    """Round every quantity of `fail` to lots of one size. The fail must have an inventory."""
    assert fail.inventory is not None  # noqa: S101 - every fail that is drawn for stage 2 has one
    lot = draw.choice(LOTS)
    qty, held = _round_qty(fail.qty, lot), _inventory(fail.inventory, lot, kb, draw)
    return replace(
        fail,
        qty=qty,
        cns_position=None if fail.cns_position is None else -qty,
        inventory_coverage_pct=Percent(coverage_pct(held.box_qty, qty)),
        inventory=held,
        ftrs=() if draw.random() < _WITHOUT_RECEIPTS else _round_all(fail.ftrs, lot),
        related_fails=_round_all(fail.related_fails, lot),
    )


def _inventory(held: Inventory, lot: int, kb: KnowledgeBase, draw: random.Random) -> Inventory:
    depot, transit = held.depot_qty, held.depot_transit_days
    if (
        not depot and draw.random() < _WITH_DEPOT
    ):  # on its way for up to the longest deadline, or nobody knows how long
        depot = draw.randint(1, _MOST_LOTS_OF_DEPOT) * lot
        transit = draw.choice((None, *range(kb.triage.deadline_standard + 1)))
    quantities = {name: _round_qty(getattr(held, name), lot) for name in _QUANTITIES}
    return replace(held, **quantities, depot_qty=_round_qty(depot, lot), depot_transit_days=transit)


def _round_all(held: tuple[_Qty, ...], lot: int) -> tuple[_Qty, ...]:
    return tuple(replace(each, qty=_round_qty(each.qty, lot)) for each in held)


def _round_qty(qty: int, lot: int) -> int:
    """Round `qty` to the nearest number of lots, and to at least one lot unless it is 0."""
    return max(lot, round(qty / lot) * lot) if qty else 0
