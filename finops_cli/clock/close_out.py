"""The obligations of Rule 204 as of a moment: lots, notices and the penalty box (5 to 7)."""

from __future__ import annotations

from datetime import date, datetime

from finops_cli.clock.facts import Facts
from finops_cli.clock.lots import PARTICIPANT, OpenLot, by_age
from finops_cli.clock.market_calendar import Calendar, OutsideCalendar
from finops_cli.clock.replay import Replayed
from finops_cli.clock.rule_204 import Deadline, deadline_of, not_in_force, weakest
from finops_cli.domain.clock import Alternative, Obligation, State
from finops_cli.domain.clock_facts import FactLot, HistoryRow
from finops_cli.domain.confidence import Confidence
from finops_cli.kb.chapters.clock import ClockRules, Source

_NO_AGENCY = "no fail position at a registered clearing agency"
_OTHER_RULES = {
    "municipal": "MSRB G-12(h) close-outs, not computed",
    "treasury": "TMPG fails charge, not computed",
    "agency": "no close-out rule of Regulation SHO for agency securities",
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
    _name_assumptions(facts, found)
    history = bool(found.positions)
    return [
        _obligation(lot, facts, history, calendar, rules) for lot in by_age(found.lots) if lot.qty
    ]


def _name_assumptions(facts: Facts, found: Replayed) -> None:
    """Name what is assumed about the sales of lots that have a deadline."""
    given = facts.given
    sale_types = {lot.sale_type for lot in found.lots if lot.deadline is not None and lot.qty}
    if "unknown" in sale_types:
        rows: tuple[FactLot | HistoryRow, ...] = (*given.lots, *given.fail_history)
        is_absent = given.sale_type is None and not (
            rows and all(row.sale_type is not None for row in rows)
        )
        name = "absent" if is_absent else "unknown"
        facts.assumptions.append(f"sale_type {name}: taken as short, the strictest")
    if "long" in sale_types and not (facts.sale_type == "long" and given.sale_type_evidence):
        facts.assumptions.append(
            "sale_type_evidence absent: a long sale is taken as shown on books and records"
        )


def _why_not(facts: Facts, rules: ClockRules) -> str:
    """Say why no deadline applies."""
    if facts.venue != "cns":
        return _NO_AGENCY
    return not_in_force(rules) if facts.is_under("SHO") else _OTHER_RULES[facts.security_type]


def not_applicable(
    rule: str, source: Source, why: str, lot: str | None, holder: str, qty: int
) -> Obligation:
    """An obligation that does not apply: `basis` says why, and it has no dates."""
    return Obligation(
        rule=rule,
        kind="duty",
        citation=source.citation,
        kb=source.kb,
        basis=why,
        lot=lot,
        holder=holder,
        qty=qty,
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


def _obligation(
    lot: OpenLot, facts: Facts, has_history: bool, calendar: Calendar, rules: ClockRules
) -> Obligation:
    deadline = lot.deadline
    if deadline is None:
        source = rules.sources[lot.kb]
        why, day = _why_not(facts, rules), str(lot.settlement)
        return not_applicable(lot.rule, source, why, day, lot.holder, lot.qty)
    state, open_qty = judge(lot, deadline, facts.as_of.moment)
    due = deadline.due.date()
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
        assumed=assumed_facts(lot),
        evidence=(*_sale_evidence(lot, facts), *deadline.notes, *lot.evidence),
        alternatives=_alternatives(lot, facts, calendar, rules),
        confidence=_confidence(lot, deadline, has_history, rules),
    )


def _confidence(
    lot: OpenLot, deadline: Deadline, has_history: bool, rules: ClockRules
) -> Confidence:
    """The weakest of what the obligation rests on."""
    found = [deadline.confidence]
    if has_history:
        found.append(rules.sources["clock.fifo"].confidence)
    if lot.credited:
        found.append(rules.sources["clock.sho204e"].confidence)
    if lot.holder != PARTICIPANT:
        found.append(rules.sources["clock.sho204d"].confidence)
    return weakest(found)


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


def state_by_day(is_met: bool, day: date, due: date) -> State:
    """The state on `day` of an obligation that is due on `due`, without a time of day."""
    if is_met:
        return "cured"
    if day > due:
        return "breached"
    return "due_today" if day == due else "running"


def assumed_facts(lot: OpenLot) -> tuple[str, ...]:
    """The facts of a lot that were not given."""
    names = (("settlement_date", lot.is_assumed), ("sale_type", lot.sale_type == "unknown"))
    return tuple(name for name, is_assumed in names if is_assumed)


def _sale_evidence(lot: OpenLot, facts: Facts) -> tuple[str, ...]:
    if lot.sale_type == "unknown":
        return ("sale type unknown: taken as short, the strictest",)
    if facts.given.sale_type_evidence is not None and lot.sale_type == facts.sale_type:
        return (facts.given.sale_type_evidence,)
    return ("long sale: not shown on books and records",) if lot.sale_type == "long" else ()


def _alternatives(
    lot: OpenLot, facts: Facts, calendar: Calendar, rules: ClockRules
) -> tuple[Alternative, ...]:
    """The due day of a long sale, for a sale whose type is not known."""
    if lot.sale_type != "unknown":
        return ()
    try:
        other = deadline_of(
            lot.trade, lot.settlement, sale_type="long", calendar=calendar, rules=rules
        )
    except OutsideCalendar as error:
        name = f"the due day of a long sale of the lot of {lot.settlement}"
        facts.warnings.append(f"calendar.range: {name} is after {error.last}: not computed")
        return ()
    if other is None:
        return ()
    return (
        {
            "if": "a long sale, shown on books and records",
            "rule": other.rule,
            "due_date": str(other.due.date()),
        },
    )
