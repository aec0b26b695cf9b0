"""On the way to a threshold list, and off it: the test of each settlement day (section 8.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from msgspec import Struct

from finops_cli.clock.facts import RULE
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.refusal import Refused
from finops_cli.kb.chapters.clock import ClockRules


class SeriesDay(NamedTuple):
    """The aggregate fails of a security at the end of a settlement day, in shares."""

    day: date
    qty: int
    last_sale: Decimal | None = None
    """Dollars a share; needed where the issuer does not report."""


class ThresholdDay(Struct, frozen=True, kw_only=True):
    """How near a security is to a threshold list, or to leaving it, at the end of a day."""

    date: str
    qty: int
    over: bool
    """True if the day meets the test."""
    run: int
    """Consecutive days that met the test, this day included."""
    days_to_threshold: int | None
    """Days that are still needed; None while the security is listed."""
    listed: bool
    """True from the end of the last day of the test: the next list has the security."""
    listed_from: str | None
    days_to_delisting: int | None
    """Days below the test that are still needed; None while the security is not listed."""
    delisted_from: str | None


def watch_threshold(
    series: Iterable[SeriesDay],
    shares_outstanding: int | None,
    calendar: Calendar,
    rules: ClockRules,
) -> Iterator[ThresholdDay]:
    """Yield the state of each day. `shares_outstanding` is None where the issuer does not report.

    Raises Refused for a day that does not settle, or a gap: a quantity of 0 must be said.
    """
    over = below = 0
    listed_from: date | None = None
    delisted_from: date | None = None
    last: date | None = None
    for number, each in enumerate(series, start=1):
        _check_day(each, last, number, calendar)
        last = each.day
        meets = _meets(each, shares_outstanding, rules, number)
        over, below = (over + 1, 0) if meets else (0, below + 1)
        tomorrow = calendar.add(each.day, 1, "settlement")
        on_list = listed_from is not None and delisted_from is None
        if not on_list and over == rules.list_days:
            listed_from, delisted_from, on_list = tomorrow, None, True
        elif on_list and below == rules.list_days:
            delisted_from, on_list = tomorrow, False
        yield ThresholdDay(
            date=str(each.day),
            qty=each.qty,
            over=meets,
            run=over,
            days_to_threshold=None if on_list else max(rules.list_days - over, 0),
            listed=on_list,
            listed_from=None if listed_from is None else str(listed_from),
            days_to_delisting=max(rules.list_days - below, 0) if on_list else None,
            delisted_from=None if delisted_from is None else str(delisted_from),
        )


def _check_day(each: SeriesDay, last: date | None, number: int, calendar: Calendar) -> None:
    name = f"series/{number}/date"
    if not calendar.facts(each.day).settlement:
        reason = calendar.facts(each.day).reason
        raise Refused(name, each.day, f"a settlement day ({reason})", RULE)
    expected = each.day if last is None else calendar.add(last, 1, "settlement")
    if each.day != expected:
        accepted = f"{expected}, the next settlement day; write a quantity of 0 for a day without"
        raise Refused(name, each.day, accepted, RULE)


def _meets(each: SeriesDay, shares_outstanding: int | None, rules: ClockRules, number: int) -> bool:
    if each.qty < rules.list_min_shares:
        return False
    if shares_outstanding is not None:
        return each.qty * rules.list_outstanding_divisor >= shares_outstanding
    if each.last_sale is None:
        accepted = "the last sale price, where the issuer does not report"
        raise Refused(f"series/{number}/last_sale", "missing", accepted, RULE)
    return Fraction(each.last_sale) * each.qty >= rules.list_min_value_usd
