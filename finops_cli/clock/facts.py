"""The dates and facts that a clock starts from, and what it assumes (section 2)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache

from finops_cli.clock.market_calendar import Calendar, Counter, DayFacts, OutsideCalendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused, refuse_outside
from finops_cli.domain.clock import AsOfSource, SettlementBasis
from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.fail import FailRecord
from finops_cli.kb.chapters.clock import ClockRules, RuleFamily

RULE = "clock.strictest"
NO_FACTS = ClockFacts()
_LONGEST_WAY = timedelta(14)
"""More calendar days than any trade takes to settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The moment of a clock, and where it comes from."""

    moment: datetime
    source: AsOfSource

    @property
    def day(self) -> date:
        """The calendar day of the moment."""
        return self.moment.date()


@dataclass(slots=True, kw_only=True)
class Facts:
    """A fail as the clock sees it. `assumptions` and `warnings` grow while it is computed."""

    record: FailRecord
    given: ClockFacts
    as_of: AsOf
    trade_date: date
    settlement_date: date
    basis: SettlementBasis
    cycle_days: int
    sale_type: str
    venue: str
    security_type: str
    rules_of_type: frozenset[str]
    """The `RuleFamily`s that reach this type of security."""
    owes_delivery: bool
    """True for a fail to deliver, False for a fail to receive.

    The direction decides. `has_delivery_obligation` of the cards differs: side Sell is enough.
    """
    assumptions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_days(
        self, start: date, days: int, counter: Counter, *, name: str, calendar: Calendar
    ) -> date | None:
        """The day of a date that is shown and binds nobody; None, with a warning that gives `name`,
        where the calendar ends before it.
        """
        try:
            return calendar.add(start, days, counter)
        except OutsideCalendar:
            self.warnings.append(f"calendar.range: {name} is after {calendar.last}: not computed")
            return None

    def is_under(self, rule: RuleFamily) -> bool:
        """True if `rule` reaches this type of security (kb: `clock.security_types`)."""
        return rule in self.rules_of_type

    @property
    def has_close_out_duty(self) -> bool:
        """True for a fail to deliver, at a clearing agency, of a security under Regulation SHO."""
        return self.owes_delivery and self.venue == "cns" and self.is_under("SHO")


def resolve_as_of(record: FailRecord, option: AsOf | None) -> AsOf | None:
    """The moment of the option, else of the record. Raises Refused for an impossible moment."""
    if option is not None:
        return option
    given = record.clock_facts
    if given is None or given.as_of is None:
        return None
    return AsOf(moment=read_moment("as_of", given.as_of), source="record")


def read_moment(name: str, text: str) -> datetime:
    """Read a moment of a record. Raises Refused."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise Refused(name, text, "a day or moment that exists", RULE) from error


