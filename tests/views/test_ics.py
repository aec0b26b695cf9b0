"""The calendar file of the close-out clock, read back with the package `icalendar`."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from icalendar import Calendar, Event

from finops_cli.domain.clock import Obligation
from finops_cli.views.entries import AgendaEntry, RejectedEntry
from finops_cli.views.ics import make_uid, render_calendar
from tests.support.clock_blocks import change_obligation, make_entry

AS_OF = datetime(2026, 11, 17, 5, 0, tzinfo=UTC)


def render(*entries: AgendaEntry | RejectedEntry, as_of: datetime = AS_OF) -> bytes:
    return b"".join(render_calendar(entries, as_of))


def read_events(*entries: AgendaEntry | RejectedEntry) -> list[Event]:
    return list(Calendar.from_ical(render(*entries)).walk("VEVENT"))


def obligation(**changes: Any) -> Obligation:
    return make_entry(change_obligation(**changes)).clock.obligations[0]


def test_calendar_event_has_the_fields_of_the_obligation() -> None:
    """An event has the due moment in New York, the stamp of as_of, and the texts of section 13."""
    (event,) = read_events(make_entry())
    start = event.decoded("DTSTART")
    assert start == datetime(2026, 11, 18, 14, 30, tzinfo=UTC)
    assert f"{start:%H:%M}" == "09:30"
    assert event["DTSTART"].params["TZID"] == "America/New_York"
    assert event.decoded("DTSTAMP") == AS_OF
    assert str(event["SUMMARY"]) == "SHO-204(a) F-1001 594918104 1,000"
    assert str(event["DESCRIPTION"]).splitlines() == [
        "State: running as of 2026-11-17T00:00 ET",
        "Citation: 17 CFR 242.204(a)",
        "Basis: 1 settlement days after settlement date",
        "Evidence: sale type given: short",
        "Confidence: verified",
        f"Calendar: builtin-2026.1, sha256 {'ab' * 32}, overrides 0",
    ]


def test_calendar_bytes_are_those_of_rfc_5545() -> None:
    """The file as a whole: its head, its time zone and one all-day event."""
    lines = render(make_entry(change_obligation(due_time=None))).decode().split("\r\n")
    assert lines[:6] == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//finops//close-out clock//EN",
        "CALSCALE:GREGORIAN",
        "BEGIN:VTIMEZONE",
        "TZID:America/New_York",
    ]
    assert lines[21] == "BEGIN:VEVENT"
    assert lines[22:26] == [
        f"UID:{make_uid('F-1001', obligation())}",
        "DTSTAMP:20261117T050000Z",
        "DTSTART;VALUE=DATE:20261118",
        r"SUMMARY:SHO-204(a) F-1001 594918104 1\,000",
    ]
    assert lines[-3:] == ["END:VEVENT", "END:VCALENDAR", ""]


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (date(2026, 3, 7), -5),
        (date(2026, 3, 8), -4),
        (date(2026, 10, 31), -4),
        (date(2026, 11, 1), -5),
        (date(2028, 3, 12), -4),
    ],
)
def test_calendar_time_zone_has_the_rules_since_2007(day: date, hours: int) -> None:
    """The offsets of the VTIMEZONE change on the second Sunday of March and the first of
    November.
    """
    (zone,) = Calendar.from_ical(render()).walk("VTIMEZONE")
    moment = datetime.combine(day, time(9, 30), zone.to_tz(lookup_tzid=False))
    assert moment.utcoffset() == timedelta(hours=hours)


def test_calendar_without_due_time_takes_the_whole_day() -> None:
    """An obligation without a time of day is an event of a day."""
    (event,) = read_events(make_entry(change_obligation(due_time=None)))
    assert event.decoded("DTSTART") == date(2026, 11, 18)
    assert event["DTSTART"].params["VALUE"] == "DATE"


@pytest.mark.parametrize(
    ("state", "count"),
    [
        ("breached", 1),
        ("due_today", 1),
        ("running", 1),
        ("not_started", 0),
        ("cured", 1),
        ("not_applicable", 0),
    ],
)
def test_calendar_has_events_of_open_obligations_only(state: str, count: int) -> None:
    """An obligation that is breached, due or running has an event; the others have none."""
    assert len(read_events(make_entry(change_obligation(state=state)))) == count


def test_calendar_cancels_a_cured_obligation() -> None:
    """Rule: a later export takes a duty that was met out of the calendar, under the same UID."""
    (running,) = read_events(make_entry())
    (cured,) = read_events(make_entry(change_obligation(state="cured", open_qty=0)))
    assert cured["UID"] == running["UID"]
    assert cured["STATUS"] == "CANCELLED"
    assert "STATUS" not in running


def test_calendar_event_names_assumptions_and_confidence() -> None:
    """Rule: an entry says what was assumed, and how far to trust its day."""
    said = "sale_type absent: taken as short, the strictest"
    entry = make_entry(change_obligation(confidence="unverified"), assumptions=[said])
    (event,) = read_events(entry)
    lines = str(event["DESCRIPTION"]).splitlines()
    assert f"Assumption: {said}" in lines
    assert "Confidence: unverified: from memory; counsel should confirm it" in lines


def test_calendar_leaves_out_rejected_and_undated() -> None:
    """A rejected record, and an obligation without a due day, have no event."""
    undated = make_entry(change_obligation(due_date=None, due_time=None))
    assert read_events(RejectedEntry("F-9", "not JSON"), undated) == []


def test_calendar_stamp_is_utc() -> None:
    """DTSTAMP is as_of in UTC, from a moment with another offset too."""
    eastern = AS_OF.astimezone(timezone(timedelta(hours=-5)))
    assert render(make_entry(), as_of=eastern) == render(make_entry())
    with pytest.raises(ValueError, match="without an offset"):
        render(make_entry(), as_of=AS_OF.replace(tzinfo=None))


def test_calendar_of_equal_input_has_equal_bytes() -> None:
    """Two renderings of the same input are equal byte by byte."""
    entries = [make_entry(fail_id=f"F-{number}") for number in range(20)]
    assert render(*entries) == render(*entries)


def test_uid_of_a_later_export_is_the_same() -> None:
    """A later state, due day or quantity keeps the UID, and other identities change it."""
    known = make_uid("F-1001", obligation())
    later = obligation(state="breached", due_date="2026-11-19", open_qty=3, days_left=-1)
    assert make_uid("F-1001", later) == known
    text = b'["F-1001","SHO-204(a)","2026-11-17","participant"]'
    assert known == f"{hashlib.sha256(text).hexdigest()}@finops"
    others = (
        make_uid("F-1002", obligation()),
        make_uid("F-1001", obligation(rule="SHO-204(a)(1)")),
        make_uid("F-1001", obligation(lot=None)),
        make_uid("F-1001", obligation(holder="BD-7")),
    )
    assert len({known, *others}) == 5


def test_uid_does_not_mix_up_neighbouring_fields() -> None:
    """A text that looks like a separator does not make two identities equal."""
    joined = make_uid('F","R', obligation(rule="X"))
    assert joined != make_uid("F", obligation(rule='R","X'))
    assert make_uid("F", obligation(lot=None)) != make_uid("F", obligation(lot="null"))


HOSTILE = "a,b;c\\d\\n, line\nEND:VEVENT\r\nX:1\rü"


def test_calendar_escapes_text() -> None:
    """Commas, semicolons, backslashes and line ends of a text come back as they were given."""
    (event,) = read_events(make_entry(change_obligation(evidence=[HOSTILE]), fail_id="F,1;2\\3"))
    assert str(event["SUMMARY"]) == "SHO-204(a) F,1;2\\3 594918104 1,000"
    shown = HOSTILE.replace("\r\n", "\n").replace("\r", "\n")
    assert f"Evidence: {shown}\nConfidence: verified" in str(event["DESCRIPTION"])
    text = render(make_entry(fail_id="F,1;2\\3")).decode()
    (raw,) = re.findall(r"^SUMMARY:.*", text, re.MULTILINE)
    assert raw.rstrip() == r"SUMMARY:SHO-204(a) F\,1\;2\\3 594918104 1\,000"


def test_calendar_shows_control_characters() -> None:
    """Control characters, which RFC 5545 forbids, and lone surrogates are written as escapes."""
    text = render(make_entry(fail_id="F\x00\x1b\ud800")).decode()
    assert r"F\\x00\\x1b\\ud800" in text
    assert {each for each in text if ord(each) < ord(" ")} == {"\r", "\n"}


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀", "a😀é"])
@pytest.mark.parametrize("shift", range(5))
def test_calendar_folds_at_75_octets_between_characters(letter: str, shift: int) -> None:
    """No line has over 75 octets, no character is cut in two, and the text comes back."""
    text = "x" * shift + letter * 100
    entry = make_entry(change_obligation(evidence=[text]))
    lines = render(entry).split(b"\r\n")
    assert max(map(len, lines)) <= 75
    assert all(line.decode() for line in lines[:-1])
    assert f"Evidence: {text}\n" in str(read_events(entry)[0]["DESCRIPTION"])


@pytest.mark.parametrize("octets", [74, 75, 76, 149, 150])
def test_calendar_folds_a_line_only_if_it_is_too_long(octets: int) -> None:
    """A line of 75 octets stays whole; one more begins a second line with a space."""
    base = len("SUMMARY:SHO-204(a)  594918104 1\\,000")
    lines = render(make_entry(fail_id="F" * (octets - base))).split(b"\r\n")
    start = next(place for place, line in enumerate(lines) if line.startswith(b"SUMMARY"))
    parts = [lines[start]]
    while lines[start + len(parts)].startswith(b" "):
        parts.append(lines[start + len(parts)])
    assert [len(part) for part in parts] == {
        74: [74],
        75: [75],
        76: [75, 2],
        149: [75, 75],
        150: [75, 75, 2],
    }[octets]
