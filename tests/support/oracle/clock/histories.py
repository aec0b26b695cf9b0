"""Seeded fail records with clock facts, for comparisons of two implementations.

The dates crowd around eras, holidays and closings; the events around deadlines and as_of.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.facts import SALE_TYPES
from tests.support.records import a_fail

Row = dict[str, Any]

EDGES = (
    "2004-06-11", "2005-01-10", "2006-07-03", "2006-11-10", "2007-01-02", "2007-08-20",
    "2007-10-15", "2007-12-04", "2008-09-18", "2008-10-17", "2009-07-31", "2010-12-31",
    "2012-10-29", "2015-07-03", "2017-09-05", "2017-11-10", "2018-12-05", "2021-04-02",
    "2021-06-18", "2021-12-31", "2022-06-20", "2024-05-28", "2025-01-09", "2025-10-13",
    "2025-11-25", "2026-04-03", "2026-07-03", "2026-09-07", "2026-11-11", "2026-11-26",
    "2027-12-24", "2028-02-21", "2024-11-29", "2025-12-24", "2026-11-27", "2026-11-27",
)  # fmt: skip
FIRST, LAST = date(2004, 2, 2), date(2028, 7, 31)
TIMES = ("", "T00:00", "T08:30", "T09:00", "T09:15", "T09:30", "T09:31", "T12:00", "T15:59",
         "T16:00", "T17:30", "T14:30Z", "T13:30:00Z", "T16:10-05:00")  # fmt: skip
EVENT_TIMES = ("08:15", "09:00", "09:10", "09:29", "09:30", "09:30:01", "10:05", "12:45", "13:00",
               "13:20", "15:10", "16:00", "17:05", "18:40")  # fmt: skip
SECURITIES = ("etf", "adr", "municipal", "corporate_bond", "treasury", "fund", "other", "other")
RULES = ("15c3-3(m)", "15c3-3(d)(2)", "15c3-3(d)(3)")
NOTICES = ("SHO-204(c)(1)", "SHO-204(c)(2)")
SIZES = (1, 100, 300, 500, 1000, 5000)


def chance(rng: Random, proportion: float) -> bool:
    """True in this proportion of cases."""
    return rng.random() < proportion


def shift(day: date, days: int) -> date:
    """Return the settlement day so many settlement days away."""
    return cal.add(cal.on_or_before(day, cal.settles), days, cal.settles)


def random_settlement(rng: Random) -> date:
    """Return a settlement date, in half of the cases near an edge of the rules."""
    if chance(rng, 0.55):
        day = date.fromisoformat(rng.choice(EDGES)) + timedelta(days=rng.randint(-9, 6))
    else:
        day = FIRST + timedelta(days=rng.randrange((LAST - FIRST).days))
    return shift(day, 0)


def random_as_of(rng: Random, settlement: date) -> str:
    """Return a moment from the day before S to some weeks after it."""
    offset = rng.choice((-1, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 18, 25, 37, 50, 70))
    return (settlement + timedelta(days=offset)).isoformat() + rng.choice(TIMES)


def random_dates(rng: Random, settlement: date) -> tuple[Row, date]:
    """Return the date facts and the S that follows from them; an empty dict leaves S to the age."""
    trade = cal.trade_date_for(settlement)
    kind = rng.choice(("age", "settlement", "settlement", "trade", "both", "both", "odd"))
    if kind == "settlement":
        return {"settlement_date": settlement.isoformat()}, settlement
    if kind == "trade":
        return {"trade_date": trade.isoformat()}, cal.regular_way(trade)
    if kind == "age":
        return {}, settlement
    if kind == "odd":
        trade = cal.on_or_before(settlement - timedelta(days=rng.randint(0, 30)), cal.trades)
    return {"trade_date": trade.isoformat(), "settlement_date": settlement.isoformat()}, settlement


def _row_extras(rng: Random, day: date) -> Row:
    extras: Row = {}
    if chance(rng, 0.15):
        extras["sale_type"] = rng.choice(SALE_TYPES)
    if chance(rng, 0.08):
        trade = cal.on_or_before(cal.trade_date_for(day) - timedelta(days=rng.randint(0, 6)),
                                 cal.trades)  # fmt: skip
        extras["trade_date"] = trade.isoformat()
    return extras


def random_history(rng: Random, settlement: date) -> list[Row]:
    """Return rows from about S on, without contradictions."""
    day = shift(settlement, rng.choice((0, 0, 0, 0, 0, 1, 2, -1)))
    rows: list[Row] = []
    before = 0
    for number in range(rng.choice((1, 2, 3, 3, 4, 5, 6, 8, 15, 30))):
        row: Row = {"date": day.isoformat()}
        if number and before and chance(rng, 0.2):
            before = row["open_qty"] = rng.choice((0, before, before // 2))
        elif not number and chance(rng, 0.3):
            before = rng.choice((0, 0, *SIZES)) if day > settlement or chance(rng, 0.05) else 0
            row["open_qty"] = before
        moves = (before, before, before + rng.choice(SIZES), before // 2, 0)
        row["qty"] = rng.choice(moves if number or before else SIZES)
        if number and chance(rng, 0.15):
            row["new"] = rng.randint(max(0, row["qty"] - before), row["qty"])
        row |= _row_extras(rng, day) if number else {}
        rows.append(row)
        before = row["qty"]
        day = shift(day, 1 if chance(rng, 0.93) else rng.randint(2, 4))
    return rows


def random_lots(rng: Random, settlement: date) -> list[Row]:
    """Return one to four lots around S."""
    rows: list[Row] = []
    for _ in range(rng.randint(1, 4)):
        day = shift(settlement, rng.choice((-3, -2, -1, 0, 0, 1)))
        row: Row = {"settlement_date": day.isoformat(), "qty": rng.choice(SIZES)}
        rows.append(row | _row_extras(rng, day))
    return rows


def _moment(rng: Random, base: date, days: int) -> datetime:
    day = base + timedelta(days=days)
    return datetime.fromisoformat(f"{day.isoformat()}T{rng.choice(EVENT_TIMES)}")


def _trade_event(rng: Random, event: Row, at: datetime, settlement: date) -> Row:
    if chance(rng, 0.6):
        later = cal.add(at.date(), rng.choice((1, 1, 2, 3)), cal.settles)
        event["settled_on"] = later.isoformat()
    if chance(rng, 0.4):
        event["net_position"] = rng.choice(("long", "flat", "flat", "short"))
    if chance(rng, 0.15):
        event["bona_fide"] = chance(rng, 0.5)
    if chance(rng, 0.12):
        event["for_settlement_date"] = shift(settlement, rng.choice((0, 0, 1, -1))).isoformat()
    return event


def random_event(rng: Random, settlement: date, *, is_deliver: bool, qty: int) -> Row:
    """Return one event near the deadlines of S."""
    kinds: tuple[str, ...]
    if is_deliver:
        kinds = ("purchase",) * 8 + ("borrow",) * 3 + ("delivery",) * 3
        kinds += ("allocation", "customer_delivery", "extension", "notice", "cns_buy_in_notice")
    else:
        kinds = ("receipt",) * 4 + ("delivery", "delivery", "extension", "cns_buy_in_notice")
    kind = rng.choice(kinds)
    days = rng.choice((0, 0, 1, 1, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 36))
    at = _moment(rng, settlement, days)
    event: Row = {"type": kind, "at": at.isoformat(timespec="minutes" if at.second == 0 else
                                                   "seconds")}  # fmt: skip
    if kind not in ("extension", "notice", "cns_buy_in_notice"):
        event["qty"] = rng.choice((*SIZES, qty, qty, max(1, qty // 2), max(1, qty - 1)))
    if kind in ("purchase", "borrow"):
        return _trade_event(rng, event, at, settlement)
    if kind == "allocation":
        event["to"] = rng.choice(("BD-1", "BD-2"))
    elif kind == "extension":
        later = cal.add(at.date(), rng.randint(5, 20), cal.business)
        event |= {"rule": rng.choice(RULES), "until": later.isoformat()}
    elif kind == "notice":
        event["rule"] = rng.choice(NOTICES)
    return event


def random_listing(rng: Random, settlement: date) -> Row:
    """Return no listing fact, `threshold_since` or `threshold_days`."""
    kind = rng.choice(("none", "none", "since", "days", "days"))
    if kind == "none":
        return {}
    if kind == "since":
        return {"threshold_since": shift(settlement, rng.randint(-20, 8)).isoformat()}
    day, is_listed, days = shift(settlement, rng.randint(-20, 5)), True, []
    for _ in range(rng.randint(1, 6)):
        days.append({"date": day.isoformat(), "listed": is_listed})
        is_listed = not is_listed if chance(rng, 0.6) else is_listed
        day = shift(day, rng.randint(1, 12))
    return {"threshold_days": days}


def _optional_facts(rng: Random) -> Row:
    fields: dict[str, tuple[float, Any]] = {
        "sale_type": (0.75, rng.choice(SALE_TYPES)),
        "venue": (0.15, rng.choice(("cns", "ex_clearing"))),
        "security_type": (0.2, rng.choice(SECURITIES)),
        "customer": (0.5, chance(rng, 0.7)),
        "receivable": (0.2, rng.choice(("purchase", "distribution"))),
        "issuer_reporting": (0.15, chance(rng, 0.4)),
        "rule_144": (0.12, chance(rng, 0.8)),
    }
    return {name: value for name, (often, value) in fields.items() if chance(rng, often)}


def random_record(seed: int) -> tuple[Row, str]:
    """Return a valid fail record with clock facts, and the as_of of the option."""
    rng = Random(seed)
    settlement = random_settlement(rng)
    as_of = random_as_of(rng, settlement)
    facts, settlement = random_dates(rng, settlement)
    facts |= _optional_facts(rng) | random_listing(rng, settlement)
    qty, source = rng.choice(SIZES), rng.random()
    if source < 0.35:
        facts["fail_history"] = random_history(rng, settlement)
        qty = facts["fail_history"][-1]["qty"] or qty
    elif source < 0.5:
        facts["lots"] = random_lots(rng, settlement)
        qty = sum(row["qty"] for row in facts["lots"])
    direction = rng.choice(("FTD",) * 14 + ("FTR",) * 4 + ("N_A",) * 3)
    side = {"FTD": "Sell", "FTR": "Buy"}.get(direction) or rng.choice(("Sell", "Buy"))
    is_deliver = direction == "FTD" or (direction == "N_A" and side == "Sell")
    count = rng.choice((0, 0, 1, 1, 2, 3, 4, 6, 10))
    events = [random_event(rng, settlement, is_deliver=is_deliver, qty=qty) for _ in range(count)]
    if events:
        facts["events"] = events
    today = cal.parse_moment("as_of", as_of).date()
    age = max(0, cal.count(settlement, today, cal.settles))
    record = a_fail(
        fail_id=f"F-{seed}",
        side=side,
        qty=qty,
        age_days=age + (rng.choice((0, 0, 0, 1, 3)) if facts else 0),
        market_value=rng.choice((1, 999, 123_456, 2_100_000, "$1.02M", "$450K")),
        cns_direction=direction,
        cns_position={"FTD": -qty, "FTR": qty}.get(direction),
        reg_sho_threshold=chance(rng, 0.4),
        clock_facts=facts,
    )
    return record, as_of
