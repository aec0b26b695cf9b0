"""Sections 5 and 6: the lots of a fail, their deadlines, and the events in time order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.facts import EQUITIES, Event, Facts, Row, is_known

RULE_204T, RULE_204 = date(2008, 9, 18), date(2009, 7, 31)
BOTH, PURCHASE = ("purchase", "borrow"), ("purchase",)
NEVER = datetime(9999, 12, 31)  # noqa: DTZ001 - naive moments are Eastern Time


@dataclass(eq=False)
class Lot:
    """Shares of one settlement date and one holder."""

    index: int
    settlement: date
    trade: date
    sale: str
    whole: int
    qty: int
    left: int
    is_assumed: bool
    holder: str = "participant"
    rule: str = ""
    means: tuple[str, ...] = BOTH
    start: date | None = None
    nominal: date | None = None
    due: date | None = None
    deadline: datetime = NEVER
    covered: int = 0
    is_judged: bool = False
    is_credited: bool = False
    uncured: int = 0
    bought: int = 0
    falls: list[tuple[date, int]] = field(default_factory=list)
    """The days on which shares left the lot."""

    @property
    def opens(self) -> datetime:
        """Return the moment from which the fail exists."""
        return cal.close(self.settlement)

    @property
    def applies(self) -> bool:
        """True when Rule 204 or 204T sets a deadline."""
        return self.due is not None

    def uncovered(self) -> int:
        """Return the open shares that nothing covers."""
        return self.left - self.covered

    def leave(self, shares: int, day: date) -> None:
        """Take shares out of the lot."""
        self.left -= shares
        self.falls.append((day, shares))

    def left_by(self, day: date) -> int:
        """Return the shares that were gone at the end of a day."""
        return sum(shares for when, shares in self.falls if when <= day)

    def by_deadline(self) -> tuple[object, ...]:
        """Return the order of purchases: the earliest deadline, then the oldest."""
        return (self.deadline, self.settlement, *self.by_holder())

    def by_age(self) -> tuple[object, ...]:
        """Return the order of deliveries: the oldest first."""
        return (self.settlement, *self.by_holder())

    def by_holder(self) -> tuple[object, ...]:
        """Return the order of lots of one day: as given; the participant, then each BD."""
        return (self.index, self.holder != "participant", self.holder)


def rule_of(sale: str, trade: date) -> tuple[str, tuple[str, ...], int]:
    """Return rule, means and the day count of a sale type on a trade date (5.2, 5.5)."""
    is_204t = RULE_204T <= trade < RULE_204
    name = "SHO-204T" if is_204t else "SHO-204"
    only = PURCHASE if is_204t else BOTH
    table = {
        "long": ("(a)(1)", only, 3),
        "deemed_to_own": ("(a)(2)", PURCHASE, 36 if is_204t else 35),
        "market_maker": ("(a)(3)", only, 3),
    }
    paragraph, means, days = table.get(sale, ("(a)", BOTH, 1))
    return name + paragraph, means, days


def due_days(lot_settlement: date, trade: date, rule: str, days: int) -> tuple[date, date, date]:
    """Return start, nominal and due day of a rule."""
    if rule != "SHO-204(a)(2)":
        nominal = cal.add(lot_settlement, days, cal.counts_204)
        return lot_settlement, nominal, _opening(nominal)
    nominal = cal.covered(trade + timedelta(days=days))
    if nominal in cal.CLOSINGS:
        return trade, nominal, _opening(nominal)
    return trade, nominal, cal.on_or_before(nominal, cal.trades)


def _opening(day: date) -> date:
    while not cal.trades(day):
        day += cal.DAY
    return day


def applies(facts: Facts) -> bool:
    """True for a fail to deliver an equity security at a clearing agency (5.1)."""
    return facts.is_deliver and facts.venue == "cns" and facts.security_type in EQUITIES


class Ledger:
    """The lots of a fail, and everything that happened to them up to as_of."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.lots: list[Lot] = []
        self.open_at_end: dict[date, int] = {}
        self.position = 0
        self.first_row = cal.FIRST
        self.waiting: list[Event] = []
        self.morning: int | None = None
        """What the first row shows as open at 09:00; None where it does not say."""
        self.begins = NEVER
        self.has_history = bool(facts.history)
        steps = self._steps()
        for moment, _, run in sorted(steps, key=lambda step: step[:2]):
            self._judge(moment)
            run()
        self._judge(facts.as_of)
        self.lots.sort(key=Lot.by_age)

    def _steps(self) -> list[tuple[datetime, int, Callable[[], None]]]:
        facts = self.facts
        steps = [(e.at, 0, lambda e=e: self._event(e)) for e in facts.events]
        if self.has_history:
            steps += self._history_steps()
        else:
            rows = facts.lots or [
                Row(facts.settlement, facts.record["qty"], None, None, None, facts.trade)
            ]
            for row in rows:
                lot = self._open(row, row.date, row.qty, is_assumed=not facts.lots)
                if lot.opens <= facts.as_of:
                    steps.append((lot.opens, 1, lambda lot=lot: self._credit(lot)))
        begin = min((row.date for row in facts.lots), default=facts.settlement)
        if self.has_history:
            begin = min(begin, self.first_row)
        for day in cal.days(begin, facts.last_known, cal.settles):
            steps.append((cal.at(day, 16), 2, lambda day=day: self._probe(day)))
        return steps

    def _history_steps(self) -> list[tuple[datetime, int, Callable[[], None]]]:
        facts, steps = self.facts, []
        rows = {row.date: row for row in facts.history}
        self.first_row, last = min(rows), max(rows)
        first = rows[self.first_row]
        self.morning = first.open_qty
        self.begins = cal.at(self.first_row, 16 if self.morning is None else 9)
        older = first.qty if self.morning is None else self.morning
        if older and facts.settlement < self.first_row:
            self._open(first, facts.settlement, older, is_assumed=True)
        for day in cal.days(self.first_row, last, cal.settles):
            row = rows.get(day)
            if row and row.open_qty is not None:
                steps.append((cal.at(day, 9), 1, lambda row=row: self._snapshot(row)))
            if is_known(day, facts.as_of):
                steps.append((cal.at(day, 16), 1, lambda d=day, row=row: self._end(d, row)))
        return steps

    def _open(self, row: Row | None, day: date, qty: int, *, is_assumed: bool) -> Lot:
        facts = self.facts
        trade = row.trade_date if row else None
        if trade is None:
            trade = facts.trade if day == facts.settlement else cal.trade_date_for(day)
        sale = (row.sale_type if row else None) or facts.sale_type
        assumed = is_assumed and facts.basis == "age_days"
        lot = Lot(len(self.lots), day, trade, sale, qty, qty, qty, assumed)
        lot.rule, lot.means, days = rule_of(sale, trade)
        if applies(facts) and trade >= RULE_204T:
            lot.start, lot.nominal, lot.due = due_days(day, trade, lot.rule, days)
            lot.deadline = cal.at(lot.due, 9, 30)
        else:
            lot.means = BOTH
        self.lots.append(lot)
        return lot

    def _judge(self, moment: datetime) -> None:
        for lot in self.lots:
            if not lot.is_judged and lot.deadline < moment:
                lot.is_judged, lot.uncured = True, lot.uncovered()

    def _waits(self, event: Event) -> bool:
        """True for an event between the end of regular hours and the end-of-day data."""
        day = event.at.date()
        if not self.has_history or not cal.settles(day) or not is_known(day, self.facts.as_of):
            return False
        is_shown = self.first_row <= day <= max(row.date for row in self.facts.history)
        return is_shown and cal.close(day) <= event.at <= cal.at(day, 16)

    def _event(self, event: Event) -> None:
        moves = event.type in ("purchase", "borrow", "allocation")
        if moves and event.settled_on != event.at.date() and self._waits(event):
            self.waiting.append(event)
        else:
            self._apply(event)

    def _apply(self, event: Event) -> None:
        if event.type in ("purchase", "borrow") and event.counts():
            self._cover(event)
        elif event.type == "delivery":
            if self.has_history and event.at <= self.begins:
                return
            event.used = self._lower(event.qty, event.at)  # what left no lot is used up
        elif event.type == "allocation":
            self._allocate(event)

    def _named(self, event: Event) -> list[Lot]:
        name = event.for_settlement_date
        lots = [lot for lot in self.lots if lot.opens <= event.at]
        return sorted(
            (lot for lot in lots if name is None or lot.settlement == name), key=Lot.by_deadline
        )

    def _cover(self, event: Event) -> None:
        lots = [lot for lot in self._named(event) if event.type in lot.means]
        for lot in lots:
            shares = min(event.free(), lot.uncovered())
            self._assign(event, lot, shares)
            if lot.is_judged and event.type == "purchase":
                self._lead_out(event, lot, min(shares, lot.uncured - lot.bought))
        for lot in lots:
            if lot.is_judged and event.type == "purchase":
                shares = min(event.free(), lot.uncured - lot.bought)
                event.assigned += shares
                self._lead_out(event, lot, shares)

    def _assign(self, event: Event, lot: Lot, shares: int) -> None:
        if shares > 0:
            event.assigned += shares
            event.covers.append([lot, shares])
            lot.covered += shares

    def _lead_out(self, event: Event, lot: Lot, shares: int) -> None:
        if shares > 0:
            lot.bought += shares
            event.after_deadline.append((lot, shares))

    def _allocate(self, event: Event) -> None:
        wanted = event.qty
        for lot in self._named(event):
            if lot.holder != "participant" or lot.is_judged or not lot.applies:
                continue
            shares = min(wanted, lot.uncovered())
            if shares <= 0:
                continue
            wanted -= shares
            lot.qty, lot.left = lot.qty - shares, lot.left - shares
            for part in self.lots:
                if part.index == lot.index and part.holder == event.to:
                    part.qty, part.left = part.qty + shares, part.left + shares
                    break
            else:
                part = replace(lot, holder=event.to, qty=shares, left=shares, covered=0, falls=[])
                self.lots.append(part)

    def _lower(self, shares: int, moment: datetime) -> int:
        """Deliver shares: those that nothing covers first, of the oldest lot first; the rest."""
        lots = sorted((lot for lot in self.lots if lot.opens <= moment), key=Lot.by_age)
        for lot in lots:
            taken = min(shares, lot.uncovered())
            lot.leave(taken, moment.date())
            shares -= taken
        for lot in lots:
            taken = min(shares, lot.left)
            lot.leave(taken, moment.date())
            shares -= taken
            self._uncover(lot, taken)
        return shares

    def _uncover(self, lot: Lot, shares: int) -> None:
        lot.covered -= shares
        for event in reversed(self.facts.events):
            for pair in event.covers:
                if pair[0] is lot:
                    taken = min(shares, pair[1])
                    pair[1], shares = pair[1] - taken, shares - taken

    def _arrivals(self, moment: datetime) -> list[tuple[Event, int]]:
        """List the events whose shares have arrived, with the shares that no fall has used."""
        arrived = []
        for event in self.facts.events:
            day = event.settled_on
            if event.type == "delivery":
                day = event.at.date()
            elif event.type not in ("purchase", "borrow") or not event.counts():
                continue
            if day is None or day > moment.date() or event.at > moment:
                continue
            if event.type != "delivery" and not is_known(day, self.facts.as_of):
                continue
            arrived.append((event, event.qty - event.used))
        return sorted(arrived, key=lambda pair: pair[0].type != "delivery")

    def _fall(self, shares: int, moment: datetime) -> None:
        for event, unused in self._arrivals(moment):
            taken = min(shares, unused)
            event.used, shares = event.used + taken, shares - taken
            if event.type == "delivery":
                continue
            for pair in event.covers:
                part = min(taken, pair[1])
                pair[1], taken = pair[1] - part, taken - part
                pair[0].leave(part, moment.date())
                pair[0].covered -= part
            event.assigned += min(taken, event.free())  # used: no share counts twice (6.2)
            self._lower(taken, moment)
        self._lower(shares, moment)

    def _snapshot(self, row: Row) -> None:
        moment = cal.at(row.date, 9)
        if row.date == self.first_row:
            self._use_up(moment)
            self.position = row.open_qty or 0
            return
        self._fall(self.position - (row.open_qty or 0), moment)
        self.position = row.open_qty or 0

    def _use_up(self, moment: datetime) -> None:
        """Take what arrived before the first quantity as a part of it."""
        for event, unused in self._arrivals(moment):
            event.used += unused

    def _end(self, day: date, row: Row | None) -> None:
        moment, before = cal.at(day, 16), self.position
        quantity = row.qty if row else before
        self.position = quantity
        if day == self.first_row and self.morning is None:
            self._use_up(moment)
            new = 0 if any(lot.settlement < day for lot in self.lots) else quantity
        else:
            arrived = sum(unused for _, unused in self._arrivals(moment))
            new = max(0, quantity - max(0, before - arrived))
            if row and row.new is not None:
                new = row.new
            self._fall(before + new - quantity, moment)
        lot = self._open(row, day, new, is_assumed=False) if new else None
        for event in self.waiting:
            self._apply(event)
        self.waiting = []
        if lot:
            self._credit(lot)

    def _credit(self, lot: Lot) -> None:
        """Cure a lot by a purchase or borrow before the fail (204(e), section 7.4)."""
        own = [other for other in self.lots if other.holder == "participant"]
        whole = sum(other.left for other in own if other.settlement <= lot.settlement)
        if not lot.applies or lot.uncovered() == 0:
            return
        for event in self.facts.events:
            is_early = lot.trade < event.at.date() and event.at <= lot.opens
            is_shown = event.counts() and event.net_position in ("flat", "long")
            enough = event.qty >= whole and event.free() >= lot.uncovered()
            is_early &= event.for_settlement_date in (None, lot.settlement)
            if event.type in lot.means and is_early and is_shown and enough:
                self._assign(event, lot, lot.uncovered())
                lot.is_credited = True
                return

    def _probe(self, day: date) -> None:
        self.open_at_end[day] = sum(lot.left for lot in self.lots if lot.settlement <= day)
