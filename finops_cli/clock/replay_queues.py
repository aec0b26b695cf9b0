"""The lots that have failed and the shares that have arrived, in the order of their use (6).

A step of a replay looks at the lots that it can reach, and not at those that are closed. So the
cost of a replay grows with the rows and events of the fail, and not with their product.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime
from enum import Enum
from heapq import heappop, heappush

from finops_cli.clock.lots import PARTICIPANT, AgeOrder, DueOrder, OpenLot, ShareEvent


def _is_present(lot: OpenLot) -> bool:
    return bool(lot.open) or lot.wanting > 0


def _is_own(lot: OpenLot) -> bool:
    return lot.holder == PARTICIPANT and _is_present(lot)


def _is_allocable(lot: OpenLot) -> bool:
    is_free = lot.holder == PARTICIPANT and lot.uncured is None and lot.deadline is not None
    return is_free and lot.uncovered > 0


class Want(Enum):
    """The lots that a step looks for: their order, oldest or earliest deadline first, and a test.

    A lot that fails the test once fails it until `LotQueues.renew`.
    """

    PRESENT = "due", _is_present
    UNCOVERED = "due", lambda lot: lot.uncovered > 0
    UNBOUGHT = "due", lambda lot: lot.wanting > 0
    OWN = "due", _is_own
    OWN_UNJUDGED = "due", lambda lot: _is_own(lot) and lot.uncured is None
    ALLOCABLE = "due", _is_allocable
    OPEN_BY_AGE = "age", lambda lot: lot.open > 0
    UNCOVERED_BY_AGE = "age", lambda lot: lot.uncovered > 0

    def __init__(self, order: str, is_live: Callable[[OpenLot], bool]) -> None:
        self.is_live = is_live
        self.is_by_age = order == "age"


class _Queue:
    """Lots in order; one that is not live any more leaves when the walk comes to it."""

    def __init__(self, want: Want) -> None:
        self._want = want
        self._keys: list[AgeOrder | DueOrder] = []
        self._lots: list[OpenLot] = []

    def add(self, lot: OpenLot) -> None:
        """Put a live lot at its place, once."""
        if not self._want.is_live(lot):
            return
        key = lot.age_order if self._want.is_by_age else lot.due_order
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            self._keys.insert(place, key)
            self._lots.insert(place, lot)

    def __iter__(self) -> Iterator[OpenLot]:
        place = 0
        while place < len(self._lots):
            lot = self._lots[place]
            if self._want.is_live(lot):
                yield lot
                place += 1
            else:
                del self._lots[place], self._keys[place]


class LotQueues:
    """The lots from their opening on, by what a step wants of them."""

    def __init__(self) -> None:
        self._opening: list[tuple[datetime, int, OpenLot]] = []
        self._number = 0
        self._lots: dict[date | None, list[OpenLot]] = {None: []}
        """By settlement date; all of them under None."""
        self._queues: dict[date | None, dict[Want, _Queue]] = {}
        self.whole = 0
        """The open shares of the participant."""

    def add(self, lot: OpenLot) -> None:
        """Keep a lot until its fail begins."""
        self._number += 1
        heappush(self._opening, (lot.opens, self._number, lot))

    def open_until(self, moment: datetime) -> None:
        """Take in the lots that have failed by `moment`."""
        while self._opening and self._opening[0][0] <= moment:
            self.take_in(heappop(self._opening)[2])

    def take_in(self, lot: OpenLot) -> None:
        """Take in a lot that has failed."""
        self._lots[None].append(lot)
        self._lots.setdefault(lot.settlement, []).append(lot)
        if lot.holder == PARTICIPANT:
            self.whole += lot.open
        self.renew(lot)

    def renew(self, lot: OpenLot) -> None:
        """Show a lot again to the steps that want it now."""
        for day in (None, lot.settlement):
            for queue in self._queues.get(day, {}).values():
                queue.add(lot)

    def has_failed(self, named: date | None) -> bool:
        """True if a lot has failed, of the settlement date `named` if it is given."""
        return bool(self._lots.get(named))

    def find(self, want: Want, named: date | None = None) -> Iterator[OpenLot]:
        """Yield the lots that a step wants, of the settlement date `named` if it is given.

        The caller may change the lots on the way; it adds none before the walk ends.
        """
        queues = self._queues.setdefault(named, {})
        queue = queues.get(want)
        if queue is None:
            queue = queues[want] = _Queue(want)
            for lot in self._lots.get(named, ()):
                queue.add(lot)
        return iter(queue)

    def has(self, want: Want, named: date | None = None) -> bool:
        """True if a step finds a lot that it wants."""
        return next(self.find(want, named), None) is not None

    def deliver(self, qty: int, at: datetime) -> dict[OpenLot, int]:
        """Take `qty` delivered shares from the oldest lots, uncovered shares first.

        Return the shares that left each lot.
        """
        gone: dict[OpenLot, int] = {}
        for want in (Want.UNCOVERED_BY_AGE, Want.OPEN_BY_AGE):
            for lot in self.find(want):
                if not qty:
                    return gone
                is_covered = want is Want.OPEN_BY_AGE
                taken = min(qty, lot.open if is_covered else lot.uncovered)
                (lot.lower_covered if is_covered else lot.lower)(taken, at)
                self.count_lowered(lot, taken)
                gone[lot] = gone.get(lot, 0) + taken
                qty -= taken
        return gone

    def count_lowered(self, lot: OpenLot, qty: int) -> None:
        """Note that shares have left a lot."""
        if lot.holder == PARTICIPANT:
            self.whole -= qty

    def arrive(self, shares: ShareEvent, qty: int, at: datetime) -> None:
        """Lower the position by arrived shares: first in the lots that they cover, then others."""
        done = 0
        for cover in shares.covers:
            if not qty:
                break
            taken = min(qty, cover.qty)
            if taken:
                cover.lot.take_arrival(cover, taken, at)
                self.count_lowered(cover.lot, taken)
                qty -= taken
            done += not cover.qty
        del shares.covers[:done]
        shares.assigned += min(qty, shares.free)  # used up: no share counts twice
        self.deliver(qty, at)


class Arrivals:
    """Purchases, borrows and deliveries in the order in which falls of the position use them.

    Deliveries come first, then purchases and borrows, each in the order of time.
    """

    def __init__(self) -> None:
        self._number = 0
        self._settling: list[tuple[date, int, ShareEvent]] = []
        self._settled: list[tuple[int, ShareEvent]] = []
        self._deliveries: deque[ShareEvent] = deque()
        self._unused = 0

    def add(self, shares: ShareEvent) -> None:
        """Add an event; events come in the order of time. One that counts for nothing is left out.

        A purchase or borrow arrives on the day on which it is known to have settled.
        """
        self._number += 1
        if shares.kind == "delivery":
            self._deliveries.append(shares)
            self._unused += shares.qty - shares.arrived
        elif shares.refused is None and shares.settled_on is not None:
            heappush(self._settling, (shares.settled_on, self._number, shares))

    def count(self, moment: datetime) -> int:
        """Shares that have arrived by the day of `moment` and that no fall has used."""
        while self._settling and self._settling[0][0] <= moment.date():
            _, number, shares = heappop(self._settling)
            heappush(self._settled, (number, shares))
            self._unused += shares.qty - shares.arrived
        return self._unused

    def use(self, qty: int, moment: datetime) -> Iterator[tuple[ShareEvent, int]]:
        """Use up to `qty` shares that have arrived; yield each event with the shares of it."""
        qty = min(qty, self.count(moment))
        while qty:
            shares = self._deliveries[0] if self._deliveries else self._settled[0][1]
            used = min(qty, shares.qty - shares.arrived)
            shares.arrived += used
            self._unused -= used
            qty -= used
            if shares.arrived == shares.qty:
                self._drop_first()
            if used:
                yield shares, used

    def _drop_first(self) -> None:
        if self._deliveries:
            self._deliveries.popleft()
        else:
            heappop(self._settled)
