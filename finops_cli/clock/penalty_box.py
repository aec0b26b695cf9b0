"""After a missed close-out: the penalty box of each holder, and the notices (section 7)."""

from __future__ import annotations

from datetime import date, datetime, time

from finops_cli.clock.close_out import assumed_facts, state_by_day
from finops_cli.clock.events import Event
from finops_cli.clock.facts import Facts
from finops_cli.clock.lots import PARTICIPANT, OpenLot
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.moments import format_moment
from finops_cli.clock.replay import Replayed
from finops_cli.domain.clock import BoxState, Obligation, PenaltyBox
from finops_cli.kb.chapters.clock import ClockRules


def penalty_boxes(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[PenaltyBox]:
    """The pre-borrow duty of the participant, and of each broker-dealer with an allocation."""
    held: dict[str, list[OpenLot]] = {PARTICIPANT: []}
    for lot in found.lots:
        held.setdefault(lot.holder, []).append(lot)
    others = sorted(held.keys() - {PARTICIPANT})
    return [_box(holder, held[holder], calendar, rules) for holder in (PARTICIPANT, *others)]


def _box(holder: str, lots: list[OpenLot], calendar: Calendar, rules: ClockRules) -> PenaltyBox:
    breached = [lot for lot in lots if lot.is_breached]
    if not breached:
        confidence = rules.sources["clock.sho204b"].confidence
        return PenaltyBox(
            holder=holder, state="none", preborrow_required=False, confidence=confidence
        )
    if holder in calendar.exempt:
        return PenaltyBox(
            holder=holder,
            state="none",
            preborrow_required=False,
            evidence=(f"{holder} is certified as exempt in the desk's file",),
            confidence="unverified",
        )
    released = [_released_on(lot) for lot in breached]
    waiting = [lot for lot, day in zip(breached, released, strict=True) if day is None]
    kept = waiting or breached
    days = [day for day in released if day is not None]
    state: BoxState = "released"
    if waiting:
        state = "open" if any(lot.wanting for lot in waiting) else "closing"
    return PenaltyBox(
        holder=holder,
        state=state,
        preborrow_required=state != "released",
        opened=format_moment(min(_due(lot) for lot in kept)),
        uncured_qty=sum(lot.uncured or 0 for lot in kept),
        purchased_qty=sum(lot.bought for lot in kept),
        released_on=None if waiting else str(max(days)),
        evidence=_box_evidence(kept),
        confidence=rules.sources["clock.sho204b"].confidence,
    )


def _due(lot: OpenLot) -> datetime:
    if lot.deadline is None:
        raise AssertionError("a lot without a deadline is never breached")
    return lot.deadline.due


def _released_on(lot: OpenLot) -> date | None:
    """The day on which purchases that cover the lot had settled; None before it."""
    settled = 0
    covers = [cover for cover in lot.bought_after if cover.event.settled_on is not None]
    for cover in sorted(covers, key=lambda each: str(each.event.settled_on)):
        settled += cover.qty
        if settled >= (lot.uncured or 0):
            return cover.event.settled_on
    return None


def _box_evidence(lots: list[OpenLot]) -> tuple[str, ...]:
    return tuple(f"lot {lot.settlement}: not closed out in time" for lot in lots)


def notice_obligations(
    facts: Facts,
    boxes: list[PenaltyBox],
    found: Replayed,
    calendar: Calendar,
    rules: ClockRules,
) -> list[Obligation]:
    """The notices of 204(c) to the broker-dealers whose trades the participant clears."""
    box = next((box for box in boxes if box.holder == PARTICIPANT), None)
    if box is None or box.opened is None:
        return []
    opened = datetime.fromisoformat(box.opened)
    dues = {"SHO-204(c)(1)": opened}
    if box.released_on is not None:
        dues["SHO-204(c)(2)"] = datetime.fromisoformat(box.released_on)
    lots = [lot for lot in found.lots if lot.is_breached and lot.holder == PARTICIPANT]
    kept = [lot for lot in lots if _released_on(lot) is None] or lots
    missing = {name for lot in kept for name in assumed_facts(lot)}
    assumed = tuple(name for name in ("settlement_date", "sale_type") if name in missing)
    return [
        _notice(rule, start, box.uncured_qty, assumed, facts, found, calendar, rules)
        for rule, start in dues.items()
    ]


def _notice(
    rule: str,
    start: datetime,
    qty: int,
    assumed: tuple[str, ...],
    facts: Facts,
    found: Replayed,
    calendar: Calendar,
    rules: ClockRules,
) -> Obligation:
    source = rules.sources["clock.sho204c"]
    sent = _sent_notice(found.events, rule, start)
    day, due = facts.as_of.day, start.date()
    return Obligation(
        rule=rule,
        kind="notice",
        citation=source.citation,
        kb=source.kb,
        basis=f"notice to each broker-dealer it clears for: {_NOTICES[rule]}",
        lot=None,
        holder=PARTICIPANT,
        qty=qty,
        open_qty=None,
        start_date=str(due),
        nominal_date=str(due),
        due_date=str(due),
        due_time=None,
        counting="settlement days",
        days_left=None if sent else calendar.count(day, due, "settlement"),
        state=state_by_day(sent is not None, day, due),
        remedy=("notice",),
        assumed=assumed,
        evidence=(sent.label,) if sent else (),
        alternatives=(),
        confidence=source.confidence,
    )


_NOTICES = {
    "SHO-204(c)(1)": "a fail was not closed out",
    "SHO-204(c)(2)": "the purchase has settled",
}


def _sent_notice(events: list[Event], rule: str, start: datetime) -> Event | None:
    """The first notice of `rule` from `start` on; a day without an hour can be that day."""
    for event in events:
        if event.given.type != "notice" or event.given.rule != rule:
            continue
        if event.at >= (start if event.has_hour else datetime.combine(start, time.min)):
            return event
    return None
