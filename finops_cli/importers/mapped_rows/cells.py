"""How desks write values in a blotter: `5,000`, `(5,000)`, `10%`, `$2.1M`, `Yes`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from finops_cli.domain import money
from finops_cli.importers import dates
from finops_cli.importers.mapped_rows.number_text import Marks, NumberFault, parse_number

Value = str | int | bool | Decimal


class Kind(Enum):
    """The kind of a value. Files write each kind in ways of their own."""

    TEXT = "text"
    SHARES = "shares"
    USD = "usd"
    PERCENT = "percent"
    TRUTH = "truth"
    DATE = "date"
    MOMENT = "moment"


NUMBERS = frozenset({Kind.SHARES, Kind.USD, Kind.PERCENT})
UNITS = {
    Kind.SHARES: frozenset({""}),
    Kind.USD: frozenset({"", "$", "K", "M", "B", "$K", "$M", "$B"}),
    Kind.PERCENT: frozenset({"", "%"}),
}
"""The units that a number of each kind may have."""


class Cell(NamedTuple):
    """How a text becomes the value of a record field.

    `parse` reads the form that finops itself writes, and raises ValueError for other text.
    """

    kind: Kind
    parse: Callable[[str], Value]
    accepted: str


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


def whole(text: str, marks: Marks | None = None) -> int:
    """Parse a whole number; the accountant's brackets make it negative.

    Raises ValueError for other text, and for a number such as 12.000 that may be 12,000.
    """
    number = parse_number(text, marks)
    if number.unit:
        raise NumberFault()
    return to_whole(number.value)


def to_whole(number: Decimal) -> int:
    """Return a number without decimals as int. Raises NumberFault for another one."""
    found = int(number)
    if found != number:
        raise NumberFault("not a whole number")
    return found


def truth(text: str) -> bool:
    """Parse yes or no. Raises ValueError for other text."""
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


_TEXT = Cell(Kind.TEXT, str, "text")
_SHARES = Cell(
    Kind.SHARES,
    whole,
    "a whole number, such as 5000, 5,000 or, where it may be negative, (5,000)",
)
_USD = Cell(Kind.USD, money.parse_usd, money.AMOUNT_ACCEPTED)
_PERCENT = Cell(Kind.PERCENT, money.parse_percent, money.PERCENT_ACCEPTED)
_TRUTH = Cell(Kind.TRUTH, truth, "Yes, No, Y, N, true, false, 1 or 0")
_FORMAT_CURE = (
    "another form needs its format in the mapping, such as"
    ' csv: {dates: "%m/%d/%Y"} for month/day/year'
)
_DATE = Cell(Kind.DATE, dates.parse_date, f"{dates.DATE_ACCEPTED}; {_FORMAT_CURE}")
_MOMENT = Cell(Kind.MOMENT, dates.parse_moment, f"{dates.MOMENT_ACCEPTED}; {_FORMAT_CURE}")

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
    "inventory.recall_notice_days": _SHARES,
    "min_partial_qty": _SHARES,
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


def cell_of(field: str) -> Cell:
    """Return how a text becomes the value of `field`."""
    return CELLS[full_name(field)]


def accepted_dates(cell: Cell, formats: tuple[str, ...]) -> str:
    """Describe the dates that a cell may hold, where the mapping gives `formats`."""
    if not formats:
        return cell.accepted
    accepted = f"a date in the format {' or '.join(formats)}, which the mapping gives"
    return f"{accepted}, or YYYY-MM-DDTHH:MM" if cell.kind is Kind.MOMENT else accepted
