"""The days that an obligation counted, one by one (`--explain`)."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from finops_cli.clock.market_calendar import Calendar, Counter
from finops_cli.domain.clock import CountedDay, Obligation

_COUNTERS: dict[str, Counter] = {
    "business days": "business",
    "calendar days": "calendar",
    "settlement days": "settlement",
}


def add_days(obligations: list[Obligation], calendar: Calendar) -> list[Obligation]:
    """Add to each dated obligation every day from its start to its due date.

    A day behind the nominal date does not count, such as the opening after the thirteenth day.
    """
    return [_with_days(obligation, calendar) for obligation in obligations]


def _with_days(obligation: Obligation, calendar: Calendar) -> Obligation:
    if obligation.counting is None or not obligation.start_date or not obligation.due_date:
        return obligation
    counter = _COUNTERS[obligation.counting]
    if counter == "settlement" and obligation.rule.startswith("SHO-204"):
        counter = "counts_204"
    last = max(obligation.due_date, obligation.nominal_date or "")
    start, end = date.fromisoformat(obligation.start_date), date.fromisoformat(last)
    nominal = date.fromisoformat(obligation.nominal_date or last)
    before_first = start
    if counter == "settlement":
        before_first -= timedelta(1)  # the threshold counter begins with its first day
    days = [
        CountedDay(
            str(day),
            before_first < day <= nominal and calendar.is_counted(day, counter),
            facts.reason,
        )
        for day, facts in calendar.days(start, end)
    ]
    return msgspec.structs.replace(obligation, days=tuple(days))
