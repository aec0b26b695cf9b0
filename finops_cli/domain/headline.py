"""The headline of an output line: the one thing to do (domain specification, section 10)."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from finops_cli.domain.enums import Side
from finops_cli.domain.fail import FailRecord

HeadlineAction = Literal[
    "NO_ACTION",
    "SEND_DK_NOTICE",
    "SETTLE_IN_CASH",
    "DELIVER",
    "DELIVER_PART",
    "BORROW_OR_BUY",
    "BUY",
    "PROPOSE_NET_SETTLEMENT",
    "CHASE",
    "MOVE_DEPOT",
    "RECALL",
    "BORROW",
    "ESCALATE",
    "SEND_BUYIN_NOTICE",
    "LOCATE_AND_DELIVER",
    "MONITOR_PENDING_RECEIPT",
    "CONTACT_COUNTERPARTY",
    "INITIATE_BUYIN",
]


class FailSummary(Struct, frozen=True, kw_only=True):
    """The facts of the record that let an output line stand alone; null where unknown."""

    cusip: str
    symbol: str | None
    side: Side
    qty: int
    """Shares."""
    counterparty: str
    counterparty_name: str | None
    market_value: Decimal
    """US dollars."""
    age_days: int
    """Settlement days."""
    new_cusip: str | UnsetType = UNSET
    """The security that a corporate action puts in the place of `cusip`; absent where none does."""


def summarize(record: FailRecord) -> FailSummary:
    """Return the block of a record."""
    event = record.corporate_action
    replaces = event is not None and not event.pre_event_deliverable
    return FailSummary(
        cusip=record.cusip,
        symbol=record.symbol,
        side=record.side,
        qty=record.qty,
        counterparty=record.counterparty,
        counterparty_name=record.counterparty_name,
        market_value=Decimal(record.market_value),
        age_days=record.age_days,
        new_cusip=(event.new_cusip if event and replaces else None) or UNSET,
    )


class By(Struct, frozen=True):
    """When the thing is due: a day of the law's clock, or the card's T+N."""

    date: str | None
    """ISO date; null where only T+N is known."""
    basis: Literal["clock", "card"]
    rule: str
    """The rule of the clock, such as SHO-204(a), or the card's T+N."""


class Headline(Struct, frozen=True):
    """One thing to do."""

    action: HeadlineAction
    qty: int
    """The shares that the action is about."""
    by: By | None
    text: str
    """One sentence for a person."""
