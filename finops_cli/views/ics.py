"""The obligations of the close-out clock as a calendar file (RFC 5545; regulatory-clock, 13).

Equal input gives equal bytes. A later export gives an obligation the same UID, so that a calendar
program updates it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from finops_cli.domain.clock import Clock, Obligation
from finops_cli.files.terminal import printable
from finops_cli.views.entries import AgendaEntry, RejectedEntry, count_open_shares
from finops_cli.views.wording import write_confidence

_OPEN = frozenset({"breached", "due_today", "running"})
_CURED = "cured"
"""An entry of an earlier export has to change: it is cancelled under its UID."""
_LINE_OCTETS = 75
_ZONE = "America/New_York"
_HEAD = (
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//finops//close-out clock//EN",
    "CALSCALE:GREGORIAN",
    "BEGIN:VTIMEZONE",
    f"TZID:{_ZONE}",
    "BEGIN:DAYLIGHT",
    "DTSTART:20070311T020000",
    "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU",
    "TZOFFSETFROM:-0500",
    "TZOFFSETTO:-0400",
    "TZNAME:EDT",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "DTSTART:20071104T020000",
    "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU",
    "TZOFFSETFROM:-0400",
    "TZOFFSETTO:-0500",
    "TZNAME:EST",
    "END:STANDARD",
    "END:VTIMEZONE",
)
"""The rules of daylight saving time since 2007, the year before Rule 204 began."""


def render_calendar(
    entries: Iterable[AgendaEntry | RejectedEntry], as_of_utc: datetime
) -> Iterator[bytes]:
    """Yield the calendar file: an event for each obligation that is breached, due or running.

    An obligation that is cured has an event with the status CANCELLED, which takes the entry of an
    earlier export out of the calendar. A rejected record has no event. Raises ValueError if
    `as_of_utc` has no offset from UTC.
    """
    if as_of_utc.tzinfo is None:
        raise ValueError(f"as_of_utc is {as_of_utc}, without an offset. Expected a moment in UTC.")
    stamp = as_of_utc.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    yield _encode(_HEAD)
    for entry in entries:
        if isinstance(entry, RejectedEntry):
            continue
        for obligation in entry.clock.obligations:
            is_shown = obligation.state in _OPEN or obligation.state == _CURED
            if is_shown and obligation.due_date is not None:
                yield _encode(_write_event(entry, obligation, obligation.due_date, stamp))
    yield _encode(("END:VCALENDAR",))


def make_uid(fail_id: str, obligation: Obligation) -> str:
    """The identity of an obligation of a fail: equal in each export.

    It is the digest of a JSON list, so that no text of a field can look like a separator.
    """
    key = json.dumps(
        [fail_id, obligation.rule, obligation.lot, obligation.holder], separators=(",", ":")
    )
    return f"{hashlib.sha256(key.encode('ascii')).hexdigest()}@finops"


def _write_event(
    entry: AgendaEntry, obligation: Obligation, due_date: str, stamp: str
) -> Iterator[str]:
    summary = f"{obligation.rule} {entry.fail_id} {entry.cusip} {count_open_shares(obligation):,}"
    yield "BEGIN:VEVENT"
    yield f"UID:{make_uid(entry.fail_id, obligation)}"
    yield f"DTSTAMP:{stamp}"
    yield _write_start(due_date, obligation.due_time)
    yield f"SUMMARY:{_escape(summary)}"
    yield f"DESCRIPTION:{_escape(_describe(obligation, entry.clock))}"
    if obligation.state == _CURED:
        yield "STATUS:CANCELLED"
    yield "END:VEVENT"


def _write_start(due_date: str, due_time: str | None) -> str:
    """Write the due moment; an obligation without a time of day takes the whole day."""
    day = due_date.replace("-", "")
    if due_time is None:
        return f"DTSTART;VALUE=DATE:{day}"
    return f"DTSTART;TZID={_ZONE}:{day}T{due_time.replace(':', ''):0<6}"


def _describe(obligation: Obligation, clock: Clock) -> str:
    calendar = clock.calendar
    return "\n".join(
        (
            f"State: {obligation.state.replace('_', ' ')} as of {clock.as_of} ET",
            f"Citation: {obligation.citation}",
            f"Basis: {obligation.basis}",
            *(f"Evidence: {each}" for each in obligation.evidence),
            *(f"Assumption: {each}" for each in clock.assumptions),
            f"Confidence: {write_confidence(obligation.confidence)}",
            f"Calendar: {calendar.id}, sha256 {calendar.sha256}, overrides {calendar.overrides}",
        )
    )


def _escape(text: str) -> str:
    r"""Escape a text value: `\`, `;`, `,` and line ends; other control characters are shown."""
    shown = printable(text.replace("\r\n", "\n").replace("\r", "\n"))
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        shown = shown.replace(plain, escaped)
    return shown


def _encode(lines: Iterable[str]) -> bytes:
    return b"".join(_fold(line.encode()) for line in lines)


def _fold(line: bytes) -> bytes:
    """Break a line after at most 75 octets, never inside a character, and end it."""
    parts = []
    start, room = 0, _LINE_OCTETS
    while len(line) - start > room:
        end = start + room
        while line[end] & 0xC0 == 0x80:  # an octet that goes on with a character
            end -= 1
        parts.append(line[start:end])
        start, room = end, _LINE_OCTETS - 1  # a space begins the lines after the first
    parts.append(line[start:])
    return b"\r\n ".join(parts) + b"\r\n"
