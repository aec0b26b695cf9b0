"""Fails as a desk has them: quantities in round lots, values of few digits, and now and then no
fail to receive, or shares in a depot.

Figures of the generator are hardly ever round, and rows of zeros are not learned by the way
(docs/tiny-models.md).
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TypeVar

from msgspec.structs import replace

from finops_cli.datasets.resolver_examples import coverage
from finops_cli.datasets.triage_examples import tidy
from finops_cli.domain.fail import FailRecord, Ftr, Inventory, RelatedFail
from finops_cli.domain.money import Usd
from finops_cli.kb.rulebook import KnowledgeBase

LOTS = (10, 100, 100, 100, 500, 1_000, 1_000, 5_000)
"""Shares of a lot; 100 is the round lot of most US equities (Reg NMS, Rule 600)."""
_DIGITS = (1, 2, 2, 3, 3, 4)
"""That a value has before its zeros: $300K, $13.4M, $271.2K."""
_WITHOUT_RECEIPTS, _WITH_DEPOT = 0.12, 0.3
_MOST_LOTS_OF_DEPOT = 500
_QUANTITIES = ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives")

_Qty = TypeVar("_Qty", Ftr, RelatedFail)


def record_in_lots(fail: FailRecord, draw: random.Random) -> FailRecord:
    """A record of stage 1 with its quantity in lots and a value of few digits; a position in CNS of
    the whole quantity stays that.
    """
    lot, value, position = draw.choice(LOTS), fail.market_value, fail.cns_position
    qty = _whole_lots(fail.qty, lot)
    unit = Decimal(1).scaleb(value.adjusted() + 1 - draw.choice(_DIGITS))
    if position in (fail.qty, -fail.qty):
        position = qty if position > 0 else -qty
    return replace(
        fail,
        qty=qty,
        cns_position=position,
        market_value=Usd(tidy((value / unit).to_integral_value() * unit)) if unit > 1 else value,
    )


def in_lots(fail: FailRecord, kb: KnowledgeBase, draw: random.Random) -> FailRecord:
    """`fail`, which has an inventory, with every quantity in lots of one size."""
    assert fail.inventory is not None  # noqa: S101 - every fail that is drawn for stage 2 has one
    lot = draw.choice(LOTS)
    qty, held = _whole_lots(fail.qty, lot), _inventory(fail.inventory, lot, kb, draw)
    return replace(
        fail,
        qty=qty,
        cns_position=None if fail.cns_position is None else -qty,
        inventory_coverage_pct=coverage(held.box_qty, qty),
        inventory=held,
        ftrs=() if draw.random() < _WITHOUT_RECEIPTS else _all_in_lots(fail.ftrs, lot),
        related_fails=_all_in_lots(fail.related_fails, lot),
    )


def _inventory(held: Inventory, lot: int, kb: KnowledgeBase, draw: random.Random) -> Inventory:
    depot, transit = held.depot_qty, held.depot_transit_days
    if (
        not depot and draw.random() < _WITH_DEPOT
    ):  # on its way for up to the longest deadline, or nobody knows how long
        depot = draw.randint(1, _MOST_LOTS_OF_DEPOT) * lot
        transit = draw.choice((None, *range(kb.triage.deadline_standard + 1)))
    quantities = {name: _whole_lots(getattr(held, name), lot) for name in _QUANTITIES}
    return replace(
        held, **quantities, depot_qty=_whole_lots(depot, lot), depot_transit_days=transit
    )


def _all_in_lots(held: tuple[_Qty, ...], lot: int) -> tuple[_Qty, ...]:
    return tuple(replace(each, qty=_whole_lots(each.qty, lot)) for each in held)


def _whole_lots(qty: int, lot: int) -> int:
    """`qty` in whole lots: the nearest number of them, and one at least where there is
    something.
    """
    return max(lot, round(qty / lot) * lot) if qty else 0
