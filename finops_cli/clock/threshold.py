"""Threshold securities: thirteen settlement days on a list with the fail open (section 8)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from finops_cli.clock.close_out import not_applicable, state_by_day
from finops_cli.clock.events import Event
from finops_cli.clock.facts import RULE, Facts, read_day
from finops_cli.clock.history import last_known_day
from finops_cli.clock.lots import PARTICIPANT, OpenLot
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.refusal import Refused
from finops_cli.clock.replay import Replayed
from finops_cli.domain.clock import Obligation, Threshold
from finops_cli.kb.chapters.clock import ClockRules

IsListed = Callable[[date], bool]


class Run(NamedTuple):
    """Consecutive settlement days that count, the last known day included."""

    days: list[date]
    """In the order of time."""
    quantities: list[int]
    needed: int
    rule: str
    kb: str


class _End(NamedTuple):
    """The end of a count, past or projected."""

    last: date
    """The day that completes the count."""
    closes: datetime
    """The end of that day: purchases count from then on."""
    due: date


def threshold_duty(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> tuple[Threshold | None, list[Obligation]]:
    """The counter of a threshold security, and its duty; None and nothing if it is not listed.

    Raises Refused.
    """
    if not facts.has_close_out_duty:
        return None, []
    is_listed = _listing(facts, last_known_day(facts, calendar, rules), calendar)
    if is_listed is None:
        return None, []
    run, why = _count(facts, found, is_listed=is_listed, calendar=calendar, rules=rules)
    if not run.days:
        return _threshold(run, None, False), [_not_counting(found, run, why, rules)]
    last = _last_day(run, calendar)
    ends = _End(last, datetime.combine(last, rules.times.close), calendar.add(last, 1, "trading"))
    duty = _duty(run, ends, facts=facts, found=found, calendar=calendar, rules=rules)
    return _threshold(run, ends, _must_preborrow(found, run, ends.closes)), [duty]


def _must_preborrow(found: Replayed, run: Run, closes: datetime) -> bool:
    """True from the end of the last day of the count until a purchase covers it."""
    if len(run.days) < run.needed:
        return False
    bought = sum(event.qty for event in _purchases(found, closes, None))
    return bought < _persistent(run)


def _listing(facts: Facts, last: date, calendar: Calendar) -> IsListed | None:
    """Return a test of days: is the security on a list? None without a fact about listing."""
    given = facts.given
    known: list[tuple[date, bool]] = []
    if given.threshold_days:
        days: list[tuple[date, bool]] = []
        for number, row in enumerate(given.threshold_days):
            name = f"threshold_days/{number}/date"
            day = read_day(name, row.date, calendar)
            if days and day <= days[-1][0]:
                raise Refused(name, day, f"a day after {days[-1][0]}: the days rise", RULE)
            days.append((day, row.listed))
        known = [(day, listed) for day, listed in days if day <= last]
    if known:
        dates = [day for day, _ in known]
        values = [False, *(listed for _, listed in known)]
        return lambda day: values[bisect_right(dates, day)]
    if given.threshold_since is not None:
        since = read_day("threshold_since", given.threshold_since, calendar)
        return lambda day: day >= since
    if facts.record.reg_sho_threshold:
        facts.assumptions.append("listing dates absent: on a threshold list since the fail began")
        return lambda day: True
    return None


def _count(
    facts: Facts, found: Replayed, *, is_listed: IsListed, calendar: Calendar, rules: ClockRules
) -> tuple[Run, str]:
    """Count backwards from the last known settlement day while both conditions hold."""
    eras = rules.eras
    begins = eras.sho203b3_from
    rule, kb = "SHO-203(b)(3)", "clock.sho203b3"
    days_of_rule = rules.threshold_days, rules.threshold_rule_144_days
    if facts.given.issuer_reporting is False:
        rule, kb, begins = "FINRA-4320", "clock.finra4320", eras.finra4320_from
        days_of_rule = rules.finra_days, rules.finra_rule_144_days
    is_rule_144 = bool(facts.given.rule_144) and facts.trade_date >= eras.rule_144_from
    needed = days_of_rule[is_rule_144]
    quantity_of = _quantities(found.lots, rules.times.close)
    days: list[date] = []
    quantities: list[int] = []
    day = last_known_day(facts, calendar, rules)
    while day >= begins and is_listed(day) and (open_qty := quantity_of(day)) > 0:
        days.append(day)
        quantities.append(open_qty)
        if day == calendar.first:
            break
        day = calendar.add(day, -1, "settlement")
    days.reverse()
    quantities.reverse()
    run = Run(days, quantities, needed, rule, kb)
    return _grandfather(
        run, quantity_of=quantity_of, is_listed=is_listed, calendar=calendar, rules=rules
    )


def _grandfather(
    run: Run,
    *,
    quantity_of: Callable[[date], int],
    is_listed: IsListed,
    calendar: Calendar,
    rules: ClockRules,
) -> tuple[Run, str]:
    """Leave out a position that is older than its listing, until 2007-10-14 (section 8.4)."""
    why = "not on a threshold list with the fail open on the last known day"
    eras = rules.eras
    if not run.days or run.rule != "SHO-203(b)(3)" or run.days[0] > eras.grandfather_to:
        return run, why
    before = calendar.add(run.days[0], -1, "settlement")
    is_new_listing = before < eras.sho203b3_from or not is_listed(before)
    if not is_new_listing or not quantity_of(before):
        return run, why
    if run.days[-1] <= eras.grandfather_to:
        return run._replace(days=[], quantities=[]), "grandfathered: older than the listing"
    first = next(place for place, day in enumerate(run.days) if day > eras.grandfather_to)
    counted = run._replace(days=run.days[first:], quantities=run.quantities[first:])
    return counted._replace(needed=rules.grandfather_days), why


def _quantities(lots: Iterable[OpenLot], close: time) -> Callable[[date], int]:
    """The quantity that is open at the end of a settlement day."""
    moves: list[tuple[datetime, int]] = []
    for lot in lots:
        moves.append((datetime.combine(lot.settlement, time.min), lot.qty))
        moves += [(each.at, -each.qty) for each in lot.delivered]
    moves.sort(key=itemgetter(0))
    moments = [at for at, _ in moves]
    totals = [0, *accumulate(qty for _, qty in moves)]
    return lambda day: totals[bisect_right(moments, datetime.combine(day, close))]


def _last_day(run: Run, calendar: Calendar) -> date:
    """The day that completes the count, past or projected."""
    if len(run.days) >= run.needed:
        return run.days[run.needed - 1]
    return calendar.add(run.days[-1], run.needed - len(run.days), "settlement")


def _threshold(run: Run, ends: _End | None, preborrow: bool) -> Threshold:
    return Threshold(
        rule=run.rule,
        days_counted=len(run.days),
        days_needed=run.needed,
        first_day=str(run.days[0]) if run.days else None,
        last_day=None if ends is None else str(ends.last),
        due_date=None if ends is None else str(ends.due),
        persistent_qty=_persistent(run),
        preborrow_required=preborrow,
    )


def _persistent(run: Run) -> int:
    """Shares that failed on every day of the window, which has at most `needed` days."""
    return min(run.quantities[: run.needed], default=0)


def _not_counting(found: Replayed, run: Run, why: str, rules: ClockRules) -> Obligation:
    qty = sum(lot.open for lot in found.lots)
    return not_applicable(run.rule, rules.sources[run.kb], why, None, PARTICIPANT, qty)


def _duty(
    run: Run, ends: _End, *, facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> Obligation:
    due = ends.due
    qty = _persistent(run)
    bought = _purchases(found, ends.closes, due)
    covered = sum(event.qty for event in bought)
    source = rules.sources[run.kb]
    day = facts.as_of.day
    state = state_by_day(len(run.days) >= run.needed and covered >= qty, day, due)
    assumed = ("settlement_date",) if any(lot.is_assumed for lot in found.lots) else ()
    return Obligation(
        rule=run.rule,
        kind="duty",
        citation=source.citation,
        kb=run.kb,
        basis=f"day {len(run.days)} of {run.needed} settlement days on a threshold list",
        lot=None,
        holder=PARTICIPANT,
        qty=qty,
        open_qty=0 if state == "cured" else max(qty - covered, 0),
        start_date=str(run.days[0]),
        nominal_date=str(ends.last),
        due_date=str(due),
        due_time=None,
        counting="settlement days",
        days_left=None if state == "cured" else calendar.count(day, due, "trading"),
        state=state,
        remedy=("purchase",),
        assumed=assumed,
        evidence=tuple(event.label for event in bought),
        alternatives=(),
        confidence=source.confidence,
    )


def _purchases(found: Replayed, after: datetime, due: date | None) -> list[Event]:
    """The purchases that can close out: after the count was complete, up to the due day."""
    return [
        event
        for event in found.events
        if event.given.type == "purchase"
        and event.why_not_counted is None
        and event.at > after
        and (due is None or event.at.date() <= due)
    ]
