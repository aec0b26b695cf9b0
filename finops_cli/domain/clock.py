"""The `clock` block of an output line (regulatory-clock, section 11).

Dates are ISO texts, times are Eastern Time, quantities are shares. Every field is always written;
it is null where it does not apply.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.confidence import Confidence

AsOfSource = Literal["option", "record", "local_clock"]
SettlementBasis = Literal["given", "trade_date", "age_days"]
State = Literal["breached", "due_today", "running", "not_started", "cured", "not_applicable"]
Kind = Literal["duty", "notice"]
BoxState = Literal["none", "open", "closing", "released"]

STATES: tuple[State, ...] = (
    "breached",
    "due_today",
    "running",
    "not_started",
    "cured",
    "not_applicable",
)
"""In the order of a block: the strictest first."""
"""From the strongest to the weakest."""


class CalendarId(Struct, frozen=True):
    """The calendar that counted: `overrides` is the number of days that the desk changed."""

    id: str
    sha256: str
    overrides: int
    reviewed: str


class Lot(Struct, frozen=True):
    """Shares that failed on one settlement date. `qty` is the part that is still open."""

    settlement_date: str
    qty: int
    sale_type: str
    holder: str


Alternative = dict[str, str]
"""`if`, `rule` and `due_date`: the obligation under another fact."""


class CountedDay(Struct, frozen=True):
    """A day between start and due date, for `--explain`."""

    date: str
    counted: bool
    reason: str


class Obligation(Struct, frozen=True, kw_only=True):
    """A duty or notice, with its date, its state and its source."""

    rule: str
    kind: Kind
    citation: str
    kb: str
    basis: str
    lot: str | None
    holder: str
    qty: int
    open_qty: int | None
    start_date: str | None
    nominal_date: str | None
    due_date: str | None
    due_time: str | None
    counting: str | None
    days_left: int | None
    state: State
    remedy: tuple[str, ...]
    assumed: tuple[str, ...]
    evidence: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    confidence: Confidence
    days: tuple[CountedDay, ...] | UnsetType = UNSET


class PenaltyBox(Struct, frozen=True, kw_only=True):
    """The pre-borrow duty of one holder after a missed close-out (SHO-204(b))."""

    holder: str
    state: BoxState
    preborrow_required: bool
    opened: str | None = None
    uncured_qty: int = 0
    purchased_qty: int = 0
    released_on: str | None = None
    evidence: tuple[str, ...] = ()
    confidence: Confidence = "verified"


class Threshold(Struct, frozen=True, kw_only=True):
    """The count of settlement days on a threshold list with the fail open (SHO-203(b)(3))."""

    rule: str
    days_counted: int
    days_needed: int
    first_day: str | None
    last_day: str | None
    due_date: str | None
    persistent_qty: int
    preborrow_required: bool


class Right(Struct, frozen=True, kw_only=True):
    """A right to buy in: ours, or the counterparty's against us."""

    rule: str
    citation: str
    kb: str
    holder: Literal["counterparty", "ours"]
    earliest_notice_date: str | None
    notice_by: str | None
    earliest_execution_date: str | None
    basis: str
    evidence: tuple[str, ...]
    confidence: Confidence


class CostItem(Struct, frozen=True, kw_only=True):
    """A charge on capital or margin that grows with the age of the fail; never an obligation."""

    rule: str
    citation: str
    kb: str
    lot: str | None
    from_date: str | None
    in_force: bool
    fail_day: int | None
    rate_pct: Decimal | None
    amount_usd: Decimal | None
    effective: str | None
    basis: str
    confidence: Confidence


class CardDeadline(Struct, frozen=True):
    """The deadline of the card beside the law's."""

    deadline: str | None
    date: str | None
    later_than_law_by: int | None


class Clock(Struct, frozen=True, kw_only=True):
    """The law's dates for one fail, as of one moment."""

    as_of: str
    as_of_source: AsOfSource
    calendar: CalendarId
    trade_date: str
    settlement_date: str
    settlement_date_basis: SettlementBasis
    cycle: str
    sale_type: str
    treated_as: str
    venue: str
    lots: tuple[Lot, ...]
    obligations: tuple[Obligation, ...]
    binding: str | None
    binding_due: str | None
    deadline_days: int | None
    penalty_boxes: tuple[PenaltyBox, ...]
    threshold: Threshold | None
    rights: tuple[Right, ...]
    costs: tuple[CostItem, ...]
    card: CardDeadline
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


_WARNING_KIND = re.compile(r"[a-z0-9_.]+")


def count_warnings(clock: Clock) -> Counter[str]:
    """Count the warnings of a clock by kind: the word that each begins with, such as `lots.qty`."""
    found = (_WARNING_KIND.match(text) for text in clock.warnings)
    return Counter(each[0] for each in found if each)


def find_breaches(clock: Clock) -> list[Obligation]:
    """The duties of a fail that were missed; notices about them do not count again."""
    return [each for each in clock.obligations if each.kind == "duty" and each.state == "breached"]
