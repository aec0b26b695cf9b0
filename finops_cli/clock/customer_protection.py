"""Customer protection (15c3-3) and the rights to buy in (section 9)."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, time
from itertools import accumulate
from typing import Literal, NamedTuple

from finops_cli.clock.close_out import state_by_day
from finops_cli.clock.events import Event
from finops_cli.clock.facts import Facts
from finops_cli.clock.lots import PARTICIPANT, OpenLot, by_age
from finops_cli.clock.market_calendar import Calendar, Counter
from finops_cli.clock.replay import Replayed
from finops_cli.clock.rule_204 import weakest
from finops_cli.domain.clock import Obligation, Right, State
from finops_cli.domain.confidence import Confidence
from finops_cli.kb.chapters.clock import ClockRules

_OWNED_SALES = ("long", "deemed_to_own")
_CUSTOMER_DELIVERY, _RECEIPT = "customer_delivery", "receipt"
"""The types of event that cure a duty."""


class _Term(NamedTuple):
    rule: str
    kb: str
    due: date
    nominal: date
    counter: Counter
    counting: str
    basis: str
    cure: str
    """The type of event that cures."""
    notes: tuple[str, ...]


class _Filings(NamedTuple):
    """The receipts and the requests for more time, in the order of time."""

    days: list[date]
    totals: list[int]
    """The shares of the first events; one number more than there are days."""
    labels: tuple[str, ...]
    extensions: list[Event]

    def came_by(self, day: date) -> int:
        """The shares that came in up to the end of `day`."""
        return self.totals[bisect_right(self.days, day)]


def customer_duties(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[Obligation]:
    """The duty of 15c3-3 that this fail has: to get the securities in, or to ask for time."""
    given = facts.given
    if not facts.is_under("15c3-3"):
        return []
    lots = [lot for lot in by_age(found.lots) if lot.holder == PARTICIPANT]
    if facts.owes_delivery:
        if not given.customer:
            return []
        lots = [lot for lot in lots if lot.sale_type in _OWNED_SALES]
    elif given.customer is False:
        return []
    elif given.customer is None:
        facts.assumptions.append("customer absent: allocated to a customer's long position")
    filed = _read_filings(facts, found)
    duties, earlier = [], 0
    for lot in lots:
        term = _term(lot.settlement, facts, calendar, rules)
        duties.append(
            _duty(term, lot, earlier, facts=facts, filed=filed, calendar=calendar, rules=rules)
        )
        earlier += lot.whole
    return duties


def _read_filings(facts: Facts, found: Replayed) -> _Filings:
    """The events up to the moment that the duties of a fail look at, read once for all lots."""
    cure = _CUSTOMER_DELIVERY if facts.owes_delivery else _RECEIPT
    came = [event for event in found.events if event.given.type == cure]
    return _Filings(
        days=[event.at.date() for event in came],
        totals=[0, *accumulate(event.qty for event in came)],
        labels=tuple(event.label for event in came),
        extensions=[event for event in found.events if event.given.type == "extension"],
    )


def _term(start: date, facts: Facts, calendar: Calendar, rules: ClockRules) -> _Term:
    given = facts.given
    if facts.owes_delivery:
        days = rules.possession_business_days
        due = calendar.add(start, days, "business")
        return _Term(
            rule="15c3-3(m)",
            kb="clock.15c3_3m",
            due=due,
            nominal=due,
            counter="business",
            counting="business days",
            basis=f"{days} business days after settlement date",
            cure=_CUSTOMER_DELIVERY,
            notes=(),
        )
    notes: tuple[str, ...] = ()
    if given.customer is None:
        notes = ("customer absent: taken as allocated to a customer's long position",)
    is_distribution = given.receivable == "distribution"
    days = rules.distribution_calendar_days if is_distribution else rules.receive_calendar_days
    nominal = calendar.add(start, days, "calendar")
    due = calendar.on_or_before(nominal, "business")
    if due != nominal:
        notes = (*notes, f"{nominal} is not a business day: the last one before it")
    return _Term(
        rule="15c3-3(d)(3)" if is_distribution else "15c3-3(d)(2)",
        kb="clock.15c3_3d3" if is_distribution else "clock.15c3_3d2",
        due=due,
        nominal=nominal,
        counter="calendar",
        counting="calendar days",
        basis=f"{days} calendar days after settlement date",
        cure=_RECEIPT,
        notes=notes,
    )


def _duty(
    term: _Term,
    lot: OpenLot,
    earlier: int,
    *,
    facts: Facts,
    filed: _Filings,
    calendar: Calendar,
    rules: ClockRules,
) -> Obligation:
    """The duty of one lot; `earlier` shares of what came are for older lots."""
    due, notes = _extend(term, filed.extensions)
    qty = lot.whole
    left = max(qty - max(filed.came_by(due) - earlier, 0), 0)
    if not facts.owes_delivery and (received := lot.gone_by(datetime.combine(due, time.max))):
        # Events and the position tell of the same shares: the fewer that are left count.
        left = min(left, qty - received)
        notes.append(f"{received:,} received up to {due}, by the position")
    day = facts.as_of.day
    state = _state(left, day, due, lot.settlement)
    source = rules.sources[term.kb]
    is_unsure = calendar.is_unsure(lot.settlement, term.due, term.counter)
    reading: tuple[Confidence, ...] = ("interpretation",)
    readings = reading if is_unsure or term.due != term.nominal else ()
    return Obligation(
        rule=term.rule,
        kind="duty",
        citation=source.citation,
        kb=source.kb,
        basis=term.basis,
        lot=str(lot.settlement),
        holder=PARTICIPANT,
        qty=qty,
        open_qty=left,
        start_date=str(lot.settlement),
        nominal_date=str(term.nominal),
        due_date=str(due),
        due_time=None,
        counting=term.counting,
        days_left=None if state == "cured" else calendar.count(day, due, term.counter),
        state=state,
        remedy=(term.cure, "extension"),
        assumed=("settlement_date",) if lot.is_assumed else (),
        evidence=(*notes, *filed.labels),
        alternatives=(),
        confidence=weakest([source.confidence, *readings]),
    )


def _extend(term: _Term, extensions: list[Event]) -> tuple[date, list[str]]:
    """The due day after the extensions that were filed in time."""
    due, notes = term.due, list(term.notes)
    for event in extensions:
        given = event.given
        if given.rule != term.rule or given.until is None:
            continue
        until = date.fromisoformat(given.until)
        if event.at.date() > due:
            notes.append(f"{event.label} does not count: filed after {due}")
        elif until <= due:
            notes.append(f"{event.label} does not count: {until} is not after {due}")
        else:
            due = until
            notes.append(f"{event.label}: extended to {until}")
    return due, notes


def _state(left: int, day: date, due: date, settlement: date) -> State:
    if day < settlement:
        return "not_started"
    return state_by_day(not left, day, due)


def buy_in_rights(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[Right]:
    """The rights to buy in: the counterparty's against us, or ours against it.

    FINRA 11810 gives one for each settlement date whose shares are still open.
    """
    rights = []
    if facts.venue == "ex_clearing" and facts.is_under("FINRA-11810"):
        days = sorted({lot.settlement for lot in found.lots if lot.open})
        rights = [_bilateral_right(day, facts, calendar, rules) for day in days]
    if not facts.is_under("NSCC-buy-in"):
        return rights
    notices = (event for event in found.events if event.given.type == "cns_buy_in_notice")
    return rights + [_cns_right(event, facts, calendar, rules) for event in notices]


def _holder(facts: Facts) -> Literal["counterparty", "ours"]:
    return "counterparty" if facts.owes_delivery else "ours"


def _bilateral_right(
    settlement: date, facts: Facts, calendar: Calendar, rules: ClockRules
) -> Right:
    """The right of FINRA 11810 for the open shares of one settlement date."""
    source = rules.sources["clock.finra11810"]
    days = rules.buy_in_execution_days
    name = f"the buy-in of the lot of {settlement}"
    execution = facts.add_days(settlement, days, "settlement", name=name, calendar=calendar)
    name = f"the notice of the buy-in of the lot of {settlement}"
    days_to_notice = days - rules.buy_in_notice_days
    notice = facts.add_days(settlement, days_to_notice, "settlement", name=name, calendar=calendar)
    return Right(
        rule="FINRA-11810",
        citation=source.citation,
        kb=source.kb,
        holder=_holder(facts),
        earliest_notice_date=None if notice is None else str(notice),
        notice_by=f"{rules.times.notice_by:%H:%M}",
        earliest_execution_date=None if execution is None else str(execution),
        basis=f"{days} settlement days after settlement date",
        evidence=(f"the lot of {settlement} is open",),
        confidence=source.confidence,
    )


def _cns_right(event: Event, facts: Facts, calendar: Calendar, rules: ClockRules) -> Right:
    source = rules.sources["clock.nscc_buyin"]
    day = event.at.date()
    name = f"the buy-in after {event.label}"
    days = rules.cns_execution_days
    execution = facts.add_days(day, days, "settlement", name=name, calendar=calendar)
    basis = f"passed to the oldest short positions {days} settlement days after the notice"
    if execution is not None:
        priority = calendar.add(day, rules.cns_priority_days, "settlement")
        basis = f"priority on {priority}, passed to the oldest short positions on {execution}"
    return Right(
        rule="NSCC-buy-in",
        citation=source.citation,
        kb=source.kb,
        holder=_holder(facts),
        earliest_notice_date=str(day),
        notice_by=None,
        earliest_execution_date=None if execution is None else str(execution),
        basis=basis,
        evidence=(event.label,),
        confidence=source.confidence,
    )
