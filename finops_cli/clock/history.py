"""The netted position of a security by settlement day (sections 2.2 and 6.1)."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

from finops_cli.clock.facts import (
    RULE,
    Facts,
    read_day,
    read_trade_date,
    settling_day,
    trade_date_of,
)
from finops_cli.clock.lots import GivenLot, compare_qty
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.refusal import Refused
from finops_cli.domain.clock_facts import HistoryRow
from finops_cli.kb.chapters.clock import ClockRules


class Position(NamedTuple):
    """The open quantity at a moment: the end of a day, or the snapshot of its morning."""

    at: datetime
    day: date
    qty: int
    is_snapshot: bool
    new: int | None
    sale_type: str
    trade_date: date
    first_settlement: date | None
    """The settlement date of the first quantity, where it is before the first row."""
    field: str
    is_carried: bool
    """True for a day without a row."""

    def lot_of(self, qty: int) -> GivenLot:
        """A lot of `qty` shares that failed on this day."""
        return GivenLot(self.day, self.trade_date, self.sale_type, qty)


def read_positions(facts: Facts, calendar: Calendar, rules: ClockRules) -> list[Position]:
    """The known positions of `fail_history` in the order of time. Raises Refused.

    Every row is checked. A row that is later than the moment is left out, with a warning.
    """
    rows = facts.given.fail_history
    if rows and facts.given.lots:
        raise Refused("lots", "given beside fail_history", "one of the two", RULE)
    found: list[Position] = []
    before: int | None = None
    last: date | None = None
    for number, row in enumerate(rows):
        place = f"fail_history/{number}"
        day = settling_day(f"{place}/date", read_day(f"{place}/date", row.date, calendar), calendar)
        if last is not None and day <= last:
            raise Refused(f"{place}/date", day, f"a day after {last}: the rows rise", RULE)
        _check_quantities(row, before, place)
        if number == 0:
            _check_first(row, day, facts)
        if last is not None:
            found += _carry(found[-1], day, facts=facts, calendar=calendar, rules=rules)
        is_first = number == 0
        found += _positions(
            row, day, place, is_first=is_first, facts=facts, calendar=calendar, rules=rules
        )
        before, last = row.qty, day
    known = [each for each in found if each.at <= facts.as_of.moment]
    while known and known[-1].is_carried:
        known.pop()  # a later row says that these days exist: it is not known yet
    if any(not each.is_carried for each in found[len(known) :]):
        facts.warnings.append("history.after_as_of: rows later than as_of are not used")
    return known


def _check_quantities(row: HistoryRow, before: int | None, place: str) -> None:
    if row.new is not None and row.new > row.qty:
        raise Refused(f"{place}/new", row.new, f"at most qty, {row.qty:,}", RULE)
    if before is not None and row.open_qty is not None and row.open_qty > before:
        accepted = f"at most the quantity before it, {before:,}"
        raise Refused(f"{place}/open_qty", row.open_qty, accepted, RULE)
    left = before if row.open_qty is None else row.open_qty
    if left is not None and row.new is not None and row.qty > left + row.new:
        accepted = f"at most the quantity before it plus new, {left + row.new:,}"
        raise Refused(f"{place}/qty", row.qty, accepted, RULE)


def _check_first(row: HistoryRow, day: date, facts: Facts) -> None:
    """Refuse a first row that is open in the morning of a day on which nothing was failing yet."""
    if row.open_qty and facts.settlement_date >= day:
        accepted = f"0, or a settlement_date before {day}"
        raise Refused("fail_history/0/open_qty", row.open_qty, accepted, RULE)


def _positions(
    row: HistoryRow,
    day: date,
    place: str,
    *,
    is_first: bool,
    facts: Facts,
    calendar: Calendar,
    rules: ClockRules,
) -> list[Position]:
    """The positions of a row: the snapshot of its morning, if it has one, and the end of its day.

    What the first row shows first dates from the settlement date of the record.
    """
    first = None
    if is_first and facts.settlement_date < day and row.open_qty != 0:
        first = facts.settlement_date
        facts.warnings.append(
            f"history.begins_late: the fail dates from {first}, the rows from {day}"
        )
    since = first if row.open_qty is None else None
    end = Position(
        at=datetime.combine(day, rules.times.close),
        day=day,
        qty=row.qty,
        is_snapshot=False,
        new=row.new,
        sale_type=row.sale_type or facts.sale_type,
        trade_date=_trade_of(row, since or day, place, facts=facts, calendar=calendar, rules=rules),
        first_settlement=since,
        field=f"{place}/qty",
        is_carried=False,
    )
    if row.open_qty is None:
        return [end]
    morning = end._replace(
        at=datetime.combine(day, rules.times.snapshot),
        qty=row.open_qty,
        is_snapshot=True,
        new=0,
        trade_date=_trade_of(row, first or day, place, facts=facts, calendar=calendar, rules=rules),
        first_settlement=first,
    )
    return [morning, end]


def _carry(
    before: Position, until: date, *, facts: Facts, calendar: Calendar, rules: ClockRules
) -> list[Position]:
    """The quantity of each settlement day between two rows: the one before it."""
    found = []
    day = calendar.add(before.day, 1, "settlement")
    while day < until:
        found.append(
            before._replace(
                at=datetime.combine(day, rules.times.close),
                day=day,
                is_snapshot=False,
                is_carried=True,
                new=None,
                sale_type=facts.sale_type,
                trade_date=trade_date_of(day, calendar, rules),
                first_settlement=None,
            )
        )
        day = calendar.add(day, 1, "settlement")
    return found


def _trade_of(
    row: HistoryRow,
    day: date,
    place: str,
    *,
    facts: Facts,
    calendar: Calendar,
    rules: ClockRules,
) -> date:
    if row.trade_date is not None:
        latest = date.fromisoformat(row.date)
        return read_trade_date(f"{place}/trade_date", row.trade_date, latest, calendar)
    if day == facts.settlement_date:
        return facts.trade_date
    return trade_date_of(day, calendar, rules)


def series_warnings(
    facts: Facts, positions: list[Position], calendar: Calendar, rules: ClockRules
) -> list[str]:
    """The warnings about gaps, a stale end, and a quantity that the record does not have."""
    days = [each.day for each in positions if not each.is_snapshot and not each.is_carried]
    found: list[str] = []
    if not days:
        return found
    last_known = last_known_day(facts, calendar, rules)
    for earlier, later in pairwise(days):
        missing = calendar.count(earlier, later, "settlement") - 1
        if missing:
            found.append(f"history.gap: {missing} settlement days between {earlier} and {later}")
    if days[-1] < last_known:
        found.append(f"history.stale: the rows end on {days[-1]}, {last_known} is known")
    last = positions[-1].qty
    if last != facts.record.qty:
        what = compare_qty("the history ends with", last, facts.record.qty)
        found.append(f"history.qty: {what}")
    return found


def last_known_day(facts: Facts, calendar: Calendar, rules: ClockRules) -> date:
    """The last settlement day whose end is known at the moment of the clock (section 2.4)."""
    day = calendar.on_or_before(facts.as_of.day, "settlement")
    ends = datetime.combine(day, rules.times.close)
    return day if ends <= facts.as_of.moment else calendar.add(day, -1, "settlement")
