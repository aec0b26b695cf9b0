"""Section 7.1: the penalty box of each holder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tests.support.oracle.clock.facts import Facts, is_known
from tests.support.oracle.clock.lots import Ledger, Lot


@dataclass
class Box:
    """A penalty box. `lots` are those that keep it open; after the release, all of them."""

    holder: str
    state: str
    lots: list[Lot]
    opened: datetime | None = None
    uncured_qty: int = 0
    purchased_qty: int = 0
    released_on: date | None = None


def release_day(facts: Facts, lot: Lot) -> date | None:
    """Return the day on which settled purchases reach the uncured shares of a lot."""
    settled: list[tuple[date, int]] = []
    for event in facts.events:
        day = event.settled_on
        if day is not None and is_known(day, facts.as_of):
            settled += [(day, n) for other, n in event.after_deadline if other is lot]
    total = 0
    for day, shares in sorted(settled):
        total += shares
        if total >= lot.uncured:
            return day
    return None


def boxes(facts: Facts, ledger: Ledger) -> list[Box]:
    """Return the boxes: the participant's, then those of BDs with an allocation."""
    others = sorted({lot.holder for lot in ledger.lots} - {"participant"})
    return [_box(facts, ledger, holder) for holder in ("participant", *others)]


def _box(facts: Facts, ledger: Ledger, holder: str) -> Box:
    lots = [lot for lot in ledger.lots if lot.holder == holder and lot.uncured > 0]
    if not lots:
        return Box(holder, "none", [])
    released = [release_day(facts, lot) for lot in lots]
    days = [day for day in released if day is not None]
    waiting = [lot for lot, day in zip(lots, released, strict=True) if day is None]
    if not waiting:
        state, kept = "released", lots
    else:
        is_bought = all(lot.bought >= lot.uncured for lot in waiting)
        state, kept = "closing" if is_bought else "open", waiting
    return Box(
        holder,
        state,
        kept,
        opened=min(lot.deadline for lot in kept),
        uncured_qty=sum(lot.uncured for lot in kept),
        purchased_qty=sum(lot.bought for lot in kept),
        released_on=max(days) if state == "released" else None,
    )


def box_block(box: Box) -> dict[str, Any]:
    """Return an item of `penalty_boxes`."""
    return {
        "holder": box.holder,
        "state": box.state,
        "preborrow_required": box.state in ("open", "closing"),
        "opened": box.opened.strftime("%Y-%m-%dT%H:%M") if box.opened else None,
        "uncured_qty": box.uncured_qty,
        "purchased_qty": box.purchased_qty,
        "released_on": box.released_on.isoformat() if box.released_on else None,
    }
