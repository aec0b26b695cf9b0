"""What happened to the lots of a fail up to the moment of the clock (sections 6 and 7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from finops_cli.clock.events import Event, read_events, share_event
from finops_cli.clock.facts import Facts
from finops_cli.clock.given_lots import given_lots
from finops_cli.clock.history import Position, read_positions, series_warnings
from finops_cli.clock.lots import PARTICIPANT, Cover, OpenLot, ShareEvent, by_age, by_deadline
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.refusal import Refused, refuse_outside
from finops_cli.clock.rule_204 import deadline_of
from finops_cli.domain.clock_facts import ClockEvent
from finops_cli.kb.chapters.clock import ClockRules

_MEANS = ("purchase", "borrow")


class Replayed(NamedTuple):
    """The lots as of the moment, and the events up to it."""

    lots: list[OpenLot]
    events: list[Event]
    positions: list[Position]
    """The history up to the moment; empty without one."""


@dataclass(slots=True, kw_only=True)
class Replay:
    """The state of a replay: lots, shares on their way, and the netted position."""

    facts: Facts
    calendar: Calendar
    rules: ClockRules
    events: list[Event]
    """The events up to the moment of the clock."""
    lots: list[OpenLot] = field(default_factory=list)
    moving: list[ShareEvent] = field(default_factory=list)
    """Purchases, borrows and deliveries, in the order of time."""
    position: int | None = None

    def advance(self, moment: datetime) -> None:
        """Judge the lots whose deadline lies before `moment`."""
        for lot in self.lots:
            if lot.uncured is None and lot.deadline is not None and lot.deadline.due < moment:
                lot.uncured = 0 if lot.credited else lot.uncovered

    def add_lot(self, day: date, qty: int, sale_type: str, trade: date) -> None:
        """Open a lot that failed on `day`. Raises Refused."""
        try:
            deadline = deadline_of(trade, day, sale_type, self.calendar, self.rules)
        except OutsideCalendar as error:
            raise refuse_outside("settlement_date", error) from error
        lot = OpenLot(
            settlement=day,
            trade=trade,
            sale_type=sale_type,
            qty=qty,
            open=qty,
            deadline=deadline if self.has_duty else None,
        )
        self.lots.append(lot)
        self._credit_before_fail(lot)

    def _credit_before_fail(self, lot: OpenLot) -> None:
        """Give the pre-fail credit of 204(e): all of its conditions, or nothing (section 7.4)."""
        if lot.deadline is None:
            return
        ends = self.ends_regular_hours(lot.settlement)
        whole = sum(each.open for each in self.lots if each.settlement <= lot.settlement)
        for event in self.events:
            if event.given.type != "purchase" or event.at > ends or event.at.date() <= lot.trade:
                continue
            missing = _missing_for_credit(event, whole)
            if missing:
                lot.evidence.append(f"no pre-fail credit for {event.label}: {missing}")
            else:
                lot.credited = True
                lot.evidence.append(f"pre-fail credit, 204(e): {event.label}")

    @property
    def has_duty(self) -> bool:
        """True if Rule 204 is about this fail (section 5.1)."""
        facts = self.facts
        return facts.owes_delivery and facts.venue == "cns" and facts.is_equity

    def buy(self, event: Event, shares: ShareEvent) -> None:
        """Assign a purchase or borrow to lots: each share once."""
        self.moving.append(shares)
        if shares.refused is not None:
            self._note(self._eligible(shares), shares.refused)
            return
        for lot in by_deadline(self._eligible(shares)):
            if not self._is_allowed(lot, shares):
                continue
            wanted = lot.wanting if shares.kind == "purchase" else lot.uncovered
            taken = min(wanted, shares.qty - shares.used)
            if taken <= 0:
                continue
            shares.used += taken
            lot.evidence.append(_describe(shares, taken))
            if lot.is_breached and shares.kind == "purchase":
                lot.bought_after.append(Cover(event=shares, qty=taken))
            covered = min(taken, lot.uncovered)
            if covered:
                lot.covers.append(Cover(event=shares, qty=covered))

    def _eligible(self, shares: ShareEvent) -> list[OpenLot]:
        """The lots that a purchase or borrow can be for: those that had failed by then."""
        return [
            lot
            for lot in self.lots
            if (shares.lot_named is None or lot.settlement == shares.lot_named)
            and self.ends_regular_hours(lot.settlement) <= shares.at
        ]

    def ends_regular_hours(self, day: date) -> datetime:
        """The end of regular trading hours of `day`."""
        times = self.rules.times
        early = self.calendar.facts(day).early_close
        return datetime.combine(day, times.early_close if early else times.close)

    @staticmethod
    def _is_allowed(lot: OpenLot, shares: ShareEvent) -> bool:
        return lot.deadline is None or shares.kind in lot.deadline.remedy

    @staticmethod
    def _note(lots: list[OpenLot], text: str) -> None:
        for lot in lots:
            lot.evidence.append(text)

    def deliver(self, shares: ShareEvent) -> None:
        """Lower the oldest lots by shares that left at a known time."""
        left = shares.qty
        for lot in by_age(self.lots):
            taken = left - lot.take_delivery(left)
            left -= taken
            if taken:
                lot.evidence.append(_describe(shares, taken))
        shares.used = shares.qty - left
        self.moving.append(shares)

    def allocate(self, event: Event) -> None:
        """Move a part of lots that are not breached to a broker-dealer (204(d))."""
        given: ClockEvent = event.given
        left, to = event.qty, given.to or ""
        named = given.for_settlement_date
        for lot in by_deadline(self.lots):
            if named is not None and lot.settlement != date.fromisoformat(named):
                continue
            if lot.holder != PARTICIPANT or lot.uncured is not None:
                continue
            taken = min(left, lot.uncovered)
            if not taken:
                continue
            left -= taken
            lot.qty -= taken
            lot.open -= taken
            lot.evidence.append(f"{taken:,} allocated to {to}")
            self._join(lot, to, taken, event.label)

    def _join(self, lot: OpenLot, holder: str, qty: int, label: str) -> None:
        for other in self.lots:
            same = (other.settlement, other.holder, other.sale_type) == (
                lot.settlement,
                holder,
                lot.sale_type,
            )
            if same and other.trade == lot.trade:
                other.qty += qty
                other.open += qty
                other.evidence.append(label)
                return
        self.lots.append(
            OpenLot(
                settlement=lot.settlement,
                trade=lot.trade,
                sale_type=lot.sale_type,
                qty=qty,
                open=qty,
                deadline=lot.deadline,
                holder=holder,
                evidence=[label],
            )
        )

    def fall(self, qty: int, day: date) -> None:
        """Lower the position by `qty`: shares of known events first, then a delivery."""
        for shares in self._arrived(day):
            taken = min(qty, shares.used - shares.arrived)
            shares.arrived += taken
            qty -= taken
            if shares.kind == "delivery":
                continue
            left = taken
            for lot in by_deadline(self.lots):
                left = lot.take_arrival(shares, left)
            self._deliver_unnamed(left)
        self._deliver_unnamed(qty)

    def arrived_shares(self, day: date) -> int:
        """Shares of known events that arrived by `day` and that no earlier fall used."""
        return sum(shares.used - shares.arrived for shares in self._arrived(day))

    def _arrived(self, day: date) -> list[ShareEvent]:
        return [
            shares
            for shares in self.moving
            if shares.used > shares.arrived
            and (
                shares.at.date() <= day
                if shares.kind == "delivery"
                else shares.settled_on is not None and shares.settled_on <= day
            )
        ]

    def _deliver_unnamed(self, qty: int) -> None:
        for lot in by_age(self.lots):
            qty = lot.take_delivery(qty)


def replay(facts: Facts, calendar: Calendar, rules: ClockRules) -> Replayed:
    """Replay the events and the history of a fail. Raises Refused."""
    moment = facts.as_of.moment
    events = read_events(facts.given.events, calendar)
    known = [event for event in events if event.at <= moment]
    state = Replay(facts=facts, calendar=calendar, rules=rules, events=known)
    positions = read_positions(facts, calendar, rules)
    if not facts.given.fail_history:
        _open_given_lots(state)
    for at, item in _in_order(known, positions):
        state.advance(at)
        if isinstance(item, Event):
            _apply(state, item, moment)
        else:
            _move_position(state, item)
    state.advance(moment)
    if facts.given.fail_history:
        facts.warnings += series_warnings(facts, positions, calendar, rules)
    return Replayed(state.lots, known, positions)


def _in_order(
    events: list[Event], positions: list[Position]
) -> Iterator[tuple[datetime, Event | Position]]:
    """Yield events and positions by moment; at one moment, events first."""
    merged: list[tuple[datetime, int, int, Event | Position]] = [
        *((event.at, 0, place, event) for place, event in enumerate(events)),
        *((found.at, 1, place, found) for place, found in enumerate(positions)),
    ]
    for at, _, _, item in sorted(merged, key=lambda each: each[:3]):
        yield at, item


def _open_given_lots(state: Replay) -> None:
    for lot in given_lots(state.facts, state.calendar, state.rules):
        state.add_lot(lot.settlement, lot.qty, lot.sale_type, lot.trade)


def _apply(state: Replay, event: Event, moment: datetime) -> None:
    kind = event.given.type
    if kind in _MEANS:
        state.buy(event, share_event(event, moment, state.rules.times.close))
    elif kind == "delivery":
        state.deliver(share_event(event, moment, state.rules.times.close))
    elif kind == "allocation":
        state.allocate(event)


def _move_position(state: Replay, found: Position) -> None:
    """Bring the lots to the quantity of a history row (section 6.1)."""
    before = state.position
    if before is None:
        if found.is_snapshot:
            return
        state.position = found.qty
        if found.qty:
            lot_day = found.first_settlement or found.day
            state.add_lot(lot_day, found.qty, found.sale_type, found.trade_date)
        return
    new = found.new
    if new is None:
        rest = max(0, before - state.arrived_shares(found.day))
        new = 0 if found.is_snapshot else max(0, found.qty - rest)
    fell = before + new - found.qty
    if fell < 0:
        raise Refused(found.field, found.qty, f"at most {before + new:,}", "clock.strictest")
    state.fall(fell, found.day)
    if new:
        state.add_lot(found.day, new, found.sale_type, found.trade_date)
    state.position = found.qty


def _missing_for_credit(event: Event, whole: int) -> str:
    given = event.given
    faults = []
    if given.bona_fide is False:
        faults.append("not bona fide")
    if event.qty < whole:
        faults.append(f"less than the whole fail of {whole:,}")
    if given.net_position not in ("long", "flat"):
        faults.append("net flat or long not shown")
    return ", ".join(faults)


def _describe(shares: ShareEvent, taken: int) -> str:
    text = f"{taken:,} by {shares.label}"
    if shares.kind in _MEANS and not shares.shown_flat:
        text += "; net flat or long not shown"
    return text
