"""The lots of a netted position: which shares failed on which settlement date (section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from finops_cli.clock.facts import Facts, read_day, read_trade_date, settling_day, trade_date_of
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.rule_204 import Deadline
from finops_cli.kb.chapters.clock import ClockRules

PARTICIPANT = "participant"


class GivenLot(NamedTuple):
    """Shares of one settlement date."""

    settlement: date
    trade: date
    sale_type: str
    qty: int


@dataclass(slots=True, eq=False, kw_only=True)
class ShareEvent:
    """A purchase, borrow or delivery, and what became of its shares."""

    kind: str
    at: datetime
    qty: int
    label: str
    settled_on: date | None = None
    """The day on which the shares are known to have settled."""
    shown_flat: bool = False
    """True if the net position after it is shown to be flat or long."""
    lot_named: date | None = None
    refused: str | None = None
    """Why it counts for nothing; None if it counts."""
    assigned: int = 0
    """Shares that were assigned to lots: no share counts twice."""
    arrived: int = 0
    """Shares that a fall of the position has used."""
    unused: str | None = None
    """Why it changed nothing; None if it did, or if the evidence of a lot names it."""

    @property
    def free(self) -> int:
        """Shares that are not assigned to a lot."""
        return self.qty - self.assigned


@dataclass(slots=True, eq=False)
class Cover:
    """Shares of a purchase or borrow that are meant for a lot."""

    event: ShareEvent
    qty: int


@dataclass(slots=True, eq=False)
class Delivered:
    """Shares that left a lot at a moment."""

    at: datetime
    qty: int


@dataclass(slots=True, eq=False, kw_only=True)
class OpenLot:
    """Shares that failed on one settlement date, for one holder."""

    index: int
    """The place among the lots of the record; a part that is allocated keeps it."""
    settlement: date
    trade: date
    sale_type: str
    qty: int
    whole: int
    """The shares of the lot before any was allocated to a broker-dealer."""
    open: int
    opens: datetime
    """The end of regular trading hours of the settlement date: the fail exists from then on."""
    rule: str
    kb: str
    deadline: Deadline | None
    is_assumed: bool = False
    """True if the settlement date was not given."""
    holder: str = PARTICIPANT
    covers: list[Cover] = field(default_factory=list)
    uncured: int | None = None
    """Shares that nothing covered at the deadline; None before it."""
    bought_after: list[Cover] = field(default_factory=list)
    """Purchases after a missed deadline, which lead out of the penalty box."""
    delivered: list[Delivered] = field(default_factory=list)
    credited: bool = False
    """True if a pre-fail credit cured the lot (section 7.4)."""
    evidence: list[str] = field(default_factory=list)

    @property
    def uncovered(self) -> int:
        """Shares that are open and that nothing covers."""
        return self.open - sum(cover.qty for cover in self.covers)

    @property
    def is_breached(self) -> bool:
        """True if shares were uncovered at the deadline."""
        return bool(self.uncured)

    @property
    def bought(self) -> int:
        """Shares that were bought after the missed deadline."""
        return sum(cover.qty for cover in self.bought_after)

    @property
    def wanting(self) -> int:
        """Shares that must still be bought after a missed deadline."""
        return (self.uncured or 0) - self.bought

    def cover(self, event: ShareEvent, qty: int) -> None:
        """Assign shares of `event` to the lot."""
        event.assigned += qty
        self.covers.append(Cover(event, qty))

    def lower(self, qty: int, at: datetime) -> None:
        """Lower the open shares by shares that nothing covers."""
        self.open -= qty
        self.delivered.append(Delivered(at, qty))

    def lower_covered(self, qty: int, at: datetime) -> None:
        """Lower the open shares by covered ones: the latest covers lose them."""
        self.lower(qty, at)
        for cover in reversed(self.covers):
            taken = min(qty, cover.qty)
            cover.qty -= taken
            qty -= taken
        self.covers = [cover for cover in self.covers if cover.qty]

    def take_arrival(self, event: ShareEvent, qty: int, at: datetime) -> int:
        """Lower the lot by up to `qty` shares of `event` that covered it; return the rest."""
        for cover in self.covers:
            if cover.event is event:
                taken = min(qty, cover.qty)
                cover.qty -= taken
                qty -= taken
                self.lower(taken, at)
        self.covers = [cover for cover in self.covers if cover.qty]
        return qty

    def open_at(self, moment: datetime) -> int:
        """Shares that were open at a moment."""
        return self.qty - self.gone_by(moment)

    def gone_by(self, moment: datetime) -> int:
        """Shares that had left the lot at a moment."""
        return sum(each.qty for each in self.delivered if each.at <= moment)


def compare_qty(what: str, total: int, qty: int) -> str:
    """Say by how many shares a total misses the quantity of the record."""
    if total < qty:
        return f"{what} {total:,} of {qty:,} shares (qty): {qty - total:,} have no due day"
    return f"{what} {total:,} shares, {total - qty:,} more than the {qty:,} of qty"


def given_lots(facts: Facts, calendar: Calendar, rules: ClockRules) -> list[GivenLot]:
    """The lots of `clock_facts.lots`, else the whole fail as one lot. Raises Refused."""
    given = facts.given.lots
    if not given:
        record = facts.record
        return [GivenLot(facts.settlement_date, facts.trade_date, facts.sale_type, record.qty)]
    found = []
    for number, lot in enumerate(given):
        name = f"lots/{number}/settlement_date"
        day = settling_day(name, read_day(name, lot.settlement_date, calendar), calendar)
        if lot.trade_date is None:
            is_of_record = day == facts.settlement_date
            trade = facts.trade_date if is_of_record else trade_date_of(day, calendar, rules)
        else:
            name = f"lots/{number}/trade_date"
            trade = read_trade_date(name, lot.trade_date, day, calendar)
        found.append(GivenLot(day, trade, lot.sale_type or facts.sale_type, lot.qty))
    total = sum(lot.qty for lot in found)
    if total != facts.record.qty:
        facts.warnings.append(
            f"lots.qty: {compare_qty('the lots sum to', total, facts.record.qty)}"
        )
    return found


def by_age(lots: Iterable[OpenLot]) -> list[OpenLot]:
    """Order lots as deliveries take them: first in, first out (kb: `clock.fifo`).

    Lots of one day keep the order in which they were given.
    """
    return sorted(
        lots,
        key=lambda lot: (lot.settlement, lot.index, lot.holder != PARTICIPANT, lot.holder),
    )


def by_deadline(lots: Iterable[OpenLot]) -> list[OpenLot]:
    """Order lots as purchases and borrows take them: the earliest deadline first, then oldest."""
    return sorted(by_age(lots), key=_due)


def deliver(lots: Iterable[OpenLot], qty: int, at: datetime) -> int:
    """Take `qty` delivered shares from the oldest lots, uncovered shares first; return the rest."""
    ordered = by_age(lot for lot in lots if lot.open)
    for lot in ordered:
        taken = min(qty, lot.uncovered)
        if taken:
            lot.lower(taken, at)
            qty -= taken
    for lot in ordered:
        taken = min(qty, lot.open)
        if taken:
            lot.lower_covered(taken, at)
            qty -= taken
    return qty


def _due(lot: OpenLot) -> tuple[bool, str]:
    return lot.deadline is None, "" if lot.deadline is None else lot.deadline.due.isoformat()
