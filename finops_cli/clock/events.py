"""The events of a fail, checked and in the order of time (section 6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import NamedTuple

from finops_cli.clock.facts import RULE, check_covered, read_day, read_moment, settling_day
from finops_cli.clock.lots import ShareEvent
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.moments import format_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock_facts import ClockEvent
from finops_cli.kb.chapters.clock import Times

_MOVES_SHARES = ("purchase", "borrow", "delivery", "allocation")
_RULES = {
    "extension": ("15c3-3(m)", "15c3-3(d)(2)", "15c3-3(d)(3)"),
    "notice": ("SHO-204(c)(1)", "SHO-204(c)(2)"),
}
"""The rules that an event of a type can name."""
_HOUR = "T"
"""The letter between the day and the hour of a moment."""
_WITH_QTY = ("purchase", "borrow", "delivery", "allocation", "customer_delivery", "receipt")


class Event(NamedTuple):
    """An event with its moment in Eastern Time."""

    at: datetime
    position: int
    """The place in the record, which orders events of one moment."""
    given: ClockEvent

    @property
    def qty(self) -> int:
        """Shares; 0 for events without a quantity."""
        return self.given.qty or 0

    @property
    def label(self) -> str:
        """The event in words, for evidence."""
        name = f" {self.given.id}" if self.given.id else ""
        shares = f" of {self.qty:,}" if self.qty else ""
        return f"{self.given.type}{name}{shares} at {format_moment(self.at)}"

    @property
    def has_hour(self) -> bool:
        """True if the moment has an hour, False for a day alone."""
        return _HOUR in self.given.at

    @property
    def why_not_counted(self) -> str | None:
        """The reason why a purchase, borrow or allocation counts for nothing; None if it counts."""
        if self.given.bona_fide is False:
            return f"{self.label} does not count: not bona fide (204(f))"
        if self.given.net_position == "short":
            return f"{self.label} does not count: the net position is short"
        return None


def read_events(given: Iterable[ClockEvent], calendar: Calendar, times: Times) -> list[Event]:
    """Check the events and sort them by moment. Raises Refused naming the event."""
    found = []
    seen: dict[str, ClockEvent] = {}
    for number, event in enumerate(given):
        place = f"events/{number}"
        at = read_moment(f"{place}/at", event.at)
        if lacks_hour(event):
            at = datetime.combine(at.date(), times.day_only)
        if event.id is not None and event.id in seen:
            same = seen[event.id] == event
            accepted = "an event that is given once" if same else "an id that no other event has"
            raise Refused(f"{place}/id", event.id, accepted, RULE)
        if event.id is not None:
            seen[event.id] = event
        check_covered(f"{place}/at", at.date(), calendar)
        _check(event, at.date(), place, calendar)
        found.append(Event(at, number, event))
    return sorted(found, key=_moment_then_content)


def lacks_hour(event: ClockEvent) -> bool:
    """True for moved shares that have a day and no hour: they count from `day_only` of the kb
    entry `clock.times`, the end of the day.
    """
    return event.type in _MOVES_SHARES and _HOUR not in event.at


def _moment_then_content(event: Event) -> tuple[datetime, str, int, str, str, int]:
    """Order by moment, then by content, so that the order in the record has no effect."""
    given = event.given
    return (event.at, given.type, event.qty, given.id or "", repr(given), event.position)


def _check(event: ClockEvent, day: date, place: str, calendar: Calendar) -> None:
    if event.type in _WITH_QTY and event.qty is None:
        raise Refused(f"{place}/qty", "missing", f"the shares of the {event.type}", RULE)
    if event.type == "allocation" and event.to is None:
        raise Refused(f"{place}/to", "missing", "the broker-dealer that gets the shares", RULE)
    accepted = _RULES.get(event.type)
    if accepted is not None and event.rule not in accepted:
        raise Refused(f"{place}/rule", event.rule or "missing", ", ".join(accepted), RULE)
    if event.type == "extension":
        if event.until is None:
            raise Refused(f"{place}/until", "missing", "the day that it extends to", RULE)
        read_day(f"{place}/until", event.until, calendar)
    if event.settled_on is not None:
        settled = read_day(f"{place}/settled_on", event.settled_on, calendar)
        if settled < day:
            raise Refused(f"{place}/settled_on", settled, f"a day from {day} on", RULE)
    if event.for_settlement_date is not None:
        name = f"{place}/for_settlement_date"
        settling_day(name, read_day(name, event.for_settlement_date, calendar), calendar)


def share_event(event: Event, as_of: datetime, known_from: time) -> ShareEvent:
    """The shares that an event moves. A settlement later than the moment is not known yet."""
    given = event.given
    settled = None if given.settled_on is None else date.fromisoformat(given.settled_on)
    if settled is not None and datetime.combine(settled, known_from) > as_of:
        settled = None
    named = given.for_settlement_date
    return ShareEvent(
        kind=given.type,
        at=event.at,
        qty=event.qty,
        label=event.label,
        settled_on=settled,
        shown_flat=given.net_position in ("long", "flat"),
        lot_named=None if named is None else date.fromisoformat(named),
        refused=None if given.type == "delivery" else event.why_not_counted,
    )
