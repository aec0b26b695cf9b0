"""How desks write values in a blotter: `5,000`, `(5,000)`, `10%`, `$2.1M`, `Yes`."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from finops_cli.domain import money
from finops_cli.importers import dates

Value = str | int | bool | Decimal


class Cell(NamedTuple):
    """How the text of a cell becomes the value of a record field.

    `parse` raises ValueError for other text.
    """

    parse: Callable[[str], Value]
    accepted: str


_DATE_CHARS = len("2026-11-18")
"""A longer text of a moment has a time of day."""
_WHOLE = re.compile(r"([+-]?)([0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})(?:\.0{1,9})?")
_WORDS = {
    "yes": True,
    "y": True,
    "true": True,
    "1": True,
    "no": False,
    "n": False,
    "false": False,
    "0": False,
}


def whole(text: str) -> int:
    """Parse a whole number; the accountant's brackets make it negative.

    Raises ValueError for other text.
    """
    bracketed = text.startswith("(") and text.endswith(")")
    found = _WHOLE.fullmatch(text[1:-1].strip() if bracketed else text)
    if found is None or (bracketed and found.group(1)):
        raise ValueError(text)
    number = int(found.group(2).replace(",", ""))
    return -number if bracketed or found.group(1) == "-" else number


def truth(text: str) -> bool:
    """Parse yes or no. Raises ValueError for other text."""
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


_TEXT = Cell(str, "text")
_SHARES = Cell(whole, "a whole number, such as 5000, 5,000 or, where it may be negative, (5,000)")
_USD = Cell(money.parse_usd, money.AMOUNT_ACCEPTED)
_PERCENT = Cell(money.parse_percent, money.PERCENT_ACCEPTED)
_TRUTH = Cell(truth, "Yes, No, Y, N, true, false, 1 or 0")
_FORMAT_CURE = (
    "another form needs its format in the mapping, such as"
    ' csv: {dates: "%m/%d/%Y"} for month/day/year'
)
_DATE = Cell(dates.parse_date, f"{dates.DATE_ACCEPTED}; {_FORMAT_CURE}")
_MOMENT = Cell(dates.parse_moment, f"{dates.MOMENT_ACCEPTED}; {_FORMAT_CURE}")

CELLS: dict[str, Cell] = {
    "fail_id": _TEXT,
    "cusip": _TEXT,
    "side": _TEXT,
    "qty": _SHARES,
    "counterparty": _TEXT,
    "age_days": _SHARES,
    "market_value": _USD,
    "cns_position": _SHARES,
    "cns_direction": _TEXT,
    "reg_sho_threshold": _TRUTH,
    "reg_sho_status": _TEXT,
    "inventory_coverage_pct": _PERCENT,
    "cp_fail_rate_pct": _PERCENT,
    "security_fail_rate_pct_adv": _PERCENT,
    "cns_eligible": _TRUTH,
    "dk_reason": _TEXT,
    "corporate_action.pre_event_deliverable": _TRUTH,
    "corporate_action.new_cusip": _TEXT,
    "awaiting_street_receipt": _TRUTH,
    "notes": _TEXT,
    "inventory.box_qty": _SHARES,
    "inventory.stock_loan_available": _SHARES,
    "inventory.recall_outstanding": _SHARES,
    "inventory.pending_receives": _SHARES,
    "inventory.depot_qty": _SHARES,
    "inventory.depot_transit_days": _SHARES,
    "clock_facts.as_of": _MOMENT,
    "clock_facts.trade_date": _DATE,
    "clock_facts.settlement_date": _DATE,
    "clock_facts.sale_type": _TEXT,
    "clock_facts.sale_type_evidence": _TEXT,
    "clock_facts.venue": _TEXT,
    "clock_facts.security_type": _TEXT,
    "clock_facts.customer": _TRUTH,
    "clock_facts.receivable": _TEXT,
    "clock_facts.issuer_reporting": _TRUTH,
    "clock_facts.rule_144": _TRUTH,
    "clock_facts.threshold_since": _DATE,
    "symbol": _TEXT,
    "counterparty_name": _TEXT,
    "origin.symbol": _TEXT,
}
"""The fields of a record that a cell can hold.

Lists (`ftrs`, `related_fails`, `clock_facts.fail_history`) have no place in a row.
"""

SHORT_NAMES = {
    name: f"clock_facts.{name}"
    for name in ("trade_date", "settlement_date", "sale_type", "venue", "customer")
}
"""Names that a mapping may use for fields of `clock_facts`."""

MAPPABLE = (*CELLS, *SHORT_NAMES)
"""The names of fields that a mapping may use."""


def full_name(field: str) -> str:
    """Return the path of a field in the record: `trade_date` is `clock_facts.trade_date`."""
    return SHORT_NAMES.get(field, field)


def cell_of(field: str, date_format: str | None = None) -> Cell:
    """Return how a cell of `field` is read, where the blotter writes dates in `date_format`."""
    cell = CELLS[full_name(field)]
    if date_format is None or cell not in (_DATE, _MOMENT):
        return cell
    accepted = f"a date in the format {date_format}, which the mapping gives"

    def parse(text: str) -> Value:
        if cell is _MOMENT and len(text) > _DATE_CHARS:
            return dates.parse_moment(text)
        return dates.parse_with_format(text, date_format)

    return Cell(parse, f"{accepted}, or YYYY-MM-DDTHH:MM" if cell is _MOMENT else accepted)
