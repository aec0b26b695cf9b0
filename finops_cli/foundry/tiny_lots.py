"""Inputs as a desk has them: quantities in round lots, and now and then no fail to receive, or shares in a depot.

Inputs of the generator are hardly ever round, and what is all zeros is not learned by the way: a model that had seen none copied
`12000` wrong where it copied `12347` well (docs/tiny-models.md).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from finops_cli.domain.fail import Ftr, Inventory, RelatedFail
from finops_cli.domain.resolution import ResolverInput

_LOTS = (10, 100, 100, 100, 500, 1_000, 1_000, 5_000)
"""Shares of a lot; 100 is the round lot of most US equities (Reg NMS, Rule 600)."""
_WITHOUT_RECEIPTS, _WITH_DEPOT = 0.12, 0.3
_LONGEST_TRANSIT = 8
"""Days that shares of a depot are under way, at most: beyond any deadline of Reg SHO's 204 it decides nothing more."""

_QUANTITIES = ("box_qty", "stock_loan_available", "recall_outstanding", "pending_receives")

Held = TypeVar("Held", Ftr, RelatedFail)


def in_lots(drawn: Iterable[ResolverInput], draw: random.Random) -> Iterator[ResolverInput]:
    """Each of the inputs drawn, in lots of its own."""
    for case in drawn:
        lot = draw.choice(_LOTS)
        yield replace(
            case,
            ftd_qty=_rounded(case.ftd_qty, lot),
            inventory=_inventory(case.inventory, lot, draw),
            ftrs=() if draw.random() < _WITHOUT_RECEIPTS else _all_rounded(case.ftrs, lot),
            related_fails=_all_rounded(case.related_fails, lot),
        )


def _inventory(held: Inventory, lot: int, draw: random.Random) -> Inventory:
    quantities = {name: _rounded(getattr(held, name), lot) for name in _QUANTITIES}
    depot, transit = held.depot_qty, held.depot_transit_days
    if not depot and draw.random() < _WITH_DEPOT:
        depot, transit = draw.randint(1, 500) * lot, draw.choice((None, *range(_LONGEST_TRANSIT + 1)))
    return replace(held, **quantities, depot_qty=_rounded(depot, lot), depot_transit_days=transit)


def _all_rounded(held: tuple[Held, ...], lot: int) -> tuple[Held, ...]:
    return tuple(replace(each, qty=_rounded(each.qty, lot)) for each in held)


def _rounded(qty: int, lot: int) -> int:
    """`qty` in whole lots: the nearest number of them, and one at least where there is something."""
    return max(lot, round(qty / lot) * lot) if qty else 0
