"""Rule 204 of Regulation SHO: the day by which a fail is closed out (section 5)."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from finops_cli.clock.market_calendar import Calendar, Counter
from finops_cli.domain.confidence import CONFIDENCES, Confidence
from finops_cli.kb.chapters.clock import ClockRules

_EITHER = ("purchase", "borrow")
_PURCHASE = ("purchase",)
_NOUN: dict[Counter, str] = {"counts_204": "settlement day", "calendar": "calendar day"}


class Deadline(NamedTuple):
    """The day and moment by which a lot is closed out, and the rule that says so."""

    rule: str
    kb: str
    remedy: tuple[str, ...]
    start: date
    nominal: date
    due: datetime
    counter: Counter
    basis: str
    confidence: Confidence
    notes: tuple[str, ...] = ()


class _Term(NamedTuple):
    rule: str
    kb: str
    days: int
    counter: Counter
    remedy: tuple[str, ...]


def not_in_force(rules: ClockRules) -> str:
    """Say why a trade before Rule 204T has no deadline."""
    first = rules.eras.sho204t_from
    return f"before {first} no close-out rule bound every equity; SHO-203(b)(3) alone"


@lru_cache(maxsize=4096)
def deadline_of(
    trade: date, settlement: date, sale_type: str, calendar: Calendar, rules: ClockRules
) -> Deadline | None:
    """The deadline of a sale; None where no rule was in force yet (section 5.5).

    Raises OutsideCalendar.
    """
    if trade < rules.eras.sho204t_from:
        return None
    term = _term(trade, sale_type, rules)
    start = trade if term.counter == "calendar" else settlement
    nominal = calendar.add(start, term.days, term.counter)
    due, notes = _opening(nominal, term, calendar)
    plural = "" if term.days == 1 else "s"
    after = "trade date" if term.counter == "calendar" else "settlement date"
    confidences = [rules.sources[term.kb].confidence]
    if due != nominal or calendar.is_unsure(start, due, term.counter):
        confidences.append("interpretation")
    return Deadline(
        rule=term.rule,
        kb=term.kb,
        remedy=term.remedy,
        start=start,
        nominal=nominal,
        due=datetime.combine(due, rules.times.open),
        counter=term.counter,
        basis=f"{term.days} {_NOUN[term.counter]}{plural} after {after}",
        confidence=weakest(confidences),
        notes=notes,
    )


def rule_of(trade: date, sale_type: str, rules: ClockRules) -> tuple[str, str]:
    """The rule of a sale, and its entry, whether or not it was in force."""
    term = _term(trade, sale_type, rules)
    return term.rule, term.kb


def _term(trade: date, sale_type: str, rules: ClockRules) -> _Term:
    eras = rules.eras
    is_temporary = eras.sho204t_from <= trade < eras.sho204_from
    return _temporary(sale_type, rules) if is_temporary else _permanent(sale_type, rules)


def _permanent(sale_type: str, rules: ClockRules) -> _Term:
    if sale_type == "long":
        return _Term("SHO-204(a)(1)", "clock.sho204a1", rules.long_days, "counts_204", _EITHER)
    if sale_type == "deemed_to_own":
        days = rules.deemed_to_own_calendar_days
        return _Term("SHO-204(a)(2)", "clock.sho204a2", days, "calendar", _PURCHASE)
    if sale_type == "market_maker":
        days = rules.market_maker_days
        return _Term("SHO-204(a)(3)", "clock.sho204a3", days, "counts_204", _EITHER)
    return _Term("SHO-204(a)", "clock.sho204a", rules.short_days, "counts_204", _EITHER)


def _temporary(sale_type: str, rules: ClockRules) -> _Term:
    kb = "clock.sho204t"
    if sale_type == "long":
        return _Term("SHO-204T(a)(1)", kb, rules.temporary_long_days, "counts_204", _PURCHASE)
    if sale_type == "deemed_to_own":
        days = rules.temporary_rule_144_days
        return _Term("SHO-204T(a)(2)", kb, days, "counts_204", _PURCHASE)
    if sale_type == "market_maker":
        days = rules.temporary_market_maker_days
        return _Term("SHO-204T(a)(3)", kb, days, "counts_204", _PURCHASE)
    return _Term("SHO-204T(a)", kb, rules.temporary_short_days, "counts_204", _EITHER)


def _opening(nominal: date, term: _Term, calendar: Calendar) -> tuple[date, tuple[str, ...]]:
    """The opening by which the duty is met (sections 5.3 and 5.4)."""
    facts = calendar.facts(nominal)
    if facts.trading:
        return nominal, ()
    if term.counter == "calendar" and not facts.settlement:
        due = calendar.add(nominal, -1, "trading")
        return due, (f"{nominal} does not trade ({facts.reason}): the last opening before it",)
    due = calendar.add(nominal, 1, "trading")
    return due, (f"{nominal} does not trade ({facts.reason}): the next opening",)


def treated_as(sale_type: str) -> str:
    """The sale type whose deadline a fail gets."""
    return "short" if sale_type == "unknown" else sale_type


def weakest(confidences: list[Confidence]) -> Confidence:
    """The weakest of `confidences`."""
    return max(confidences, key=CONFIDENCES.index)
