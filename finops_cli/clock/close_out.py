"""The obligations of Rule 204 as of a moment: lots, notices and the penalty box (5 to 7)."""

from __future__ import annotations

from datetime import date, datetime

from finops_cli.clock.events import Event
from finops_cli.clock.facts import Facts
from finops_cli.clock.lots import PARTICIPANT, OpenLot, by_age
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.replay import Replayed
from finops_cli.clock.rule_204 import NOT_IN_FORCE, Deadline, deadline_of, is_short, weakest
from finops_cli.domain.clock import Alternative, Confidence, Obligation, PenaltyBox, State
from finops_cli.kb.chapters.clock import ClockRules

_NO_AGENCY = "no fail position at a registered clearing agency"
_OTHER_RULES = {
    "municipal": "MSRB G-12(h) close-outs, not computed",
    "treasury": "TMPG fails charge, not computed",
    "corporate_bond": "no close-out rule of Regulation SHO for debt",
    "fund": "fund shares have no close-out rule",
    "other": "no equity security of a US clearing agency",
}
_COUNTING = {"counts_204": "settlement days", "calendar": "calendar days"}


def close_out_obligations(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[Obligation]:
    """The Rule 204 duty of each lot and holder, or one that says why none applies."""
    if not facts.owes_delivery:
        return []
    if facts.venue != "cns":
        return [_not_applicable(facts, _NO_AGENCY, rules)]
    if not facts.is_equity:
        return [_not_applicable(facts, _OTHER_RULES[facts.security_type], rules)]
    return [_obligation(lot, facts, calendar, rules) for lot in by_age(found.lots)]


def _not_applicable(
    facts: Facts, why: str, rules: ClockRules, lot: OpenLot | None = None
) -> Obligation:
    source = rules.sources["clock.sho204a"]
    return Obligation(
        rule="SHO-204(a)",
        kind="duty",
        citation=source.citation,
        kb=source.kb,
        basis=why,
        lot=None if lot is None else str(lot.settlement),
        holder=PARTICIPANT if lot is None else lot.holder,
        qty=facts.record.qty if lot is None else lot.qty,
        open_qty=None,
        start_date=None,
        nominal_date=None,
        due_date=None,
        due_time=None,
        counting=None,
        days_left=None,
        state="not_applicable",
        remedy=(),
        assumed=(),
        evidence=(),
        alternatives=(),
        confidence=source.confidence,
    )


def _obligation(lot: OpenLot, facts: Facts, calendar: Calendar, rules: ClockRules) -> Obligation:
    deadline = lot.deadline
    if deadline is None:
        return _not_applicable(facts, NOT_IN_FORCE, rules, lot)
    state, open_qty = judge(lot, deadline, facts.as_of.moment)
    due = deadline.due.date()
    confidence: Confidence = deadline.confidence
    if state == "cured" and lot.credited:
        confidence = weakest([confidence, rules.sources["clock.sho204e"].confidence])
    return Obligation(
        rule=deadline.rule,
        kind="duty",
        citation=rules.sources[deadline.kb].citation,
        kb=deadline.kb,
        basis=deadline.basis,
        lot=str(lot.settlement),
        holder=lot.holder,
        qty=lot.qty,
        open_qty=open_qty,
        start_date=str(deadline.start),
        nominal_date=str(deadline.nominal),
        due_date=str(due),
        due_time=f"{deadline.due:%H:%M}",
        counting=_COUNTING[deadline.counter],
        days_left=(
            None if state == "cured" else calendar.count(facts.as_of.day, due, deadline.counter)
        ),
        state=state,
        remedy=deadline.remedy,
        assumed=_assumed(lot, facts),
        evidence=(*_sale_evidence(lot, facts), *deadline.notes, *lot.evidence),
        alternatives=_alternatives(lot, deadline, calendar, rules),
        confidence=confidence,
    )


def judge(lot: OpenLot, deadline: Deadline, moment: datetime) -> tuple[State, int]:
    """The state of a lot and the shares that are uncured, or uncovered now (section 6.4)."""
    if moment.date() < lot.settlement:
        return "not_started", lot.uncovered
    if deadline.due < moment:
        uncured = lot.uncured or 0
        return ("breached", uncured) if uncured else ("cured", 0)
    if not lot.uncovered:
        return "cured", 0
    if moment.date() == deadline.due.date():
        return "due_today", lot.uncovered
    return "running", lot.uncovered


def _assumed(lot: OpenLot, facts: Facts) -> tuple[str, ...]:
    dated = facts.basis == "age_days" and not facts.given.lots and not facts.given.fail_history
    names = (("settlement_date", dated), ("sale_type", lot.sale_type == "unknown"))
    return tuple(name for name, is_assumed in names if is_assumed)


def _sale_evidence(lot: OpenLot, facts: Facts) -> tuple[str, ...]:
    if lot.sale_type == "unknown":
        return ("sale type unknown: taken as short, the strictest",)
    if facts.given.sale_type_evidence is not None:
        return (facts.given.sale_type_evidence,)
    return ("long sale: not shown on books and records",) if lot.sale_type == "long" else ()


def _alternatives(
    lot: OpenLot, deadline: Deadline, calendar: Calendar, rules: ClockRules
) -> tuple[Alternative, ...]:
    if lot.sale_type != "unknown":
        return ()
    other = deadline_of(lot.trade, lot.settlement, "long", calendar, rules)
    if other is None or not is_short(lot.sale_type):
        return ()
    return (
        {
            "if": "a long sale, shown on books and records",
            "rule": other.rule,
            "due_date": str(other.due.date()),
        },
    )


def penalty_boxes(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[PenaltyBox]:
    """The pre-borrow duty of the participant, and of each broker-dealer with an allocation."""
    if not any(lot.deadline is not None for lot in found.lots):
        return []
    others = sorted({lot.holder for lot in found.lots} - {PARTICIPANT})
    return [
        _box(holder, [lot for lot in found.lots if lot.holder == holder], calendar, rules)
        for holder in (PARTICIPANT, *others)
    ]


def _box(holder: str, lots: list[OpenLot], calendar: Calendar, rules: ClockRules) -> PenaltyBox:
    breached = [lot for lot in lots if lot.is_breached]
    if not breached:
        return PenaltyBox(holder=holder, state="none", preborrow_required=False)
    if holder in calendar.exempt:
        return PenaltyBox(
            holder=holder,
            state="none",
            preborrow_required=False,
            evidence=(f"{holder} is certified as exempt in the desk's file",),
            confidence="unverified",
        )
    released = [_released_on(lot) for lot in breached]
    unreleased = [lot for lot, day in zip(breached, released, strict=True) if day is None]
    opened = min(_due(lot) for lot in unreleased or breached)
    is_covered = all(not lot.wanting for lot in breached)
    days = [day for day in released if day is not None]
    state = "open" if not is_covered else "closing" if unreleased else "released"
    return PenaltyBox(
        holder=holder,
        state=state,  # type: ignore[arg-type]
        preborrow_required=state != "released",
        opened=f"{opened:%Y-%m-%dT%H:%M}",
        uncured_qty=sum(lot.uncured or 0 for lot in breached),
        purchased_qty=sum(cover.qty for lot in breached for cover in lot.bought_after),
        released_on=None if unreleased else str(max(days)),
        evidence=_box_evidence(breached),
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
    return tuple(
        text
        for lot in lots
        if (text := f"lot {lot.settlement}: {lot.uncured:,} not closed out in time")
    )


def notice_obligations(
    facts: Facts, boxes: list[PenaltyBox], found: Replayed, rules: ClockRules
) -> list[Obligation]:
    """The notices of 204(c) to the broker-dealers whose trades the participant clears."""
    notices = []
    for box in boxes:
        if box.holder != PARTICIPANT or box.opened is None:
            continue
        opened = date.fromisoformat(box.opened[:10])
        notices.append(
            _notice("SHO-204(c)(1)", "a fail was not closed out", opened, facts, found, rules)
        )
        if box.released_on is not None:
            day = date.fromisoformat(box.released_on)
            notices.append(
                _notice("SHO-204(c)(2)", "the purchase has settled", day, facts, found, rules)
            )
    return notices


def _notice(
    rule: str, about: str, due: date, facts: Facts, found: Replayed, rules: ClockRules
) -> Obligation:
    source = rules.sources["clock.sho204c"]
    sent = next((event for event in found.events if _is_notice(event, rule)), None)
    day = facts.as_of.day
    state: State = "cured" if sent else "breached" if day > due else "due_today"
    return Obligation(
        rule=rule,
        kind="notice",
        citation=source.citation,
        kb=source.kb,
        basis=f"notice to each broker-dealer it clears for: {about}",
        lot=None,
        holder=PARTICIPANT,
        qty=facts.record.qty,
        open_qty=None,
        start_date=str(due),
        nominal_date=str(due),
        due_date=str(due),
        due_time=None,
        counting=None,
        days_left=None if sent else (due - day).days,
        state=state,
        remedy=("notice",),
        assumed=_assumed_in(found, facts),
        evidence=() if sent is None else (sent.label,),
        alternatives=(),
        confidence=source.confidence,
    )


def _assumed_in(found: Replayed, facts: Facts) -> tuple[str, ...]:
    """The facts that the breaches of the participant rest on and that were not given."""
    lots = [lot for lot in found.lots if lot.is_breached and lot.holder == PARTICIPANT]
    shared = [set(_assumed(lot, facts)) for lot in lots]
    names = set.intersection(*shared) if shared else set()
    return tuple(name for name in ("settlement_date", "sale_type") if name in names)


def _is_notice(event: Event, rule: str) -> bool:
    return event.given.type == "notice" and event.given.rule == rule
