"""Sections 2 and 6.2: the facts of a record, checked and completed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.calendar import Refused, parse_day, parse_moment

SALE_TYPES = ("short", "short_exempt", "long", "market_maker", "deemed_to_own", "unknown")
EQUITIES = ("equity", "etf", "adr")
NEEDED = {
    "purchase": ("qty",),
    "borrow": ("qty",),
    "delivery": ("qty",),
    "allocation": ("qty", "to"),
    "customer_delivery": ("qty",),
    "receipt": ("qty",),
    "extension": ("rule", "until"),
    "notice": ("rule",),
    "cns_buy_in_notice": (),
}

RULES = {
    "extension": ("15c3-3(m)", "15c3-3(d)(2)", "15c3-3(d)(3)"),
    "notice": ("SHO-204(c)(1)", "SHO-204(c)(2)"),
}

__all__ = ["Event", "Facts", "Refused", "Row", "read_facts"]


@dataclass
class Event:
    """An event of section 6.2."""

    type: str
    at: datetime
    qty: int
    settled_on: date | None
    net_position: str | None
    bona_fide: bool | None
    for_settlement_date: date | None
    to: str | None
    rule: str | None
    until: date | None
    used: int = 0
    """Shares that a fall of the position has used."""
    assigned: int = 0
    """Shares that cover a lot or lead out of a box; no share is assigned twice."""
    covers: list[list[Any]] = field(default_factory=list)
    """[lot, shares] pairs: covers that have not arrived."""
    after_deadline: list[tuple[Any, int]] = field(default_factory=list)
    """(lot, shares) pairs: purchases for the penalty box."""

    def counts(self) -> bool:
        """True unless the purchase or borrow is a sham, or left the firm net short."""
        return self.bona_fide is not False and self.net_position != "short"

    def free(self) -> int:
        """Return the shares that are not assigned."""
        return self.qty - self.assigned


@dataclass
class Row:
    """A row of `fail_history` or of `lots`."""

    date: date
    qty: int
    new: int | None
    open_qty: int | None
    sale_type: str | None
    trade_date: date | None


@dataclass
class Facts:
    """A fail record as the clock sees it."""

    record: dict[str, Any]
    given: dict[str, Any]
    as_of: datetime
    as_of_source: str
    trade: date
    settlement: date
    basis: str
    sale_type: str
    venue: str
    is_deliver: bool
    security_type: str
    history: list[Row]
    lots: list[Row]
    events: list[Event]
    listed: dict[date, bool]

    @property
    def today(self) -> date:
        """Return the day of as_of."""
        return self.as_of.date()

    @property
    def last_known(self) -> date:
        """Return the last settlement day whose end is known (section 2.4)."""
        day = self.today
        while not (cal.settles(day) and is_known(day, self.as_of)):
            day -= cal.DAY
        return day


def is_known(day: date, as_of: datetime) -> bool:
    """True when the data of the end of a day are known."""
    return cal.at(day, 16) <= as_of


def is_row_known(row: Row, as_of: datetime) -> bool:
    """True when the end of the day of a row is known, or its snapshot of 09:00."""
    has_snapshot = row.open_qty is not None and cal.at(row.date, 9) <= as_of
    return has_snapshot or is_known(row.date, as_of)


def _optional_day(where: str, holder: dict[str, Any], key: str) -> date | None:
    text = holder.get(key)
    return None if text is None else parse_day(f"{where}{key}", text)


def _check_sale(where: str, value: object) -> None:
    if value is not None and value not in SALE_TYPES:
        raise Refused(where, value)


def _check_trade(where: str, trade: date | None, settlement: date) -> None:
    if trade is not None and (not cal.trades(trade) or trade > settlement):
        raise Refused(where, trade.isoformat())


def read_event(index: int, raw: dict[str, Any]) -> Event:
    """Return one event.

    Raises Refused.
    """
    where = f"events[{index}]."
    if raw.get("type") not in NEEDED:
        raise Refused(f"{where}type", raw.get("type"))
    for key in NEEDED[raw["type"]]:
        if raw.get(key) is None:
            raise Refused(f"{where}{key}", None)
    if raw.get("rule") not in RULES.get(raw["type"], (raw.get("rule"),)):
        raise Refused(f"{where}rule", raw.get("rule"))
    return Event(
        type=raw["type"],
        at=parse_moment(f"{where}at", raw["at"]),
        qty=raw.get("qty") or 0,
        settled_on=_optional_day(where, raw, "settled_on"),
        net_position=raw.get("net_position"),
        bona_fide=raw.get("bona_fide"),
        for_settlement_date=_optional_day(where, raw, "for_settlement_date"),
        to=raw.get("to"),
        rule=raw.get("rule"),
        until=_optional_day(where, raw, "until"),
    )


def read_rows(name: str, key: str, raws: list[dict[str, Any]]) -> list[Row]:
    """Return the rows of `fail_history` or `lots`, each on a day that settles.

    Raises Refused.
    """
    rows = []
    for index, raw in enumerate(raws):
        where = f"{name}[{index}]."
        day = parse_day(f"{where}{key}", raw[key])
        if not cal.settles(day):
            raise Refused(f"{where}{key}", raw[key])
        _check_sale(f"{where}sale_type", raw.get("sale_type"))
        trade = _optional_day(where, raw, "trade_date")
        _check_trade(f"{where}trade_date", trade, day)
        opened = raw.get("open_qty")
        rows.append(Row(day, raw["qty"], raw.get("new"), opened, raw.get("sale_type"), trade))
    return rows


def check_history(rows: list[Row], settlement: date) -> None:
    """Raise Refused where the rows contradict each other or S (section 2.3).

    Nothing is known before the first row but S: what it shows as open in the morning failed before.
    """
    before, last = None, None
    for index, row in enumerate(rows):
        where = f"fail_history[{index}]."
        if last is not None and row.date <= last:
            raise Refused(f"{where}date", row.date.isoformat())
        if row.open_qty is not None:
            is_older = last is not None or settlement < row.date
            if (row.open_qty > 0 and not is_older) or ((before or 0) < row.open_qty and last):
                raise Refused(f"{where}open_qty", row.open_qty)
            before = row.open_qty
        if row.new is not None and row.new > row.qty:
            raise Refused(f"{where}new", row.new)
        if row.new is not None and before is not None and row.qty > before + row.new:
            raise Refused(f"{where}qty", row.qty)
        before, last = row.qty, row.date


def settlement_of(
    record: dict[str, Any], given: dict[str, Any], as_of: datetime
) -> tuple[date, date, str]:
    """Return T, S and the basis of S (section 2.3).

    Raises Refused.
    """
    trade = _optional_day("", given, "trade_date")
    settlement = _optional_day("", given, "settlement_date")
    if trade is not None and not cal.trades(trade):
        raise Refused("trade_date", trade.isoformat())
    if settlement is not None:
        if not cal.settles(settlement) or (trade is not None and settlement < trade):
            raise Refused("settlement_date", settlement.isoformat())
        return trade or cal.trade_date_for(settlement), settlement, "given"
    if trade is not None:
        return trade, cal.regular_way(trade), "trade_date"
    last = cal.on_or_before(as_of.date(), cal.settles)
    settlement = cal.add(last, -record["age_days"], cal.settles)
    return cal.trade_date_for(settlement), settlement, "age_days"


def read_facts(record: dict[str, Any], option: str | None, source: str) -> Facts:
    """Return the facts of a record.

    Raises Refused.
    """
    given = record.get("clock_facts") or {}
    text = option if option is not None else given.get("as_of")
    if text is None:
        raise Refused("as_of", None)
    as_of = parse_moment("as_of", text)
    if given.get("lots") and given.get("fail_history"):
        raise Refused("lots", "fail_history")
    history = read_rows("fail_history", "date", given.get("fail_history") or [])
    _check_sale("sale_type", given.get("sale_type"))
    if given.get("threshold_since") is not None:
        parse_day("threshold_since", given["threshold_since"])
    listed = {
        parse_day(f"threshold_days[{i}].date", row["date"]): bool(row["listed"])
        for i, row in enumerate(given.get("threshold_days") or [])
    }
    trade, settlement, basis = settlement_of(record, given, as_of)
    check_history(history, settlement)
    direction = record["cns_direction"]
    by_direction = "cns" if direction in ("FTD", "FTR") else "ex_clearing"
    events = [read_event(i, raw) for i, raw in enumerate(given.get("events") or [])]
    ids = [raw["id"] for raw in given.get("events") or [] if raw.get("id") is not None]
    if len(set(ids)) < len(ids):
        raise Refused("events.id", ids)
    return Facts(
        record=record,
        given=given,
        as_of=as_of,
        as_of_source=source if option is not None else "record",
        trade=trade,
        settlement=settlement,
        basis=basis,
        sale_type=given.get("sale_type") or "unknown",
        venue=given.get("venue") or by_direction,
        is_deliver=direction == "FTD" or (direction == "N_A" and record["side"] == "Sell"),
        security_type=given.get("security_type") or "equity",
        history=[row for row in history if is_row_known(row, as_of)],
        lots=read_rows("lots", "settlement_date", given.get("lots") or []),
        events=sorted((e for e in events if e.at <= as_of), key=lambda e: (e.at, e.type, e.qty)),
        listed={day: value for day, value in sorted(listed.items()) if is_known(day, as_of)},
    )
