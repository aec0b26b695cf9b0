"""Sections 9.4, 10 and 11: rights, costs, the card, and the whole block."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.boxes import box_block, boxes
from tests.support.oracle.clock.facts import Facts, read_facts
from tests.support.oracle.clock.lots import Ledger
from tests.support.oracle.clock.obligations import all_obligations, iso
from tests.support.oracle.clock.threshold import count_days, threshold_block
from tests.support.oracle.triage_oracle import deadline_of, exact

NO_FINRA_11810 = ("municipal", "treasury", "fund", "other")
FAILS_CHARGE_FROM = date(2025, 11, 25)
RATES = ((21, 100), (11, 20), (5, 15), (1, 5))


def clock_block(
    record: dict[str, Any], as_of: str | None, source: str = "option"
) -> dict[str, Any]:
    """Return the `clock` block of a fail record, without its free texts.

    Raises Refused.
    """
    facts = read_facts(record, as_of, source)
    ledger = Ledger(facts)
    count = count_days(facts, ledger)
    obligations = all_obligations(facts, ledger, count)
    binding = _binding(obligations)
    due = date.fromisoformat(binding["due_date"]) if binding else None
    seconds = ":%S" if facts.as_of.second else ""
    return {
        "as_of": facts.as_of.strftime(f"%Y-%m-%dT%H:%M{seconds}"),
        "as_of_source": facts.as_of_source,
        "calendar": {"id": "builtin-2026.1", "overrides": 0, "reviewed": "2026-11-20"},
        "trade_date": iso(facts.trade),
        "settlement_date": iso(facts.settlement),
        "settlement_date_basis": facts.basis,
        "cycle": f"T+{cal.cycle(facts.trade)}",
        "sale_type": facts.sale_type,
        "treated_as": "short" if facts.sale_type == "unknown" else facts.sale_type,
        "venue": facts.venue,
        "lots": [
            {
                "settlement_date": iso(lot.settlement),
                "qty": lot.left,
                "sale_type": lot.sale,
                "holder": lot.holder,
            }
            for lot in ledger.lots
            if lot.left > 0
        ],
        "obligations": obligations,
        "binding": binding["rule"] if binding else None,
        "binding_due": iso(due),
        "deadline_days": None if due is None else cal.count(facts.today, due, cal.settles),
        "penalty_boxes": [box_block(box) for box in boxes(facts, ledger)],
        "threshold": threshold_block(count),
        "rights": rights(facts, ledger),
        "costs": costs(facts, ledger),
        "card": card(facts, due),
    }


def _binding(obligations: list[dict[str, Any]]) -> dict[str, Any] | None:
    live = [
        item
        for item in obligations
        if item["kind"] == "duty" and item["state"] in ("breached", "due_today", "running")
    ]
    return min(
        live,
        key=lambda item: (item["due_date"], item["due_time"] or "24:00", item["rule"]),
        default=None,
    )


def card(facts: Facts, due: date | None) -> dict[str, Any]:
    """Return the deadline of the card beside the law's."""
    number = deadline_of(facts.record)
    if number is None:
        return {"deadline": None, "date": None, "later_than_law_by": None}
    day = cal.shown(facts.settlement, number, cal.settles)
    later = None if due is None or day is None else cal.count(due, day, cal.settles)
    return {"deadline": f"T+{number}", "date": iso(day), "later_than_law_by": later}


def rights(facts: Facts, ledger: Ledger) -> list[dict[str, Any]]:
    """Return who may buy in (9.4)."""
    found = []
    if facts.venue == "ex_clearing" and facts.security_type not in NO_FINRA_11810:
        for day in dict.fromkeys(lot.settlement for lot in ledger.lots if lot.left > 0):
            execution = cal.shown(day, 3, cal.settles)
            found.append(
                {
                    "rule": "FINRA-11810",
                    "holder": "counterparty" if facts.is_deliver else "ours",
                    "earliest_notice_date": iso(cal.shown(day, 1, cal.settles)),
                    "notice_by": "12:00",
                    "earliest_execution_date": iso(execution),
                }
            )
    for event in facts.events:
        if event.type == "cns_buy_in_notice" and facts.security_type != "other":
            day = event.at.date()
            found.append(
                {
                    "rule": "NSCC-buy-in",
                    "holder": "counterparty" if facts.is_deliver else "ours",
                    "earliest_notice_date": iso(day),
                    "notice_by": None,
                    "earliest_execution_date": iso(cal.shown(day, 2, cal.settles)),
                }
            )
    return found


def costs(facts: Facts, ledger: Ledger) -> list[dict[str, Any]]:
    """Return the charges on capital and margin (section 10)."""
    found: list[dict[str, Any]] = []
    lots = [lot for lot in ledger.lots if lot.left > 0]
    total = sum(lot.left for lot in lots)
    if not facts.is_deliver or facts.security_type == "other":
        return found
    for lot in lots:
        if facts.security_type != "municipal":
            start = cal.shown(lot.settlement, 5, cal.business)
            item = {
                "rule": "15c3-1(c)(2)(ix)",
                "from_date": iso(start),
                "in_force": start is not None and facts.today >= start,
            }
            found.append(_cost(iso(lot.settlement), item))
        day_before = lot.settlement - timedelta(days=1)
        fail_day = cal.count(day_before, facts.last_known, cal.settles)
        if facts.venue == "cns" and facts.today >= FAILS_CHARGE_FROM and fail_day > 0:
            rate = next(percent for first, percent in RATES if fail_day >= first)
            value = exact(facts.record["market_value"]) * lot.left * rate / (total * 100)
            amount = Decimal(value.numerator) / Decimal(value.denominator)
            item = {
                "rule": "NSCC-fails-charge",
                "from_date": iso(lot.settlement),
                "in_force": True,
                "fail_day": fail_day,
                "rate_pct": Decimal(rate),
                "amount_usd": amount.quantize(Decimal("0.01"), ROUND_HALF_UP),
            }
            found.append(_cost(iso(lot.settlement), item))
    return found


def _cost(lot: str | None, item: dict[str, Any]) -> dict[str, Any]:
    base = dict.fromkeys(("lot", "from_date", "fail_day", "rate_pct", "amount_usd"))
    return base | {"lot": lot} | item
