"""`clock_facts` of a fail record: what the close-out clock needs and no other rule reads.

Dates and moments are texts here. `finops_cli.clock.facts` turns them into days of the calendar and
refuses those that contradict each other (regulatory-clock, sections 2.2 and 6.2).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from finops_cli.domain import limits

SaleType = Literal["short", "short_exempt", "long", "market_maker", "deemed_to_own", "unknown"]
Venue = Literal["cns", "ex_clearing"]
SecurityType = Literal[
    "equity", "etf", "adr", "municipal", "corporate_bond", "treasury", "agency", "fund", "other"
]
Receivable = Literal["purchase", "distribution"]
NetPosition = Literal["long", "flat", "short"]
EventType = Literal[
    "purchase",
    "borrow",
    "delivery",
    "allocation",
    "customer_delivery",
    "receipt",
    "extension",
    "notice",
    "cns_buy_in_notice",
]

DAY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MOMENT_PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$"
)
Day = Annotated[str, Meta(pattern=DAY_PATTERN, max_length=10, description="YYYY-MM-DD")]
Moment = Annotated[
    str,
    Meta(
        pattern=MOMENT_PATTERN,
        max_length=25,
        description="YYYY-MM-DD or YYYY-MM-DDTHH:MM, Eastern Time without an offset",
    ),
]
OpenShares = Annotated[int, Meta(ge=0, le=limits.SHARES)]
LotShares = Annotated[int, Meta(gt=0, le=limits.SHARES)]
Evidence = Annotated[str, Meta(max_length=limits.TEXT_CHARS)]
Word = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS)]


class ThresholdDay(Struct, frozen=True, forbid_unknown_fields=True):
    """A settlement day, and whether the security is on a threshold list of that day."""

    date: Day
    listed: bool


class HistoryRow(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The netted position of a settlement day, in shares.

    `qty` is open at the end of the day, `new` is the part that failed first on that day, and
    `open_qty` is still open at 09:00 ET, after the night cycle.
    """

    date: Day
    qty: OpenShares
    new: OpenShares | None = None
    open_qty: OpenShares | None = None
    sale_type: SaleType | None = None
    trade_date: Day | None = None


class FactLot(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the fail that the desk attributes to one settlement date."""

    settlement_date: Day
    qty: LotShares
    sale_type: SaleType | None = None
    trade_date: Day | None = None


class ClockEvent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that happened to the fail, at a moment. Which fields apply depends on `type`."""

    type: EventType
    at: Moment
    qty: LotShares | None = None
    id: Word | None = None
    settled_on: Day | None = None
    net_position: NetPosition | None = None
    bona_fide: bool | None = None
    for_settlement_date: Day | None = None
    to: Word | None = None
    rule: Word | None = None
    until: Day | None = None


class ClockFacts(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The facts of a fail that the law's clock needs. Every field is optional."""

    as_of: Moment | None = None
    trade_date: Day | None = None
    settlement_date: Day | None = None
    sale_type: SaleType | None = None
    sale_type_evidence: Evidence | None = None
    venue: Venue | None = None
    security_type: SecurityType | None = None
    customer: bool | None = None
    receivable: Receivable | None = None
    issuer_reporting: bool | None = None
    rule_144: bool | None = None
    threshold_since: Day | None = None
    threshold_days: Annotated[tuple[ThresholdDay, ...], Meta(max_length=limits.HISTORY_ROWS)] = ()
    fail_history: Annotated[tuple[HistoryRow, ...], Meta(max_length=limits.HISTORY_ROWS)] = ()
    lots: Annotated[tuple[FactLot, ...], Meta(max_length=limits.HISTORY_ROWS)] = ()
    events: Annotated[tuple[ClockEvent, ...], Meta(max_length=limits.CLOCK_EVENTS)] = ()
