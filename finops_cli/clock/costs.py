"""Charges that grow with the age of a fail (section 10): never obligations."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal

from finops_cli.clock.facts import Facts
from finops_cli.clock.history import last_known_day
from finops_cli.clock.lots import OpenLot, by_age
from finops_cli.clock.market_calendar import Calendar
from finops_cli.clock.replay import Replayed
from finops_cli.domain.clock import CostItem
from finops_cli.kb.chapters.clock import ClockRules

_CENT = Decimal("0.01")
_PERCENT = Decimal(100)
_EXACT = Context(prec=200)
"""Digits enough for every product and for the cents of every quotient."""


def cost_items(
    facts: Facts, found: Replayed, calendar: Calendar, rules: ClockRules
) -> list[CostItem]:
    """The capital charge of 15c3-1, and the margin that NSCC adds for each lot."""
    if not facts.owes_delivery:
        return []
    known = last_known_day(facts, calendar, rules)
    total = sum(lot.open for lot in found.lots)
    is_charged = facts.venue == "cns" and facts.is_under("NSCC-fails-charge")
    is_charged = is_charged and facts.as_of.day >= rules.fails_charge_from
    items = []
    for lot in by_age(found.lots):
        if lot.open and facts.is_under("15c3-1"):
            items.append(_capital_charge(lot, facts, calendar, rules))
        if lot.open and is_charged and lot.settlement <= known:
            items.append(
                _fails_charge(lot, total, known, facts=facts, calendar=calendar, rules=rules)
            )
    return items


def _capital_charge(lot: OpenLot, facts: Facts, calendar: Calendar, rules: ClockRules) -> CostItem:
    source = rules.sources["clock.15c3_1"]
    days = rules.capital_business_days
    name = f"the charge of 15c3-1 on the lot of {lot.settlement}"
    start = facts.add_days(lot.settlement, days, "business", name=name, calendar=calendar)
    return CostItem(
        rule="15c3-1(c)(2)(ix)",
        citation=source.citation,
        kb=source.kb,
        lot=str(lot.settlement),
        from_date=None if start is None else str(start),
        in_force=start is not None and facts.as_of.day >= start,
        fail_day=None,
        rate_pct=None,
        amount_usd=None,
        effective=None,
        basis=f"{days} business days after settlement date; no amount is computed",
        confidence=source.confidence,
    )


def _fails_charge(
    lot: OpenLot,
    total: int,
    known: date,
    *,
    facts: Facts,
    calendar: Calendar,
    rules: ClockRules,
) -> CostItem:
    source = rules.sources["clock.fails_charge"]
    fail_day = calendar.count(lot.settlement, known, "settlement") + 1
    rate = rules.fails_charge_pct.of(Decimal(fail_day))
    amount = compute_charge(facts.record.market_value, rate, lot.open, total)
    return CostItem(
        rule="NSCC-fails-charge",
        citation=source.citation,
        kb=source.kb,
        lot=str(lot.settlement),
        from_date=str(lot.settlement),
        in_force=True,
        fail_day=fail_day,
        rate_pct=rate,
        amount_usd=amount,
        effective=f"approved {rules.fails_charge_from}, start not verified",
        basis="estimate of Clearing Fund margin: market value of the lot x rate",
        confidence=source.confidence,
    )


def compute_charge(
    market_value: Decimal, rate_pct: Decimal, part: int = 1, total: int = 1
) -> Decimal:
    """The charge on `part` of `total` shares of a market value, half up to cents."""
    product = _EXACT.multiply(_EXACT.multiply(market_value, rate_pct), Decimal(part))
    charged = _EXACT.divide(product, _EXACT.multiply(Decimal(total), _PERCENT))
    return charged.quantize(_CENT, ROUND_HALF_UP, _EXACT)
