"""Dates under the formats of a mapping: lists of formats, times of day and day numbers."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finops_cli.importers.dates import DateFault, find_overlap, read_day, read_moment

US, UK, DE, WORDS, SHORT = "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%b-%Y", "%m/%d/%y"
FORMATS = (US, UK, DE, WORDS, SHORT, "%d.%m.%y", "%Y/%m/%d", "%b %d, %Y", "%Y%m%d", "%d%m%Y")


@pytest.mark.parametrize(
    ("text", "formats", "day"),
    [
        ("2026-11-18", (), "2026-11-18"),
        ("20261118", (), "2026-11-18"),
        ("2026-11-18 00:00:00", (), "2026-11-18"),
        ("2026-11-18T16:30:00.000", (), "2026-11-18"),
        ("11/18/2026", (US,), "2026-11-18"),
        ("1/2/2026", (US,), "2026-01-02"),
        ("11/18/2026 4:30 PM", (US,), "2026-11-18"),
        ("11/18/2026 16:30 ET", (US,), "2026-11-18"),
        ("18.11.2026", (US, DE), "2026-11-18"),
        ("18-Nov-2026", (US, WORDS), "2026-11-18"),
        ("11/18/26", (SHORT, US), "2026-11-18"),
        ("11/18/2026", (SHORT, US), "2026-11-18"),
        ("18.11.99", ("%d.%m.%y",), "2099-11-18"),
    ],
)
def test_date_in_a_format_of_the_mapping_is_read(
    text: str, formats: tuple[str, ...], day: str
) -> None:
    """Rule: one of the formats reads a cell; a time of day is left out; %y is in this century."""
    assert read_day(text, formats) == day


@pytest.mark.parametrize(
    ("text", "formats", "why"),
    [
        ("11/12/2026", (), ""),
        ("46344", (), "a day number of a spreadsheet"),
        ("46344.5", (US,), "a day number of a spreadsheet"),
        ("11/12/2026", (US, UK), "which the formats of the mapping read as 2026-11-12 and as"),
        ("2026-11-18T02:00:00Z", (), "a moment with a time zone, which may be another day"),
        ("2026-11-18 02:00+01:00", (), "a moment with a time zone, which may be another day"),
        ("11/18/2026 25:00", (US,), "with a time of day that does not exist"),
        ("11/18/2026 13:00 PM", (US,), "with a time of day that does not exist"),
        ("2/29/2026", (US,), ""),
        ("11/18/0026", (US,), "a date before 1900-01-01"),
        ("2026-11-18", (US,), ""),
        ("123456", (), ""),
        ("12345678", (), ""),
        ("", (), ""),
    ],
)
def test_text_that_may_be_another_date_is_refused(
    text: str, formats: tuple[str, ...], why: str
) -> None:
    """Rule: a text with two dates, with a zone, or without a date is refused, with the reason."""
    with pytest.raises(DateFault) as refused:
        read_day(text, formats)
    assert refused.value.why.startswith(why)
    assert bool(refused.value.why) is bool(why)


@pytest.mark.parametrize(
    ("text", "formats", "moment"),
    [
        ("2026-11-18", (), "2026-11-18"),
        ("2026-11-18 08:30", (), "2026-11-18T08:30"),
        ("2026-11-18T08:30:15", (), "2026-11-18T08:30:15"),
        ("2026-11-18T08:30-05:00", (), "2026-11-18T08:30-05:00"),
        ("2026-11-18T08:30:00.000", (), "2026-11-18T08:30:00"),
        ("11/18/2026", (US,), "2026-11-18"),
        ("11/18/2026 8:30 AM", (US,), "2026-11-18T08:30"),
        ("11/18/2026 12:00 AM", (US,), "2026-11-18T00:00"),
        ("11/18/2026 12:30 p.m.", (US,), "2026-11-18T12:30"),
        ("2026-11-18T08:30", (US,), "2026-11-18T08:30"),
        ("2026-11-12 08:30", ("%Y-%d-%m",), "2026-12-11T08:30"),
    ],
)
def test_moment_keeps_its_time_of_day(text: str, formats: tuple[str, ...], moment: str) -> None:
    """Rule: a moment is a date in a format of the mapping, with a time of day."""
    assert read_moment(text, formats) == moment


@pytest.mark.parametrize(
    ("formats", "overlaps"),
    [
        ((US, UK), True),
        ((US, DE, WORDS), False),
        ((US, SHORT), False),
        (("%Y%m%d", "%d%m%Y"), True),
        (("%d%m%Y", "%Y%m%d"), True),
        (("%y%m%d", "%d%m%y"), True),
        (("%d-%b-%Y", "%d-%m-%Y"), False),
        ((US, US), True),
        ((), False),
    ],
)
def test_formats_that_read_one_cell_twice_are_found(
    formats: tuple[str, ...], overlaps: bool
) -> None:
    """Rule: two formats of a mapping may not read one text."""
    assert (find_overlap(formats) is not None) is overlaps


days = st.dates(date(2000, 1, 1), date(2099, 12, 31))


@given(days, st.sampled_from(FORMATS))
def test_date_is_read_back_in_the_format_it_was_written_in(day: date, date_format: str) -> None:
    """Rule: reading inverts writing, for each format."""
    assert read_day(day.strftime(date_format), (date_format,)) == day.isoformat()


@given(days, st.lists(st.sampled_from(FORMATS), min_size=2, max_size=3, unique=True))
def test_list_of_formats_never_reads_another_date(day: date, formats: list[str]) -> None:
    """Rule: where a mapping may have a list of formats, each date keeps its meaning."""
    assume(find_overlap(formats) is None)
    for each in formats:
        assert read_day(day.strftime(each), formats) == day.isoformat()


@given(days, st.sampled_from(FORMATS), st.times())
def test_time_of_day_does_not_change_the_date(day: date, date_format: str, time: time) -> None:
    """Rule: a time of day behind a date leaves the date as it is."""
    text = f"{day.strftime(date_format)} {datetime.combine(day, time):%H:%M:%S}"
    assert read_day(text, (date_format,)) == day.isoformat()


@given(days, st.sampled_from(FORMATS), st.integers(0, 9), st.sampled_from("0123456789/.- "))
def test_damaged_date_is_read_only_as_it_is_written(
    day: date, date_format: str, place: int, sign: str
) -> None:
    """Rule: a text that is read is the date that it says in the format of the mapping."""
    text = day.strftime(date_format)
    text = text[:place] + sign + text[place + 1 :]
    try:
        read = read_day(text, (date_format,))
    except DateFault:
        return
    written = date.fromisoformat(read).strftime(date_format)
    assert _digits(written) == _digits(text)


def _digits(text: str) -> list[str]:
    return [part.lstrip("0") for part in text.replace(",", " ").replace(".", " ").split()]
