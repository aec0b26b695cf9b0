"""The calendar equals two published libraries on every day that they know (section 3.7).

finops does not need them: `.ci/run` installs them in an environment of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from finops_cli.clock.market_calendar import Calendar, builtin_calendar
from finops_cli.kb.rulebook import KnowledgeBase

pytestmark = [
    pytest.mark.calendars,
    pytest.mark.filterwarnings("ignore"),  # of pandas, about the code of the two libraries
]
FIRST, LAST = date(2004, 1, 1), date(2027, 12, 31)
NEW_YORK = ZoneInfo("America/New_York")
EARLY = time(13)
KEPT_BY_SIFMA = {date(2021, 4, 2), date(2023, 4, 7), date(2026, 4, 3)}
"""Good Fridays on which the payrolls of the month are published: the bond market opens until noon,
so SIFMA_US has a session. NASD, FINRA and a broker's calendar say that no equity settles on a Good
Friday (section 3.2), so the product has no settlement day there."""


@pytest.fixture(scope="module")
def calendar(kb: KnowledgeBase) -> Calendar:
    """The calendar of the knowledge base."""
    return builtin_calendar(kb.calendar)


@pytest.fixture(scope="module")
def nyse() -> Any:
    """XNYS of exchange_calendars, from 2004 to the last day that it knows."""
    library = pytest.importorskip("exchange_calendars")
    return library.get_calendar("XNYS", start=str(FIRST))


@pytest.fixture(scope="module")
def sifma() -> Any:
    """SIFMA_US of pandas_market_calendars."""
    return pytest.importorskip("pandas_market_calendars").get_calendar("SIFMA_US")


def days_to(last: date) -> Iterator[date]:
    """Yield each day from 2004 to `last`."""
    day = FIRST
    while day <= last:
        yield day
        day += timedelta(1)


def last_known(nyse: Any) -> date:
    """Return the last day that XNYS knows, at most the end of 2027."""
    return min(nyse.last_session.date(), LAST)


def test_trading_days_equal_exchange_calendars(calendar: Calendar, nyse: Any) -> None:
    """Rule: each day trades where XNYS has a session, and on no other day."""
    sessions = {session.date() for session in nyse.sessions}
    last = last_known(nyse)
    differences = [
        (day, calendar.facts(day).reason)
        for day in days_to(last)
        if calendar.facts(day).trading != (day in sessions)
    ]
    assert differences == []
    assert len([day for day in sessions if day <= last]) > 5_900


def test_early_closes_equal_exchange_calendars(calendar: Calendar, nyse: Any) -> None:
    """Rule: each session that ends at 13:00 Eastern Time is an early close, and no other one is."""
    closes = {
        session.date(): close.tz_convert(NEW_YORK).time() for session, close in nyse.closes.items()
    }
    differences = [
        (day, closes.get(day))
        for day in days_to(last_known(nyse))
        if calendar.facts(day).early_close != (closes.get(day) == EARLY)
    ]
    assert differences == []


def test_settlement_days_equal_sifma_less_good_friday(calendar: Calendar, sifma: Any) -> None:
    """Rule: each day settles where SIFMA_US has a session, apart from three Good Fridays."""
    sessions = {session.date() for session in sifma.valid_days(str(FIRST), str(LAST))}
    differences = {
        day for day in days_to(LAST) if calendar.facts(day).settlement != (day in sessions)
    }
    assert differences == KEPT_BY_SIFMA
    for day in differences:
        assert calendar.facts(day).reason == "Good Friday, exchange holiday"
