"""Faults of a desk's own calendar and clock are refused with file, entry, field and value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.errors import KnowledgeError
from finops_cli.kb.load import load_kb
from tests.support.own_kb import change_kb
from tests.support.program import Finops

CALENDAR, CLOCK, INPUT = "calendar.toml", "regulatory-clock.toml", "input.toml"


DAY = "a day that exists, YYYY-MM-DD"
YEARLY = "a month and a day of every year, such as 12-25, or a month, a weekday"
CALENDAR_FAULTS = [
    ('"Christmas Day" = "12-25"', '"Christmas Day" = "02-30"', "fixed_holidays",
     "Christmas Day is 02-30", YEARLY),
    ('"Christmas Day" = "12-25"', '"Christmas Day" = "02-29"', "fixed_holidays",
     "Christmas Day is 02-29", YEARLY),
    ('"Labor Day" = "09 Monday 1"', '"Labor Day" = "09 Monday 5"', "floating_holidays",
     "Labor Day is 09 Monday 5", YEARLY),
    ('"Columbus Day" = "10 Monday 2"', '"Columbus Day" = "10 Sunday 2"', "bank_holidays",
     "Columbus Day is 10 Sunday 2", YEARLY),
    ('"Good Friday" = "2"', '"Good Friday" = "two"', "easter_holidays",
     "Good Friday is two", "a whole number of days before Easter Sunday, from -60 to 80"),
    ('"Juneteenth" = "2022"', '"Juneteeth" = "2022"', "holidays_since",
     "a name is Juneteeth", "a holiday: New Year's Day, Juneteenth"),
    ('"Juneteenth" = "2022"', '"Juneteenth" = "22"', "holidays_since",
     "Juneteenth is 22", "a year of four digits"),
    ('{ "New Year\'s Day" = "The', '{ "New Years Day" = "The', "kept_on_saturday",
     "a name is New Years Day", "a holiday: New Year's Day, Juneteenth"),
    ('"Thanksgiving Day 1"', '"Thanksgiving 1"', "early_closes",
     "Day after Thanksgiving is Thanksgiving", "a holiday: New Year's Day"),
    ('"Christmas Eve" = "12-24"', '"Christmas Eve" = "12-32"', "early_closes",
     "Christmas Eve is 12-32", "a month and a day of every year"),
    ('"Christmas Eve" = "12-24"', '"Christmas Eve" = "Thanksgiving Day 27"', "early_closes",
     "Christmas Eve is Thanksgiving Day 27", "one early close after Thanksgiving Day"),
    ('"2004-06-11" = "Mourning', '"2004-06-31" = "Mourning', "closings",
     "a date is 2004-06-31", DAY),
    ('"2012-10-29" = "No guidance was found.", "2012-10-30" = "No guidance was found." }',
     '"20121029" = "None." }', "closings_counted", "a date is 20121029", DAY),
    ('"2012-10-29" = "No guidance was found.", "2012-10-30" = "No guidance was found." }',
     '"2012-10-28" = "None." }', "closings_counted",
     "a date is 2012-10-28", "a day of calendar.closings"),
    ('first = "2004-01-01"', 'first = "2004-02-30"', "range", "first is 2004-02-30", DAY),
    ('last = "2028-12-31"', 'last = "2003-12-31"', "range",
     "last is 2003-12-31", "a day from first, 2004-01-01, to 2199-12-31"),
    ('last = "2028-12-31"', 'last = "9999-12-31"', "range",
     "last is 9999-12-31", "a day from first, 2004-01-01, to 2199-12-31"),
]  # fmt: skip
CLOCK_FAULTS = [
    ('members = { "1995-06-07" = 3, "2017-09-05" = 2, "2024-05-28" = 1 }', "members = {}",
     "cycles", "members is empty", "the first trade date of one cycle or more"),
    ('"2017-09-05" = 2', '"2017-09-05" = 1.5', "cycles",
     "2017-09-05 is 1.5", "a whole number from 1 to 5"),
    ('"2017-09-05" = 2', '"2017-09-31" = 2', "cycles", "a date is 2017-09-31", DAY),
    ('sho204_from = "2009-07-31"', 'sho204_from = "2009-7-31"', "eras",
     "sho204_from is 2009-7-31", DAY),
    ('open = "09:30"', 'open = "09:30:00+01:00"', "times",
     "open is 09:30:00+01:00", "a time of day, HH:MM, from 00:00 to 23:59"),
    ('close = "16:00", early', 'close = "24:00", early', "times",
     "close is 24:00", "a time of day, HH:MM"),
    ('early_close = "13:00"', 'early_close = "17:00"', "times",
     "early_close is 17:00", "a time after open, 09:30, and up to close, 16:00"),
    ("members = { calendar_days = 35 }", "members = { calendar_days = 35.5 }", "sho204a2",
     "calendar_days is 35.5", "a whole number"),
    ("members = { calendar_days = 35 }", "members = { calendar_days = 9999999999 }", "sho204a2",
     "calendar_days is 9999999999", "a whole number from 1 to 366"),
]  # fmt: skip
INPUT_FAULTS = [
    ("length.\"\nvalue = 6\n", "length.\"\nvalue = 0\n", "issuer_characters",
     "value is 0", "a whole number from 1 to 9"),
    ('"912794" = "Bills.', '"91279" = "Bills.', "treasury_issuers",
     "a number is 91279", "6 characters, as input.issuer_characters says"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "prefix", "fault"),
    [(CALENDAR, "calendar", fault) for fault in CALENDAR_FAULTS]
    + [(CLOCK, "clock", fault) for fault in CLOCK_FAULTS]
    + [(INPUT, "input", fault) for fault in INPUT_FAULTS],
    ids=lambda value: value[3] if isinstance(value, tuple) else "",
)
def test_kb_fault_names_file_entry_field_and_value(
    file: str, prefix: str, fault: tuple[str, ...], tmp_path: Path
) -> None:
    """Rule: a value that is not a day, name or count is refused when the kb is loaded."""
    old, new, entry, field_and_value, expected = fault
    folder = change_kb(tmp_path, file, old, new)
    with pytest.raises(KnowledgeError) as caught:
        load_kb(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / file}: kb entry {prefix}.{entry}: {field_and_value}")
    assert f"Expected {expected}" in message


def test_command_with_kb_fault_exits_2(tmp_path: Path, finops: Finops) -> None:
    """Rule: a command shows the fault as an error of the knowledge base, without a traceback."""
    folder = change_kb(tmp_path, CLOCK, '"2017-09-05" = 2', '"2017-09-05" = 1.5')
    done = finops("--kb", folder, "clock", "days", "2026-11-23", "2026-11-24")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert re.search(rb"kb entry clock\.cycles: 2017-09-05 is 1\.5", done.stderr)


def test_holiday_of_easter_begins_with_its_first_year(tmp_path: Path) -> None:
    """Rule: the first year of a holiday holds for a holiday that follows Easter too."""
    folder = change_kb(
        tmp_path, CALENDAR, '{ "Juneteenth" = "2022" }',
        '{ "Juneteenth" = "2022", "Good Friday" = "2020" }',
    )  # fmt: skip
    shut = load_kb(folder).calendar.exchange_holidays
    assert "Good Friday" not in shut(2019).values()
    assert "Good Friday" in shut(2020).values()
    builtin_calendar(load_kb(folder).calendar)
