"""Sections 5 to 9: the obligations of a fail, with their states."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.boxes import Box, boxes
from tests.support.oracle.clock.facts import Facts
from tests.support.oracle.clock.lots import Ledger, Lot, rule_of
from tests.support.oracle.clock.threshold import Count

STATES = ("breached", "due_today", "running", "not_started", "cured", "not_applicable")
CONFIDENCES = ("verified", "secondary", "interpretation", "unverified")
LONG_SALE = "a long sale, shown on books and records"
UNSURE_CLOSINGS = (date(2012, 10, 29), date(2012, 10, 30), date(2025, 1, 9))
SURE_BUSINESS_CLOSINGS = (date(2004, 6, 11), date(2007, 1, 2))
BY_RULE = {
    "SHO-204(a)(2)": "secondary",
    "SHO-204(a)(3)": "secondary",
    "SHO-204T(a)": "unverified",
    "SHO-204T(a)(1)": "unverified",
    "SHO-204T(a)(2)": "unverified",
    "SHO-204T(a)(3)": "unverified",
    "SHO-203(b)(3)": "interpretation",
    "FINRA-4320": "interpretation",
    "15c3-3(d)(2)": "unverified",
    "15c3-3(d)(3)": "unverified",
    "SHO-204(c)(1)": "unverified",
    "SHO-204(c)(2)": "unverified",
}


def iso(day: date | None) -> str | None:
    """Return a day as text."""
    return None if day is None else day.isoformat()


def weakest(*levels: str) -> str:
    """Return the weakest of some levels of confidence."""
    return max(levels, key=CONFIDENCES.index)


def obligation(rule: str, kind: str, qty: int, **known: Any) -> dict[str, Any]:
    """Return an obligation with every key; what is not known is null or empty."""
    base: dict[str, Any] = {
        "rule": rule,
        "kind": kind,
        "lot": None,
        "holder": "participant",
        "qty": qty,
        "open_qty": None,
        "start_date": None,
        "nominal_date": None,
        "due_date": None,
        "due_time": None,
        "days_left": None,
        "state": "not_applicable",
        "remedy": [],
        "assumed": [],
        "alternatives": [],
        "confidence": BY_RULE.get(rule, "verified"),
    }
    return base | known


def state_by_day(today: date, start: date, due: date, *, is_cured: bool) -> str:
    """Return the state of an obligation without a time of day."""
    if today < start:
        return "not_started"
    if is_cured:
        return "cured"
    if today > due:
        return "breached"
    return "due_today" if today == due else "running"


def assumed_of(lot: Lot) -> list[str]:
    """List the facts of a lot that were not given."""
    facts = {"settlement_date": lot.is_assumed, "sale_type": lot.sale == "unknown"}
    return [name for name, is_missing in facts.items() if is_missing]


def rule_204(facts: Facts, ledger: Ledger, lot: Lot) -> dict[str, Any]:
    """Return the obligation of one lot and holder under Rule 204 or 204T (5, 6.4)."""
    found = obligation(lot.rule, "duty", lot.qty, lot=iso(lot.settlement), holder=lot.holder)
    if lot.due is None or lot.start is None or lot.nominal is None:
        return found
    open_qty = lot.uncured if lot.is_judged else lot.uncovered()
    if facts.today < lot.settlement:
        state = "not_started"
    elif open_qty == 0:
        state = "cured"
    elif lot.is_judged:
        state = "breached"
    else:
        state = "due_today" if facts.today == lot.due else "running"
    kind = cal.every if lot.rule == "SHO-204(a)(2)" else cal.counts_204
    left = None if state == "cured" else cal.count(facts.today, lot.due, kind)
    return found | {
        "open_qty": open_qty,
        "start_date": iso(lot.start),
        "nominal_date": iso(lot.nominal),
        "due_date": iso(lot.due),
        "due_time": "09:30",
        "days_left": left,
        "state": state,
        "remedy": list(lot.means),
        "assumed": assumed_of(lot),
        "alternatives": _alternatives(lot),
        "confidence": _confidence(ledger, lot),
    }


def _alternatives(lot: Lot) -> list[dict[str, str]]:
    if lot.sale != "unknown":
        return []
    rule, _, days = rule_of("long", lot.trade)
    due = cal.shown(lot.settlement, days, cal.counts_204)
    if due is None:
        return []
    while not cal.trades(due):
        due += cal.DAY
    return [{"if": LONG_SALE, "rule": rule, "due_date": due.isoformat()}]


def _confidence(ledger: Ledger, lot: Lot) -> str:
    levels = [BY_RULE.get(lot.rule, "verified")]
    if lot.rule == "SHO-204(a)(2)":
        if lot.due != lot.nominal:
            levels.append("interpretation")
    elif lot.due and any(lot.settlement < day <= lot.due for day in UNSURE_CLOSINGS):
        levels.append("interpretation")
    if ledger.has_history:
        levels.append("interpretation")
    if lot.is_credited or lot.holder != "participant":
        levels.append("unverified")
    return weakest(*levels)


def threshold_duty(facts: Facts, ledger: Ledger, count: Count) -> dict[str, Any]:
    """Return the obligation of a threshold security (8.1, 8.2)."""
    quantity = sum(lot.left for lot in ledger.lots)
    if not count.counts() or count.due is None:
        return obligation(count.rule, "duty", quantity)
    bought = count.bought if facts.today <= count.due else count.bought_in_time
    is_cured = count.is_cured()
    state = state_by_day(facts.today, count.run[0], count.due, is_cured=is_cured)
    return obligation(
        count.rule,
        "duty",
        count.persistent,
        open_qty=max(0, count.persistent - bought),
        start_date=iso(count.run[0]),
        nominal_date=iso(count.last_day),
        due_date=iso(count.due),
        days_left=None if is_cured else cal.count(facts.today, count.due, cal.trades),
        state=state,
        remedy=["purchase"],
        assumed=["settlement_date"] if any(lot.is_assumed for lot in ledger.lots) else [],
    )


def _received(facts: Facts, event_type: str, due: date) -> int:
    """Return the shares of events of a type up to a due day."""
    events = (e for e in facts.events if e.type == event_type)
    return sum(e.qty for e in events if e.at.date() <= due)


def _extended(facts: Facts, rule: str, due: date) -> date:
    """Return the due day after the extensions that were filed in time."""
    for event in facts.events:
        if event.type == "extension" and event.rule == rule and event.at.date() <= due:
            due = max(due, event.until or due)
    return due


def _customer_duties(
    facts: Facts, lots: list[Lot], rule: str, event_type: str, kind: cal.Kind, days: int
) -> list[dict[str, Any]]:
    found, earlier = [], 0
    for lot in lots:
        if kind is cal.business:
            nominal = first_due = cal.add(lot.settlement, days, cal.business)
        else:
            nominal = cal.covered(lot.settlement + timedelta(days=days))
            first_due = cal.on_or_before(nominal, cal.business)
        due = _extended(facts, rule, first_due)
        received = max(0, _received(facts, event_type, due) - earlier)
        earlier += lot.whole
        open_qty = max(0, lot.whole - received)
        if event_type == "receipt":
            open_qty = min(open_qty, lot.whole - lot.left_by(due))
        state = state_by_day(facts.today, lot.settlement, due, is_cured=open_qty == 0)
        closings = [day for day in cal.CLOSINGS if lot.settlement < day <= first_due]
        unsure = kind is cal.business and any(day not in SURE_BUSINESS_CLOSINGS for day in closings)
        moved = first_due != nominal
        levels = [BY_RULE.get(rule, "verified")] + ["interpretation"] * (unsure or moved)
        found.append(
            obligation(
                rule,
                "duty",
                lot.whole,
                lot=iso(lot.settlement),
                open_qty=open_qty,
                start_date=iso(lot.settlement),
                nominal_date=iso(nominal),
                due_date=iso(due),
                days_left=None if state == "cured" else cal.count(facts.today, due, kind),
                state=state,
                remedy=[event_type, "extension"],
                assumed=["settlement_date"] if lot.is_assumed else [],
                confidence=weakest(*levels),
            )
        )
    return found


def customer_duties(facts: Facts, ledger: Ledger) -> list[dict[str, Any]]:
    """Return the duties of 15c3-3 (9.1, 9.2)."""
    lots = [lot for lot in ledger.lots if lot.holder == "participant"]
    if facts.security_type == "other":
        return []
    if facts.is_deliver:
        if not facts.given.get("customer"):
            return []
        owned = [lot for lot in lots if lot.sale in ("long", "deemed_to_own")]
        return _customer_duties(facts, owned, "15c3-3(m)", "customer_delivery", cal.business, 10)
    if facts.given.get("customer") is False:
        return []
    is_distribution = facts.given.get("receivable") == "distribution"
    rule, days = ("15c3-3(d)(3)", 45) if is_distribution else ("15c3-3(d)(2)", 30)
    return _customer_duties(facts, lots, rule, "receipt", cal.every, days)


def notices(facts: Facts, ledger: Ledger, box: Box) -> list[dict[str, Any]]:
    """Return the notices of the participant's box (7.2)."""
    if box.opened is None:
        return []
    due_days = {"SHO-204(c)(1)": box.opened.date(), "SHO-204(c)(2)": box.released_on}
    found = []
    for rule, due in due_days.items():
        if due is None:
            continue
        start = box.opened if rule == "SHO-204(c)(1)" else cal.at(due, 0)
        is_sent = any(e.type == "notice" and e.rule == rule and e.at >= start for e in facts.events)
        missing = [name for lot in box.lots for name in assumed_of(lot)]
        found.append(
            obligation(
                rule,
                "notice",
                box.uncured_qty,
                start_date=iso(due),
                nominal_date=iso(due),
                due_date=iso(due),
                days_left=None if is_sent else cal.count(facts.today, due, cal.settles),
                state=state_by_day(facts.today, due, due, is_cured=is_sent),
                remedy=["notice"],
                assumed=[name for name in ("settlement_date", "sale_type") if name in missing],
            )
        )
    return found


def all_obligations(facts: Facts, ledger: Ledger, count: Count | None) -> list[dict[str, Any]]:
    """Return every obligation, the strictest first (section 11)."""
    found = []
    if facts.is_deliver:
        found += [rule_204(facts, ledger, lot) for lot in ledger.lots if lot.qty > 0]
    if count is not None:
        found.append(threshold_duty(facts, ledger, count))
    found += customer_duties(facts, ledger)
    found += notices(facts, ledger, boxes(facts, ledger)[0])
    return sorted(found, key=_order)


def _order(item: dict[str, Any]) -> tuple[object, ...]:
    nulls_last = [(item[key] is None, item[key] or "") for key in ("due_date", "due_time")]
    lot = (item["lot"] is None, item["lot"] or "")
    return (STATES.index(item["state"]), *nulls_last, item["rule"], lot, item["holder"])
