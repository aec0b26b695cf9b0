"""The days that an obligation counted, one by one (`--explain`)."""

from __future__ import annotations

from datetime import date

import msgspec

from finops_cli.clock.market_calendar import Calendar, Counter
from finops_cli.domain.clock import CountedDay, Obligation

_COUNTERS: dict[str, Counter] = {
    "business days": "business",
    "calendar days": "calendar",
    "settlement days": "settlement",
}


def add_days(obligations: list[Obligation], calendar: Calendar) -> list[Obligation]:
    """Add to each dated obligation every day from its start to its due date."""
    return [_with_days(obligation, calendar) for obligation in obligations]


def _with_days(obligation: Obligation, calendar: Calendar) -> Obligation:
    if obligation.counting is None or not obligation.start_date or not obligation.due_date:
        return obligation
    counter = _COUNTERS[obligation.counting]
    if counter == "settlement" and obligation.rule.startswith("SHO-204"):
        counter = "counts_204"
    last = max(obligation.due_date, obligation.nominal_date or "")
    start, end = date.fromisoformat(obligation.start_date), date.fromisoformat(last)
    counts_start = obligation.due_time is None and counter == "settlement"
    days = [
        CountedDay(str(day), _counts(day, start, counter, calendar, counts_start), facts.reason)
        for day, facts in calendar.days(start, end)
    ]
    return msgspec.structs.replace(obligation, days=tuple(days))


def _counts(
    day: date, start: date, counter: Counter, calendar: Calendar, counts_start: bool
) -> bool:
    """True if the day counts; the first day counts only for the threshold counter."""
    return (day > start or counts_start) and calendar.is_counted(day, counter)
