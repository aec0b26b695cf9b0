"""The lots that a record gives, or the one lot that it is (section 6.1)."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from finops_cli.clock.facts import Facts, read_day, read_trade_date, settling_day, trade_date_of
from finops_cli.clock.market_calendar import Calendar
from finops_cli.kb.chapters.clock import ClockRules


class GivenLot(NamedTuple):
    """Shares of one settlement date."""

    settlement: date
    trade: date
    sale_type: str
    qty: int


def given_lots(facts: Facts, calendar: Calendar, rules: ClockRules) -> list[GivenLot]:
    """The lots of `clock_facts.lots`, else the whole fail as one lot. Raises Refused."""
    given = facts.given.lots
    if not given:
        record = facts.record
        return [GivenLot(facts.settlement_date, facts.trade_date, facts.sale_type, record.qty)]
    found = []
    for number, lot in enumerate(given):
        name = f"lots/{number}/settlement_date"
        day = settling_day(name, read_day(name, lot.settlement_date, calendar), calendar)
        if lot.trade_date is None:
            is_of_record = day == facts.settlement_date
            trade = facts.trade_date if is_of_record else trade_date_of(day, calendar, rules)
        else:
            name = f"lots/{number}/trade_date"
            trade = read_trade_date(name, lot.trade_date, day, calendar)
        found.append(GivenLot(day, trade, lot.sale_type or facts.sale_type, lot.qty))
    total = sum(lot.qty for lot in found)
    if total != facts.record.qty:
        facts.warnings.append(f"qty is {facts.record.qty:,}, the lots sum to {total:,}")
    return found
