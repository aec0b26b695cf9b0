"""Four kinds of day over one calendar (regulatory-clock, section 3)."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Literal, NamedTuple

from finops_cli.domain.clock import CalendarId
from finops_cli.kb.chapters.market_calendar import CalendarRules

Counter = Literal["trading", "settlement", "counts_204", "business", "calendar"]
"""The kinds of day that deadlines are counted in; `counts_204` is settlement days without
unscheduled closings, and `calendar` is every day."""

_WEEKEND = "Saturday or Sunday"
_FIRST_OF_WEEKEND = 5


class OutsideCalendar(Exception):
    """A count that leaves the days that the calendar covers."""

    def __init__(self, day: date, first: date, last: date) -> None:
        super().__init__(f"{day} is outside the calendar. Expected a day from {first} to {last}.")
        self.day, self.first, self.last = day, first, last


class DayFacts(NamedTuple):
    """The kinds of one day, and the reason if it differs from a plain weekday."""

    trading: bool
    settlement: bool
    business: bool
    counts_204: bool
    reason: str
    early_close: bool = False


class DayOverride(NamedTuple):
    """The entry of a desk's file for one day; None keeps the built-in value."""

    trading: bool | None = None
    settlement: bool | None = None
    business: bool | None = None
    counts_204: bool | None = None
    name: str | None = None
    basis: str | None = None


class Calendar:
    """Counts days. Days outside the covered range raise OutsideCalendar."""

    def __init__(
        self,
        rules: CalendarRules,
        overrides: Mapping[date, DayOverride] | None = None,
        exempt: frozenset[str] = frozenset(),
    ) -> None:
        self.reviewed = rules.reviewed
        self._unsure = {
            "counts_204": rules.closings_interpreted,
            "business": rules.business_interpreted,
        }
        self.exempt = exempt
        """Broker-dealers that did not cause the fail, by certificate (section 7.1)."""
        given = overrides or {}
        days = _build(rules)
        if given:
            days = dict(_lay_over(days, given))
        self.first, self.last = min(days), max(days)
        self._days = days
        self._counted: dict[str, list[int]] = {}
        digest = hashlib.sha256()
        kinds = {id(facts): facts for facts in days.values()}  # many days share one object
        text_of = {key: "|".join(map(str, facts)) for key, facts in kinds.items()}
        lines = [f"{day.isoformat()} {text_of[id(facts)]}\n" for day, facts in days.items()]
        digest.update("".join(lines).encode())
        digest.update(repr(sorted(exempt)).encode())
        self.identity = CalendarId(
            rules.id, digest.hexdigest(), len(given), rules.reviewed.isoformat()
        )

    def facts(self, day: date) -> DayFacts:
        """The kinds of `day`."""
        found = self._days.get(day)
        if found is None:
            raise OutsideCalendar(day, self.first, self.last)
        return found

    def is_counted(self, day: date, counter: Counter) -> bool:
        """True if `day` counts."""
        facts = self.facts(day)
        return True if counter == "calendar" else bool(getattr(facts, counter))

    def add(self, day: date, count: int, counter: Counter) -> date:
        """The `count`-th counted day after `day`; before it if `count` is negative."""
        if counter == "calendar":
            return self._covered(day + timedelta(count))
        self.facts(day)
        days = self._list_counted(counter)
        place = (
            bisect_right(days, day.toordinal()) + count - 1
            if count > 0
            else bisect_left(days, day.toordinal()) + count
        )
        if count == 0:
            return day
        if not 0 <= place < len(days):
            raise OutsideCalendar(self._beyond(count), self.first, self.last)
        return date.fromordinal(days[place])

    def count(self, start: date, end: date, counter: Counter) -> int:
        """The counted days after `start` up to `end`; negative if `end` is before `start`."""
        if counter == "calendar":
            return (self._covered(end) - self._covered(start)).days
        self.facts(start)
        self.facts(end)
        days = self._list_counted(counter)
        return bisect_right(days, end.toordinal()) - bisect_right(days, start.toordinal())

    def is_unsure(self, start: date, end: date, counter: Counter) -> bool:
        """True if a count from `start` to `end` passes a closing that is counted by our reading."""
        return any(start < day <= end for day in self._unsure.get(counter, ()))

    def on_or_before(self, day: date, counter: Counter) -> date:
        """`day` if it counts, else the last counted day before it."""
        return day if self.is_counted(day, counter) else self.add(day, -1, counter)

    def on_or_after(self, day: date, counter: Counter) -> date:
        """`day` if it counts, else the first counted day after it."""
        return day if self.is_counted(day, counter) else self.add(day, 1, counter)

    def days(self, start: date, end: date) -> Iterator[tuple[date, DayFacts]]:
        """Each day from `start` to `end`, with its kinds."""
        day = start
        while day <= end:
            yield day, self.facts(day)
            day += timedelta(1)

    def _list_counted(self, counter: str) -> list[int]:
        """List the days that count, as ordinals. A list is made when it is first asked for."""
        found = self._counted.get(counter)
        if found is None:
            days = self._days.items()
            found = [day.toordinal() for day, facts in days if getattr(facts, counter)]
            self._counted[counter] = found
        return found

    def _covered(self, day: date) -> date:
        self.facts(day)
        return day

    def _beyond(self, count: int) -> date:
        return self.last + timedelta(1) if count > 0 else self.first - timedelta(1)


