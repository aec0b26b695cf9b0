"""The lots of a fail and their events, replayed up to the moment of the clock (6 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import NamedTuple

from finops_cli.clock.event_notes import (
    MEANS,
    add_note,
    describe,
    explain_allocation,
    explain_bar,
    explain_no_need,
    find_missing,
    is_met_by,
)
from finops_cli.clock.events import Event, lacks_hour, read_events, share_event
from finops_cli.clock.facts import Facts
from finops_cli.clock.history import Position, read_positions, series_warnings
from finops_cli.clock.lots import (
    PARTICIPANT,
    Cover,
    GivenLot,
    OpenLot,
    ShareEvent,
    by_deadline,
    deliver,
    given_lots,
)
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.refusal import Refused, refuse_outside
from finops_cli.clock.rule_204 import Deadline, deadline_of, rule_of
from finops_cli.kb.chapters.clock import ClockRules


class Replayed(NamedTuple):
    """The lots as of the moment, and the events up to it."""

    lots: list[OpenLot]
    events: list[Event]
    positions: list[Position]
    """The history up to the moment; empty without one."""


class _Step(NamedTuple):
    """Something that happens at a moment; at one moment, events (rank 0) come first."""

    at: datetime
    rank: int
    run: Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Replay:
    """The state of a replay: lots, shares on their way, and the netted position."""

    facts: Facts
    calendar: Calendar
    rules: ClockRules
    lots: list[OpenLot] = field(default_factory=list)
    has_history: bool = False
    moving: list[ShareEvent] = field(default_factory=list)
    """Purchases, borrows and deliveries so far, in the order of time."""
    position: int | None = None
    """The open shares by the history; None before its first row."""
    shown_days: frozenset[date] = frozenset()
    """The days whose closing position the history shows, gaps included."""
    unused: list[str] = field(default_factory=list)
    """Allocations that moved less than they say, with the reason."""
    held: list[Callable[[], None]] = field(default_factory=list)
    """Events of the day that wait for the lots which the close of the day opens."""

    def advance(self, moment: datetime) -> None:
        """Judge the lots whose deadline lies before `moment`."""
        for lot in self.lots:
            if lot.uncured is None and lot.deadline is not None and lot.deadline.due < moment:
                lot.uncured = lot.uncovered

    def open_lot(self, given: GivenLot, is_assumed: bool) -> OpenLot:
        """Open a lot. Raises Refused."""
        deadline = self._deadline_of(given) if self.facts.has_close_out_duty else None
        rule, kb = rule_of(given.trade, given.sale_type, self.rules)
        lot = OpenLot(
            index=len(self.lots),
            settlement=given.settlement,
            trade=given.trade,
            sale_type=given.sale_type,
            qty=given.qty,
            whole=given.qty,
            open=given.qty,
            opens=self.ends_regular_hours(given.settlement),
            rule=rule,
            kb=kb,
            deadline=deadline,
            is_assumed=is_assumed,
        )
        self.lots.append(lot)
        return lot

    def _deadline_of(self, given: GivenLot) -> Deadline | None:
        try:
            return deadline_of(
                given.trade,
                given.settlement,
                given.sale_type,
                calendar=self.calendar,
                rules=self.rules,
            )
        except OutsideCalendar as error:
            raise refuse_outside("settlement_date", error) from error

    def ends_regular_hours(self, day: date) -> datetime:
        """The end of regular trading hours of `day`."""
        times = self.rules.times
        early = self.calendar.facts(day).early_close
        return datetime.combine(day, times.early_close if early else times.close)

    def take(self, event: Event) -> None:
        """Apply an event to the lots."""
        kind = event.given.type
        if kind == "allocation":
            self._hold(event.at, partial(self._allocate, event))
        elif kind in (*MEANS, "delivery"):
            shares = share_event(event, self.facts.as_of.moment, self.rules.times.close)
            self.moving.append(shares)
            if kind == "delivery":
                self._deliver(shares)
            elif shares.settled_on == event.at.date():
                self._buy(shares)  # the position at the close has these shares already
            else:
                self._hold(event.at, partial(self._buy, shares))

    def _hold(self, at: datetime, step: Callable[[], None]) -> None:
        """Run `step`, at the close of the day if the history shows only then what has failed.

        A fail exists from the end of regular hours; the history knows it from the close on.
        """
        day = at.date()
        is_known_later = day in self.shown_days and self.ends_regular_hours(day) <= at
        if is_known_later and at <= datetime.combine(day, self.rules.times.close):
            self.held.append(step)
        else:
            step()

    def _existing(self, at: datetime, named: date | None) -> list[OpenLot]:
        """The lots that have failed by `at` and want shares, in the order of their deadlines."""
        return by_deadline(
            lot
            for lot in self.lots
            if (lot.open or lot.wanting > 0) and lot.opens <= at and named in (None, lot.settlement)
        )

    def _why_none(self, at: datetime, named: date | None) -> str:
        """Say why no lot is there for an event."""
        failed = [lot for lot in self.lots if lot.opens <= at]
        if named is not None and all(lot.settlement != named for lot in failed):
            return f"no lot of {named} had failed at that time"
        return "no share is left to close out" if failed else "nothing had failed at that time"

    def _buy(self, shares: ShareEvent) -> None:
        """Assign a purchase or borrow to lots: each share once."""
        lots = self._existing(shares.at, shares.lot_named)
        shares.unused = self._why_none(shares.at, shares.lot_named)
        if shares.refused is not None:
            for lot in lots:
                add_note(lot, shares, shares.refused)
            return
        if lots:
            shares.unused = explain_no_need(lots, shares)
        for lot in lots:
            if taken := min(shares.free, lot.uncovered):
                if not is_met_by(lot, shares):
                    add_note(lot, shares, explain_bar(lot, shares))
                    continue
                lot.cover(shares, taken)
                add_note(lot, shares, describe(shares, taken))
                self._lead_out(lot, shares, taken)
        for lot in lots:  # shares that are gone already must still be bought (section 7.1)
            taken = min(shares.free, lot.wanting) if shares.kind == "purchase" else 0
            if taken > 0:
                shares.assigned += taken
                add_note(lot, shares, describe(shares, taken))
                self._lead_out(lot, shares, taken)

    @staticmethod
    def _lead_out(lot: OpenLot, shares: ShareEvent, qty: int) -> None:
        if lot.is_breached and shares.kind == "purchase" and (led := min(qty, lot.wanting)):
            lot.bought_after.append(Cover(shares, led))

    def _deliver(self, shares: ShareEvent) -> None:
        """Lower the oldest lots by shares that left at a known time."""
        if self.has_history and self.position is None:
            shares.unused = "the history begins later"
            return
        lots = self._existing(shares.at, None)
        shares.unused = self._why_none(shares.at, None)
        before = {id(lot): lot.open for lot in lots}
        shares.arrived = deliver(lots, shares.qty, shares.at)  # no fall uses what left no lot
        for lot in lots:
            if gone := before[id(lot)] - lot.open:
                add_note(lot, shares, describe(shares, gone))

    def _allocate(self, event: Event) -> None:
        """Move a part of lots that are not judged yet to a broker-dealer (204(d))."""
        given, left = event.given, event.qty
        named = given.for_settlement_date
        day = None if named is None else date.fromisoformat(named)
        lots = [lot for lot in self._existing(event.at, day) if lot.holder == PARTICIPANT]
        for lot in lots:
            is_free = lot.uncured is None and lot.deadline is not None
            taken = min(left, lot.uncovered) if is_free else 0
            if taken:
                left -= taken
                lot.qty -= taken
                lot.open -= taken
                lot.evidence.append(f"{taken:,} allocated to {given.to}")
                self._join(lot, given.to or "", taken, event.label)
        if left:
            why = explain_allocation(lots) or self._why_none(event.at, day)
            self.unused.append(f"{event.label}: {left:,} shares are not allocated: {why}")

    def _join(self, lot: OpenLot, holder: str, qty: int, label: str) -> None:
        for other in self.lots:
            if other.holder == holder and other.index == lot.index:
                other.qty += qty
                other.open += qty
                other.evidence.append(label)
                return
        part = replace(
            lot,
            holder=holder,
            qty=qty,
            whole=qty,
            open=qty,
            covers=[],
            bought_after=[],
            delivered=[],
            evidence=[label],
        )
        self.lots.append(part)

    def move_to(self, found: Position) -> None:
        """Bring the lots to the quantity of a history row, or of a day without one (6.1)."""
        before = self.position
        self.position = found.qty
        lot = self._begin(found) if before is None else self._change(found, before)
        held, self.held = self.held, []
        for step in held:
            step()
        if lot is not None:
            self.credit(lot)

    def _change(self, found: Position, before: int) -> OpenLot | None:
        """Lower the lots from the position `before`; return the lot that failed new, if any."""
        new = found.new
        if new is None:
            arrived = sum(shares.qty - shares.arrived for shares in self._arrived(found.at))
            new = max(0, found.qty - max(0, before - arrived))
        fell = before + new - found.qty
        if fell < 0:
            raise Refused(found.field, found.qty, f"at most {before + new:,}", "clock.strictest")
        self._fall(fell, found.at)
        return self.open_lot(found.lot_of(new), is_assumed=False) if new else None

    def _begin(self, found: Position) -> OpenLot | None:
        """Take the first row as the fail's first quantity; return its lot if it is a new one."""
        for shares in self._arrived(found.at):
            shares.arrived = shares.qty
        if found.first_settlement is None and found.qty:
            return self.open_lot(found.lot_of(found.qty), is_assumed=False)
        return None

    def _fall(self, qty: int, at: datetime) -> None:
        """Lower the position: shares of known events first, then a delivery."""
        for shares in self._arrived(at):
            if not qty:
                return
            used = min(qty, shares.qty - shares.arrived)
            shares.arrived += used
            shares.unused = None
            qty -= used
            if shares.kind == "delivery":
                continue
            rest = used
            for lot in by_deadline(lot for lot in self.lots if lot.covers):
                rest = lot.take_arrival(shares, rest, at)
            deliver(self.lots, rest, at)
        deliver(self.lots, qty, at)

    def _arrived(self, moment: datetime) -> list[ShareEvent]:
        """The events whose shares have arrived and that no fall has used up: deliveries first."""
        found = [
            shares
            for shares in self.moving
            if shares.qty > shares.arrived
            and shares.refused is None
            and (
                shares.kind == "delivery"
                or (shares.settled_on is not None and shares.settled_on <= moment.date())
            )
        ]
        return sorted(found, key=lambda shares: shares.kind != "delivery")

    def credit(self, lot: OpenLot) -> None:
        """Give the pre-fail credit of 204(e): all of its conditions, or nothing (section 7.4)."""
        if lot.deadline is None:
            return
        whole = sum(
            each.open
            for each in self.lots
            if each.holder == PARTICIPANT and each.settlement <= lot.settlement
        )
        for shares in self.moving:
            if not lot.uncovered:
                return
            is_early = lot.trade < shares.at.date() and shares.at <= lot.opens
            if shares.kind not in MEANS or not is_early:
                continue
            if not is_met_by(lot, shares):
                add_note(lot, shares, explain_bar(lot, shares))
                continue
            missing = find_missing(shares, whole, lot.uncovered)
            if missing:
                add_note(lot, shares, f"no pre-fail credit for {shares.label}: {missing}")
            else:
                lot.credited = True
                add_note(lot, shares, f"pre-fail credit, 204(e): {shares.label}")
                lot.cover(shares, lot.uncovered)


