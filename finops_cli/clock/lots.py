"""The lots of a netted position: which shares failed on which settlement date (section 6)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import NamedTuple

from finops_cli.clock.facts import Facts, read_day, read_trade_date, settling_day, trade_date_of
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.rule_204 import Deadline
from finops_cli.kb.chapters.clock import ClockRules

PARTICIPANT = "participant"
AgeOrder = tuple[date, int, bool, str]
DueOrder = tuple[datetime, AgeOrder]
_NO_DEADLINE = datetime.combine(date.max, time.max)
"""Sorts behind every deadline."""


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
    """Shares that were assigned to lots, or that a fall has used: no share counts twice."""
    arrived: int = 0
    """Shares that a fall of the position has used."""
    covers: list[Cover] = field(default_factory=list)
    """The covers of lots that have not arrived, in the order of their deadlines."""
    unused: str | None = None
    """Why it changed nothing; None if it did, or if the evidence of a lot names it."""

    @property
    def free(self) -> int:
        """Shares that no lot and no fall of the position has."""
        return self.qty - self.assigned


@dataclass(slots=True, eq=False)
class Cover:
    """Shares of a purchase or borrow that are meant for a lot."""

    event: ShareEvent
    lot: OpenLot
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
    """In the order of time; those without a share left are dropped late."""
    covered: int = 0
    """The shares of the covers."""
    uncured: int | None = None
    """Shares that nothing covered at the deadline; None before it."""
    bought_after: list[Cover] = field(default_factory=list)
    """Purchases after a missed deadline, which lead out of the penalty box."""
    bought: int = 0
    """The shares of those purchases."""
    delivered: list[Delivered] = field(default_factory=list)
    credited: bool = False
    """True if a pre-fail credit cured the lot (section 7.4)."""
    evidence: list[str] = field(default_factory=list)

    @property
    def uncovered(self) -> int:
        """Shares that are open and that nothing covers."""
        return self.open - self.covered

    @property
    def is_breached(self) -> bool:
        """True if shares were uncovered at the deadline."""
        return bool(self.uncured)

    @property
    def age_order(self) -> AgeOrder:
        """The place among the lots that a delivery takes: first in, first out (kb: `clock.fifo`).

        Lots of one day keep the order in which they were given.
        """
        return self.settlement, self.index, self.holder != PARTICIPANT, self.holder

    @property
    def due_order(self) -> DueOrder:
        """The place among the lots that a purchase takes: the earliest deadline, then oldest."""
        due = _NO_DEADLINE if self.deadline is None else self.deadline.due
        return due, self.age_order

    @property
    def wanting(self) -> int:
        """Shares that must still be bought after a missed deadline."""
        return (self.uncured or 0) - self.bought

    def cover(self, event: ShareEvent, qty: int) -> None:
        """Assign shares of `event` to the lot."""
        event.assigned += qty
        self.covered += qty
        cover = Cover(event, self, qty)
        self.covers.append(cover)
        insort(event.covers, cover, key=lambda each: each.lot.due_order)

    def buy_after(self, event: ShareEvent, qty: int) -> None:
        """Lead shares out of the penalty box by a purchase after the missed deadline."""
        self.bought += qty
        self.bought_after.append(Cover(event, self, qty))

    def lower(self, qty: int, at: datetime) -> None:
        """Lower the open shares by shares that nothing covers."""
        self.open -= qty
        self.delivered.append(Delivered(at, qty))

    def lower_covered(self, qty: int, at: datetime) -> None:
        """Lower the open shares by covered ones: the latest covers lose them."""
        self.lower(qty, at)
        self.covered -= qty
        while qty:
            cover = self.covers[-1]
            taken = min(qty, cover.qty)
            cover.qty -= taken
            qty -= taken
            if not cover.qty:
                self.covers.pop()

    def take_arrival(self, cover: Cover, qty: int, at: datetime) -> None:
        """Lower the lot by shares that covered it and have arrived."""
        cover.qty -= qty
        self.covered -= qty
        self.lower(qty, at)

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
    """Order lots as deliveries take them: the oldest first."""
    return sorted(lots, key=lambda lot: lot.age_order)
