"""The lots of a netted position: which shares failed on which settlement date (section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from finops_cli.clock.rule_204 import Deadline

PARTICIPANT = "participant"


@dataclass(slots=True, eq=False, kw_only=True)
class Cover:
    """Shares of a purchase or borrow that are meant for a lot."""

    event: ShareEvent
    qty: int


@dataclass(slots=True, eq=False, kw_only=True)
class ShareEvent:
    """A purchase, borrow or delivery, and the shares of it that a fall has not used yet."""

    kind: str
    at: datetime
    qty: int
    label: str
    settled_on: date | None = None
    shown_flat: bool = False
    """True if the net position after it is shown to be flat or long."""
    lot_named: date | None = None
    arrived: int = 0
    """Shares that a fall of the position has used."""
    refused: str | None = None
    """Why it counts for nothing; None if it counts."""
    used: int = 0
    """Shares that were assigned to lots."""


@dataclass(slots=True, eq=False, kw_only=True)
class OpenLot:
    """Shares that failed on one settlement date, for one holder."""

    settlement: date
    trade: date
    sale_type: str
    qty: int
    open: int
    deadline: Deadline | None
    holder: str = PARTICIPANT
    covers: list[Cover] = field(default_factory=list)
    uncured: int | None = None
    """Shares that nothing covered at the deadline; None before it."""
    bought_after: list[Cover] = field(default_factory=list)
    """Purchases after a missed deadline, which lead out of the penalty box."""
    credited: bool = False
    """True if a pre-fail credit cured the lot (section 7.4)."""
    evidence: list[str] = field(default_factory=list)

    @property
    def covered(self) -> int:
        """Shares that a purchase or borrow covers and that have not arrived."""
        return sum(cover.qty for cover in self.covers)

    @property
    def uncovered(self) -> int:
        """Shares that are open and that nothing covers."""
        return 0 if self.credited else max(self.open - self.covered, 0)

    @property
    def is_breached(self) -> bool:
        """True if shares were uncovered at the deadline."""
        return bool(self.uncured)

    @property
    def wanting(self) -> int:
        """Shares that a purchase is still needed for."""
        if self.is_breached:
            return max((self.uncured or 0) - sum(cover.qty for cover in self.bought_after), 0)
        return self.uncovered

    def take_delivery(self, qty: int) -> int:
        """Lower the lot by up to `qty` delivered shares, uncovered ones first; return the rest."""
        taken = min(qty, self.open)
        self.open -= taken
        while self.covered > self.open:
            last = self.covers[-1]
            surplus = self.covered - self.open
            last.qty -= min(surplus, last.qty)
            if not last.qty:
                self.covers.pop()
        return qty - taken

    def take_arrival(self, event: ShareEvent, qty: int) -> int:
        """Lower the lot by up to `qty` shares of `event` that covered it; return the rest."""
        for cover in [each for each in self.covers if each.event is event]:
            taken = min(qty, cover.qty, self.open)
            cover.qty -= taken
            self.open -= taken
            qty -= taken
            if not cover.qty:
                self.covers.remove(cover)
        return qty


def by_age(lots: Iterable[OpenLot]) -> list[OpenLot]:
    """Order lots as deliveries take them: first in, first out (kb: `clock.fifo`)."""
    return sorted(lots, key=lambda lot: (lot.settlement, lot.holder != PARTICIPANT, lot.holder))


def by_deadline(lots: Iterable[OpenLot]) -> list[OpenLot]:
    """Order lots as purchases and borrows take them: the earliest deadline first, then oldest."""
    return sorted(by_age(lots), key=_due)


def _due(lot: OpenLot) -> tuple[bool, str]:
    return lot.deadline is None, "" if lot.deadline is None else lot.deadline.due.isoformat()
