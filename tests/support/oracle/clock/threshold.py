"""Section 8: the count of days on a threshold list, and the way to the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.facts import Facts, Refused
from tests.support.oracle.clock.lots import Ledger, applies

FIRST_LIST, FIRST_4320 = date(2005, 1, 10), date(2006, 7, 3)
END_OF_GRANDFATHERING = date(2007, 10, 15)
DAYS, LONG_DAYS = 13, 35


@dataclass
class Count:
    """The days of one rule that count, up to the last known settlement day."""

    rule: str
    needed: int
    run: list[date]
    is_old: bool = False
    """A position older than its listing, before the end of grandfathering."""
    last_day: date | None = None
    due: date | None = None
    persistent: int = 0
    bought_in_time: int = 0
    bought: int = 0
    is_reached: bool = False

    def counts(self) -> bool:
        """True when the last known day counts."""
        return bool(self.run) and not self.is_old

    def is_cured(self) -> bool:
        """True when purchases in time reach the persistent quantity."""
        return self.is_reached and self.bought_in_time >= self.persistent


def listing(facts: Facts, first_list: date) -> Callable[[date], bool] | None:
    """Return the test of a day for being listed; None without a listing fact (8.3)."""
    since = facts.given.get("threshold_since")
    if facts.listed:
        days = facts.listed

        def by_days(day: date) -> bool:
            known = [value for listed, value in days.items() if listed <= day]
            return day >= first_list and bool(known) and known[-1]

        return by_days
    if since is not None:
        start = max(first_list, date.fromisoformat(since))
        return lambda day: day >= start
    if facts.record["reg_sho_threshold"]:
        return lambda day: day >= first_list
    return None


def _run(last: date, holds: Callable[[date], bool]) -> list[date]:
    """List the settlement days up to `last` on which a condition holds without a break."""
    found: list[date] = []
    day = last
    while holds(day):
        found.append(day)
        day = cal.add(day, -1, cal.settles)
    return found[::-1]


def count_days(facts: Facts, ledger: Ledger) -> Count | None:
    """Return the count of a fail; None where the rules do not apply (8.1, 8.2, 8.4)."""
    if not applies(facts):
        return None
    is_4320 = facts.given.get("issuer_reporting") is False
    is_listed = listing(facts, FIRST_4320 if is_4320 else FIRST_LIST)
    if is_listed is None:
        return None
    quantities, last = _quantities(facts, ledger), facts.last_known

    def is_open(day: date) -> bool:
        return quantities.get(day, 0) > 0

    needed = DAYS
    if facts.given.get("rule_144") and facts.trade >= END_OF_GRANDFATHERING:
        needed = LONG_DAYS
    count = Count("FINRA-4320" if is_4320 else "SHO-203(b)(3)", needed, [])
    opened, listed = _run(last, is_open), _run(last, is_listed)
    count.run = opened[-len(listed) :] if listed else []
    if count.run and not is_4320 and opened[0] < listed[0]:
        if facts.today < END_OF_GRANDFATHERING:
            count.is_old = True
        elif listed[0] <= END_OF_GRANDFATHERING:
            count.needed = LONG_DAYS
            count.run = [day for day in count.run if day >= END_OF_GRANDFATHERING]
    if count.counts():
        _finish(count, facts, quantities)
    return count


def _quantities(facts: Facts, ledger: Ledger) -> dict[date, int]:
    """Return the quantity at the end of each settlement day; the first row reaches back to S."""
    quantities = dict(ledger.open_at_end)
    if ledger.has_history:
        first, morning = ledger.first_row, ledger.morning
        for day in list(quantities):
            if day < first:
                quantities[day] = quantities.get(first, 0) if morning is None else morning
    return quantities


def _finish(count: Count, facts: Facts, quantities: dict[date, int]) -> None:
    missing = count.needed - len(count.run)
    count.is_reached = missing <= 0
    if count.is_reached:
        count.last_day = count.run[count.needed - 1]
    else:
        count.last_day = cal.add(count.run[-1], missing, cal.settles)
    count.due = cal.add(count.last_day, 1, cal.trades)
    count.persistent = min(quantities[day] for day in count.run[: count.needed])
    for event in facts.events:
        if event.type != "purchase" or not event.counts():
            continue
        if event.at > cal.at(count.last_day, 16):
            count.bought += event.qty
            if event.at.date() <= count.due:
                count.bought_in_time += event.qty


def threshold_block(count: Count | None) -> dict[str, Any] | None:
    """Return the key `threshold` of the block."""
    if count is None:
        return None
    is_counting = count.counts()
    return {
        "rule": count.rule,
        "days_counted": len(count.run) if is_counting else 0,
        "days_needed": count.needed,
        "first_day": count.run[0].isoformat() if is_counting else None,
        "last_day": count.last_day.isoformat() if count.last_day else None,
        "due_date": count.due.isoformat() if count.due else None,
        "persistent_qty": count.persistent,
        "preborrow_required": (
            is_counting and count.is_reached and count.bought < count.persistent
        ),
    }


def threshold_series(
    rows: list[dict[str, Any]],
    shares_outstanding: int | None = None,
    last_sale: str | int | Decimal | None = None,
) -> dict[str, Any]:
    """Return where a security stands on the way to the list after the last row (8.5).

    `last_sale` is given for an issuer that does not report. Raises Refused.
    """
    if shares_outstanding is None and last_sale is None:
        raise Refused("shares_outstanding", None)
    run = below = 0
    is_listed = False
    listed_from: date | None = None
    delisted_from: date | None = None
    last: date | None = None
    for row in rows:
        day = cal.parse_day("date", row["date"])
        if not cal.settles(day) or (last and day != cal.add(last, 1, cal.settles)):
            raise Refused("date", row["date"])
        last, quantity = day, row["qty"]
        if last_sale is not None:
            is_over = quantity >= 10_000 and Decimal(str(last_sale)) * quantity >= 50_000
        else:
            is_over = quantity >= 10_000 and quantity * 200 >= (shares_outstanding or 0)
        run, below = (run + 1, 0) if is_over else (0, below + 1)
        if not is_listed and run == 5:
            is_listed, listed_from, delisted_from = True, cal.add(day, 1, cal.settles), None
        elif is_listed and below == 5:
            is_listed, delisted_from = False, cal.add(day, 1, cal.settles)
    return {
        "run": run,
        "days_to_threshold": None if is_listed else 5 - run,
        "listed": is_listed,
        "listed_from": listed_from.isoformat() if listed_from else None,
        "days_to_delisting": 5 - below if is_listed else None,
        "delisted_from": delisted_from.isoformat() if delisted_from else None,
    }