def replay(facts: Facts, calendar: Calendar, rules: ClockRules) -> Replayed:
    """Replay the events and the history of a fail. Raises Refused."""
    state = Replay(facts=facts, calendar=calendar, rules=rules)
    moment = facts.as_of.moment
    given = read_events(facts.given.events, calendar, rules.times)
    events = [event for event in given if event.at <= moment]
    facts.assumptions += [
        f"{event.label}: no hour was given, the end of the day is taken"
        for event in events
        if lacks_hour(event.given)
    ]
    positions = read_positions(facts, calendar, rules)
    steps = [_Step(event.at, 0, partial(state.take, event)) for event in events]
    if positions:
        state.has_history = True
        state.shown_days = frozenset(each.day for each in positions if not each.is_snapshot)
        steps += [_Step(each.at, 1, partial(state.move_to, each)) for each in positions]
        _open_late_history(state, positions[0])
    else:
        steps += _open_given(state, moment)
    for step in sorted(steps, key=lambda step: (step.at, step.rank)):
        state.advance(step.at)
        step.run()
    state.advance(moment)
    facts.warnings += [f"event.not_counted: {text}" for text in _unused_events(state)]
    if positions:
        facts.warnings += series_warnings(facts, positions, calendar, rules)
    return Replayed(state.lots, events, positions)


def _open_late_history(state: Replay, first: Position) -> None:
    """Date the first quantity from the settlement date, if the rows begin later."""
    if first.first_settlement is not None and first.qty:
        given = first.lot_of(first.qty)._replace(settlement=first.first_settlement)
        state.open_lot(given, is_assumed=state.facts.basis == "age_days")


def _open_given(state: Replay, moment: datetime) -> list[_Step]:
    """Open the lots of the record; return the steps that give their pre-fail credit."""
    facts = state.facts
    assumed = facts.basis == "age_days" and not facts.given.lots
    steps = []
    for given in given_lots(facts, state.calendar, state.rules):
        lot = state.open_lot(given, assumed)
        if facts.given.events and lot.opens <= moment:
            steps.append(_Step(lot.opens, 1, partial(state.credit, lot)))
    return steps


def _unused_events(state: Replay) -> list[str]:
    """The events that changed nothing and that no evidence names, each with the reason."""
    idle = [shares for shares in state.moving if shares.unused is not None]
    return [
        *state.unused,
        *(shares.refused or f"{shares.label} does not count: {shares.unused}" for shares in idle),
    ]