@cache
def builtin_calendar(rules: CalendarRules) -> Calendar:
    """The calendar of the knowledge base, without a desk's changes."""
    return Calendar(rules)


def _build(rules: CalendarRules) -> dict[date, DayFacts]:
    shut: dict[date, str] = {}
    banks: dict[date, str] = {}
    early: dict[date, str] = {}
    for year in range(rules.first.year, rules.last.year + 1):
        shut |= rules.exchange_holidays(year)
        banks |= rules.bank_holidays_of(year)
        early |= rules.early_closes_of(year)
    all_days = map(date.fromordinal, range(rules.first.toordinal(), rules.last.toordinal() + 1))
    days = {
        day: _WEEKEND_DAY if day.weekday() >= _FIRST_OF_WEEKEND else _PLAIN_DAY for day in all_days
    }
    for day in {*shut, *rules.closings, *banks, *early}:
        if days.get(day) is _PLAIN_DAY:
            days[day] = _judge(day, shut=shut, banks=banks, early=early, rules=rules)
    return days


def _judge(
    day: date,
    *,
    shut: Mapping[date, str],
    banks: Mapping[date, str],
    early: Mapping[date, str],
    rules: CalendarRules,
) -> DayFacts:
    """Return the kinds of a weekday with a holiday, a closing or an early close."""
    if day in shut:
        return _shut_day(f"{shut[day]}, exchange holiday")
    if day in rules.closings:
        return DayFacts(
            trading=False,
            settlement=True,
            business=True,
            counts_204=day in rules.closings_counted,
            reason=f"{rules.closings[day]}, exchanges closed",
        )
    if day in banks:
        reason = f"{banks[day]}, bank holiday"
        return _PLAIN_DAY._replace(settlement=False, counts_204=False, reason=reason)
    return _PLAIN_DAY._replace(reason=f"{early[day]}, early close", early_close=True)


def _shut_day(reason: str) -> DayFacts:
    return DayFacts(
        trading=False, settlement=False, business=False, counts_204=False, reason=reason
    )


_PLAIN_DAY = DayFacts(trading=True, settlement=True, business=True, counts_204=True, reason="")
_WEEKEND_DAY = _shut_day(_WEEKEND)


def _lay_over(
    days: dict[date, DayFacts], overrides: Mapping[date, DayOverride]
) -> Iterator[tuple[date, DayFacts]]:
    """Yield the days in order, as the desk's file changes them and adds to them."""
    changed = dict(days)
    for day, given in overrides.items():
        changed[day] = _override(days.get(day), given)
    yield from sorted(changed.items())


def _pick(given: bool | None, built_in: bool) -> bool:
    return built_in if given is None else given


def _override(found: DayFacts | None, given: DayOverride) -> DayFacts:
    base = found or _shut_day("")
    trading = _pick(given.trading, base.trading)
    settlement = _pick(given.settlement, base.settlement)
    moved = given.trading is not None or given.settlement is not None
    return DayFacts(
        trading=trading,
        settlement=settlement,
        business=_pick(given.business, base.business),
        counts_204=_pick(given.counts_204, trading and settlement if moved else base.counts_204),
        reason=", ".join(text for text in (given.name, given.basis) if text) or base.reason,
        early_close=base.early_close and trading,
    )
