"""Moments are Eastern Time, by the fixed rule of section 2.1 of regulatory-clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_cli.clock.moments import format_moment, parse_day, parse_moment, to_eastern, to_utc

NEW_YORK = ZoneInfo("America/New_York")
MINUTES = st.integers(0, 25 * 365 * 24 * 60)
FIRST = datetime.combine(date(2004, 1, 1), time.min)


@pytest.mark.parametrize(
    ("text", "eastern"),
    [
        ("2026-11-27", "2026-11-27T00:00"),
        ("2026-11-27T09:15", "2026-11-27T09:15"),
        ("2026-11-27T09:15:07", "2026-11-27T09:15:07"),
        ("2026-11-27T14:15:00Z", "2026-11-27T09:15"),
        ("2026-11-27T14:15:00+00:00", "2026-11-27T09:15"),
        ("2026-11-27T09:15-05:00", "2026-11-27T09:15"),
        ("2026-11-27T09:15-04:00", "2026-11-27T08:15"),
        ("2026-07-01T14:15Z", "2026-07-01T10:15"),
        ("2026-07-01T23:45+05:30", "2026-07-01T14:15"),
        ("2026-01-01T02:00Z", "2025-12-31T21:00"),
        ("2025-12-31T23:00-06:00", "2026-01-01T00:00"),
        # The second Sunday of March at 07:00Z: 01:59 is followed by 03:00.
        ("2026-03-08T06:59Z", "2026-03-08T01:59"),
        ("2026-03-08T07:00Z", "2026-03-08T03:00"),
        ("2015-03-08T07:00Z", "2015-03-08T03:00"),
        # The first Sunday of November at 06:00Z: 01:00 to 01:59 occurs twice.
        ("2026-11-01T05:59Z", "2026-11-01T01:59"),
        ("2026-11-01T06:00Z", "2026-11-01T01:00"),
        ("2026-11-01T06:59:59Z", "2026-11-01T01:59:59"),
        # Until 2006: from the first Sunday of April to the last Sunday of October.
        ("2006-03-12T12:00Z", "2006-03-12T07:00"),
        ("2006-04-02T06:59Z", "2006-04-02T01:59"),
        ("2006-04-02T07:00Z", "2006-04-02T03:00"),
        ("2006-10-29T05:59Z", "2006-10-29T01:59"),
        ("2006-10-29T06:00Z", "2006-10-29T01:00"),
        ("2004-10-31T06:00Z", "2004-10-31T01:00"),
        ("2007-03-11T07:00Z", "2007-03-11T03:00"),
        ("2007-11-04T05:59Z", "2007-11-04T01:59"),
    ],
)
def test_parse_moment_gives_eastern_time(text: str, eastern: str) -> None:
    """Rule: a moment without an offset is Eastern Time; one with an offset is converted."""
    assert format_moment(parse_moment(text)) == eastern


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "20261127",
        "2026-W48-5",
        "2026-11-27 09:15",
        "2026-11-27T09",
        "2026-11-27T0915",
        "2026-11-27T09:15:00.5",
        "2026-11-27T09:15+0500",
        "2026-11-27T09:15z",
        "2026-11-27T24:00",
        "2026-11-27T24:00:00Z",
        "2026-11-27T09:60",
        # 02:00 to 02:59 of the second Sunday of March does not exist.
        "2026-03-08T02:00",
        "2026-03-08T02:59:59",
        "2006-04-02T02:30",
        "2026-11-27T09:15:60",
        "2026-11-27T09:15+24:00",
        "2026-02-29",
        "2026-13-01",
        "0000-01-01",
        "2026-11-27\n",
        " 2026-11-27",
        "\u0662\u0660\u0662\u0666-11-27",
        "0001-01-01T00:00:00+10:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:00:00-05:00",
    ],
)
def test_parse_moment_other_text_raises_value_error(text: str) -> None:
    """Rule: a moment has the form that records have; another text raises one kind of error."""
    with pytest.raises(ValueError):
        parse_moment(text)


@pytest.mark.parametrize("text", ["", "20261127", "2026-W48-5", "2026-11-27T00:00", "2026-02-30"])
def test_parse_day_other_text_raises_value_error(text: str) -> None:
    """Rule: a day is YYYY-MM-DD."""
    with pytest.raises(ValueError):
        parse_day(text)


def test_parse_day_reads_a_day() -> None:
    """Rule: a day is YYYY-MM-DD."""
    assert parse_day("2024-02-29") == date(2024, 2, 29)


@given(MINUTES)
def test_to_eastern_equals_the_time_zone_database(minutes: int) -> None:
    """Rule: the fixed rule agrees with zoneinfo at every minute from 2004 to 2028."""
    utc = FIRST + timedelta(minutes=minutes)
    expected = utc.replace(tzinfo=UTC).astimezone(NEW_YORK).replace(tzinfo=None)
    assert to_eastern(utc) == expected.replace(fold=0)


@pytest.mark.parametrize("year", range(2004, 2029))
def test_to_eastern_changes_with_the_time_zone_database(year: int) -> None:
    """Rule: around each change of the clocks, the fixed rule agrees with zoneinfo."""
    for month in (3, 4, 10, 11):
        hour = datetime.combine(date(year, month, 1), time.min)
        while hour.month == month:
            for utc in (hour - timedelta(seconds=1), hour):
                expected = utc.replace(tzinfo=UTC).astimezone(NEW_YORK)
                assert to_eastern(utc) == expected.replace(tzinfo=None, fold=0)
            hour += timedelta(hours=1)


@given(MINUTES)
def test_to_utc_is_the_inverse_of_to_eastern(minutes: int) -> None:
    """Rule: back and forth gives the moment, but for the hour that occurs twice: summer time."""
    utc = FIRST + timedelta(minutes=minutes)
    eastern = to_eastern(utc)
    occurs_twice = to_eastern(utc - timedelta(hours=1)) == eastern
    assert to_utc(eastern) == (utc - timedelta(hours=1) if occurs_twice else utc)