def read_day(name: str, text: str, calendar: Calendar) -> date:
    """Read a day of a record that the calendar covers. Raises Refused."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Refused(name, text, "a day that exists, YYYY-MM-DD", RULE) from error
    check_covered(name, day, calendar)
    return day


def read_facts(record: FailRecord, as_of: AsOf, calendar: Calendar, rules: ClockRules) -> Facts:
    """Resolve the facts of `record`. Raises Refused for facts that contradict each other."""
    given = record.clock_facts or NO_FACTS
    assumptions: list[str] = []
    warnings: list[str] = []
    check_covered("as_of", as_of.day, calendar)
    trade = _trade_date(given, calendar)
    settlement, basis = _settlement(record, given, trade, as_of, calendar, rules)
    if trade is not None and settlement < trade:
        raise Refused("settlement_date", settlement, f"a day from {trade} on, the trade date", RULE)
    if trade is None:
        trade = trade_date_of(settlement, calendar, rules)
        assumptions.append(f"trade_date absent: {trade} is taken, the strictest for {settlement}")
    elif basis == "given" and regular_way(trade, calendar, rules) != settlement:
        regular = regular_way(trade, calendar, rules)
        warnings.append(f"settlement_date {settlement} is not regular way: {trade} gives {regular}")
    if basis == "age_days":
        assumptions.append(f"settlement_date absent: {settlement} is taken from age_days")
    elif (age := _age(settlement, as_of.day, calendar)) != record.age_days:
        warnings.append(f"age_days is {record.age_days}, the dates give {age}")
    security_type = _security_type(record, given, rules, assumptions)
    if not rules.rules_by_type[security_type]:
        warnings.append(f"security_type {security_type}: out of scope, no date is computed")
    return Facts(
        record=record,
        given=given,
        as_of=as_of,
        trade_date=trade,
        settlement_date=settlement,
        basis=basis,
        cycle_days=cycle_days(trade, rules),
        sale_type=given.sale_type or "unknown",
        venue=given.venue or ("ex_clearing" if record.cns_direction == "N_A" else "cns"),
        security_type=security_type,
        rules_of_type=rules.rules_by_type[security_type],
        owes_delivery=record.cns_direction == "FTD"
        or (record.cns_direction == "N_A" and record.side == "Sell"),
        assumptions=assumptions,
        warnings=warnings,
    )


def _security_type(
    record: FailRecord, given: ClockFacts, rules: ClockRules, assumptions: list[str]
) -> str:
    if given.security_type is not None:
        return given.security_type
    if record.cusip[: rules.issuer_characters] in rules.treasury_issuers:
        assumptions.append("security_type absent: treasury, by the issuer number of the CUSIP")
        return "treasury"
    assumptions.append("security_type absent: equity is taken")
    return "equity"


def _settlement(
    record: FailRecord,
    given: ClockFacts,
    trade: date | None,
    as_of: AsOf,
    calendar: Calendar,
    rules: ClockRules,
) -> tuple[date, SettlementBasis]:
    if given.settlement_date is not None:
        day = read_day("settlement_date", given.settlement_date, calendar)
        return settling_day("settlement_date", day, calendar), "given"
    if trade is not None:
        return regular_way(trade, calendar, rules), "trade_date"
    try:
        known = calendar.on_or_before(as_of.day, "settlement")
        return calendar.add(known, -record.age_days, "settlement"), "age_days"
    except OutsideCalendar as error:
        raise refuse_outside("settlement_date", error) from error


def settling_day(name: str, day: date, calendar: Calendar) -> date:
    """Return `day` if it settles. Raises Refused."""
    if not check_covered(name, day, calendar).settlement:
        raise Refused(name, day, _suggest(day, "settles", "settlement", calendar), RULE)
    return day


def read_trade_date(name: str, text: str, settlement: date, calendar: Calendar) -> date:
    """Read the trade date of a lot that settles on `settlement`. Raises Refused."""
    day = trading_day(name, read_day(name, text, calendar), calendar)
    if day > settlement:
        accepted = f"a day up to {settlement}, the settlement date"
        raise Refused(name, day, accepted, RULE)
    return day


def trading_day(name: str, day: date, calendar: Calendar) -> date:
    """Return `day` if it trades. Raises Refused."""
    if not check_covered(name, day, calendar).trading:
        raise Refused(name, day, _suggest(day, "trades", "trading", calendar), RULE)
    return day


def _suggest(day: date, verb: str, counter: Counter, calendar: Calendar) -> str:
    """Name the counted days around `day` that the calendar covers."""
    found = []
    for step in (-1, 1):
        with suppress(OutsideCalendar):
            found.append(str(calendar.add(day, step, counter)))
    reason = calendar.facts(day).reason
    return f"a day that {verb}, such as {' or '.join(found)} ({day}: {reason})"


def _trade_date(given: ClockFacts, calendar: Calendar) -> date | None:
    if given.trade_date is None:
        return None
    day = read_day("trade_date", given.trade_date, calendar)
    return trading_day("trade_date", day, calendar)


def check_covered(name: str, day: date, calendar: Calendar) -> DayFacts:
    """Return the kinds of `day`. Raises Refused for a day outside the calendar."""
    try:
        return calendar.facts(day)
    except OutsideCalendar as error:
        raise refuse_outside(name, error) from error


def count_age(given: ClockFacts, as_of: AsOf, calendar: Calendar, rules: ClockRules) -> int | None:
    """Settlement days from the settlement date, given or of the trade date, to the moment.

    None without a date; negative for a date after the moment. Raises Refused.
    """
    trade = _trade_date(given, calendar)
    if given.settlement_date is not None:
        day = read_day("settlement_date", given.settlement_date, calendar)
        settlement = settling_day("settlement_date", day, calendar)
        if trade is not None and settlement < trade:
            accepted = f"a day from {trade} on, the trade date"
            raise Refused("settlement_date", settlement, accepted, RULE)
    elif trade is not None:
        settlement = regular_way(trade, calendar, rules)
    else:
        return None
    check_covered("as_of", as_of.day, calendar)
    days = calendar.count(settlement, as_of.day, "settlement")
    return days if settlement <= as_of.day else min(days, -1)


def _age(settlement: date, day: date, calendar: Calendar) -> int:
    return max(calendar.count(settlement, day, "settlement"), 0)


def cycle_days(trade: date, rules: ClockRules) -> int:
    """Settlement days from trade date to contractual settlement (section 4)."""
    for start in rules.cycles:
        if trade >= start.first_trade_date:
            return start.days
    first = rules.cycles[-1].first_trade_date
    raise Refused("trade_date", trade, f"a day from {first} on", "clock.cycles")


@lru_cache(maxsize=4096)
def regular_way(trade: date, calendar: Calendar, rules: ClockRules) -> date:
    """The contractual settlement date of a trade."""
    try:
        return calendar.add(trade, cycle_days(trade, rules), "settlement")
    except OutsideCalendar as error:
        raise refuse_outside("trade_date", error) from error


@lru_cache(maxsize=4096)
def trade_date_of(settlement: date, calendar: Calendar, rules: ClockRules) -> date:
    """The earliest trade date that settles regular way on `settlement`.

    If no trade date does, the last one that settles before it (section 2.3).
    """
    day = max(settlement - _LONGEST_WAY, calendar.first)
    last = None
    while day <= settlement:
        if calendar.facts(day).trading:
            found = regular_way(day, calendar, rules)
            if found == settlement:
                return day
            if found < settlement:
                last = day
        day += timedelta(1)
    if last is None:
        accepted = f"a day that a trade from {calendar.first} on settles on"
        raise Refused("settlement_date", settlement, accepted, "calendar.range")
    return last
