"""The lots of a fail and their events, replayed up to the moment of the clock (6 and 7.4)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from heapq import heappop, heappush
from operator import attrgetter
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
from finops_cli.clock.lots import GivenLot, OpenLot, ShareEvent, given_lots
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.refusal import Refused, refuse_outside
from finops_cli.clock.replay_queues import Arrivals, LotQueues, Want
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
    queues: LotQueues = field(default_factory=LotQueues)
    """The lots that have failed."""
    judging: list[tuple[datetime, int, OpenLot]] = field(default_factory=list)
    """A heap of the lots whose deadline has not passed, the earliest deadline first."""
    parts: dict[tuple[int, str], OpenLot] = field(default_factory=dict)
    """The parts of lots that were allocated, by lot and holder."""
    moving: list[ShareEvent] = field(default_factory=list)
    """Purchases, borrows and deliveries so far, in the order of time."""
    bought: list[ShareEvent] = field(default_factory=list)
    """The purchases and borrows of `moving`."""
    arrivals: Arrivals = field(default_factory=Arrivals)
    position: int | None = None
    """The open shares by the history; None before its first row."""
    shown_days: frozenset[date] = frozenset()
    """The days whose closing position the history shows, gaps included."""
    unused: list[str] = field(default_factory=list)
    """Allocations that moved less than they say, with the reason."""
    held: list[Callable[[], None]] = field(default_factory=list)
    """Events of the day that wait for the lots which the close of the day opens."""

    def advance(self, moment: datetime) -> None:
        """Take in the lots that have failed by `moment`, and judge those whose deadline is over."""
        self.queues.open_until(moment)
        while self.judging and self.judging[0][0] < moment:
            lot = heappop(self.judging)[2]
            lot.uncured = lot.uncovered
            self.queues.renew(lot)

    def _keep(self, lot: OpenLot) -> None:
        if lot.deadline is not None:
            heappush(self.judging, (lot.deadline.due, len(self.lots), lot))
        self.lots.append(lot)

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
        self._keep(lot)
        self.queues.add(lot)
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
            else:
                self.bought.append(shares)
                if shares.settled_on == event.at.date():
                    self._buy(shares)  # the position at the close has these shares already
                else:
                    self._hold(event.at, partial(self._buy, shares))
            self.arrivals.add(shares)

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

    def _why_none(self, named: date | None) -> str:
        """Say why no lot is there for an event."""
        if not self.queues.has_failed(named):
            what = "nothing" if named is None else f"no lot of {named}"
            return f"{what} had failed at that time"
        return "no share is left to close out"

    def _buy(self, shares: ShareEvent) -> None:
        """Assign a purchase or borrow to lots: each share once."""
        queues, named = self.queues, shares.lot_named
        shares.unused = self._why_none(named)
        if shares.refused is not None:
            for lot in queues.find(Want.PRESENT, named):
                add_note(lot, shares, shares.refused)
            return
        if queues.has(Want.PRESENT, named):
            is_box_open = queues.has(Want.UNBOUGHT, named)
            shares.unused = explain_no_need(shares, is_box_open=is_box_open)
        for lot in queues.find(Want.UNCOVERED, named):
            if not shares.free:
                return
            if not is_met_by(lot, shares):
                add_note(lot, shares, explain_bar(lot, shares))
                continue
            taken = min(shares.free, lot.uncovered)
            lot.cover(shares, taken)
            add_note(lot, shares, describe(shares, taken))
            self._lead_out(lot, shares, taken)
        if shares.kind != "purchase":
            return
        for lot in queues.find(Want.UNBOUGHT, named):  # gone, and still to be bought (7.1)
            if not shares.free:
                return
            taken = min(shares.free, lot.wanting)
            shares.assigned += taken
            add_note(lot, shares, describe(shares, taken))
            self._lead_out(lot, shares, taken)

    @staticmethod
    def _lead_out(lot: OpenLot, shares: ShareEvent, qty: int) -> None:
        if lot.is_breached and shares.kind == "purchase" and (led := min(qty, lot.wanting)):
            lot.buy_after(shares, led)

    def _deliver(self, shares: ShareEvent) -> None:
        """Lower the oldest lots by shares that left at a known time."""
        if self.has_history and self.position is None:
            shares.unused = "the history begins later"
            return
        shares.unused = self._why_none(None)
        gone = self.queues.deliver(shares.qty, shares.at)
        shares.arrived = shares.qty - sum(gone.values())  # no fall uses what left no lot
        for lot, qty in gone.items():
            add_note(lot, shares, describe(shares, qty))

    def _allocate(self, event: Event) -> None:
        """Move a part of lots that are not judged yet to a broker-dealer (204(d))."""
        given, left = event.given, event.qty
        day = given.for_settlement_date
        named = None if day is None else date.fromisoformat(day)
        why = self._why_not_allocated(named)
        moved = []
        for lot in self.queues.find(Want.ALLOCABLE, named):
            if not left:
                break
            taken = min(left, lot.uncovered)
            left -= taken
            lot.qty -= taken
            lot.open -= taken
            self.queues.count_lowered(lot, taken)
            lot.evidence.append(f"{taken:,} allocated to {given.to}")
            moved.append((lot, taken))
        for lot, taken in moved:
            self._join(lot, given.to or "", taken, event.label)
        if left:
            self.unused.append(f"{event.label}: {left:,} shares are not allocated: {why}")

    def _why_not_allocated(self, named: date | None) -> str:
        """Say why shares of an allocation stay where they are, if some do."""
        first = next(self.queues.find(Want.OWN, named), None)
        if first is None:
            return self._why_none(named)
        is_judged = not self.queues.has(Want.OWN_UNJUDGED, named)
        return explain_allocation(first, is_judged=is_judged)

    def _join(self, lot: OpenLot, holder: str, qty: int, label: str) -> None:
        part = self.parts.get((lot.index, holder))
        if part is not None:
            part.qty += qty
            part.open += qty
            part.evidence.append(label)
            self.queues.renew(part)
            return
        part = replace(
            lot,
            holder=holder,
            qty=qty,
            whole=qty,
            open=qty,
            covers=[],
            covered=0,
            bought_after=[],
            delivered=[],
            evidence=[label],
        )
        self.parts[lot.index, holder] = part
        self._keep(part)
        self.queues.take_in(part)

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
            new = max(0, found.qty - max(0, before - self.arrivals.count(found.at)))
        fell = before + new - found.qty
        if fell < 0:
            raise Refused(found.field, found.qty, f"at most {before + new:,}", "clock.strictest")
        self._fall(fell, found.at)
        return self._open_new(found, new) if new else None

    def _open_new(self, found: Position, qty: int) -> OpenLot:
        lot = self.open_lot(found.lot_of(qty), is_assumed=False)
        self.queues.open_until(found.at)
        return lot

    def _begin(self, found: Position) -> OpenLot | None:
        """Take the first row as the fail's first quantity; return its lot if it is a new one."""
        for _ in self.arrivals.use(self.arrivals.count(found.at), found.at):
            pass  # a part of the first quantity
        if found.first_settlement is None and found.qty:
            return self._open_new(found, found.qty)
        return None

    def _fall(self, qty: int, at: datetime) -> None:
        """Lower the position: shares of known events first, then a delivery."""
        for shares, used in self.arrivals.use(qty, at):
            shares.unused = None
            qty -= used
            if shares.kind != "delivery":
                self.queues.arrive(shares, used, at)
        self.queues.deliver(qty, at)

    def credit(self, lot: OpenLot) -> None:
        """Give the pre-fail credit of 204(e): all of its conditions, or nothing (section 7.4)."""
        if lot.deadline is None:
            return
        whole = self.queues.whole
        morrow = datetime.combine(lot.trade + timedelta(1), time.min)
        first = bisect_left(self.bought, morrow, key=attrgetter("at"))
        last = bisect_right(self.bought, lot.opens, key=attrgetter("at"))
        for shares in self.bought[first:last]:
            if not lot.uncovered:
                return
            if not is_met_by(lot, shares):
                add_note(lot, shares, explain_bar(lot, shares))
                continue
            missing = find_missing(lot, shares, whole)
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
