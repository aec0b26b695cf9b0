"""Stage 1's input, the fail record, with the optional parts that stage 2 needs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from finops_cli.domain import cusip as cusips
from finops_cli.domain import limits
from finops_cli.domain.clock_facts import ClockFacts
from finops_cli.domain.enums import Direction, RegShoStatus, RelatedCategory, SettlementType, Side
from finops_cli.domain.money import Percent, RatePercent, Usd

DTC_PATTERN = "^DTC-[0-9]{4}$"
Identifier = Annotated[str, Meta(min_length=1, max_length=limits.ID_CHARS)]
Dtc = Annotated[
    str, Meta(pattern=DTC_PATTERN, max_length=8, description="DTC participant, DTC-NNNN")
]
Cusip = Annotated[
    str, Meta(pattern=cusips.PATTERN, max_length=9, description="nine characters, check digit last")
]
Shares = Annotated[int, Meta(ge=0, le=limits.SHARES)]
OwedShares = Annotated[int, Meta(gt=0, le=limits.SHARES)]
SignedShares = Annotated[int, Meta(ge=-limits.SHARES, le=limits.SHARES)]
Days = Annotated[int, Meta(ge=0, le=limits.AGE_DAYS, description="settlement days")]
TPlus = Annotated[str, Meta(pattern=r"^T\+[0-9]{1,3}$", max_length=5, description="T+N")]
Symbol = Annotated[str, Meta(min_length=1, max_length=limits.SYMBOL_CHARS)]
PartyName = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
FreeText = Annotated[str, Meta(max_length=limits.TEXT_CHARS)]


class Inventory(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The shares that the desk can deliver from; `depot_*` is stock in a local market."""

    box_qty: Shares
    stock_loan_available: Shares
    recall_outstanding: Shares
    pending_receives: Shares
    depot_qty: Shares = 0
    depot_transit_days: Days | None = None
    recall_notice_days: Days | None = None
    """Days until recalled shares are back; absent: as the kb says (`recall.notice_days`)."""


class Ftr(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fail to receive in the same CUSIP: a counterparty that owes us `qty` shares."""

    dtc: Dtc
    qty: OwedShares
    age_days: Days
    settlement_type: SettlementType
    settlement_date: TPlus
    cp_fail_rate_pct: RatePercent
    partial_delivery_history: bool
    chase_attempts: Annotated[int, Meta(ge=0, le=limits.AGE_DAYS)] | None = None
    allocated_qty: Shares | None = None
    """The shares that a plan of the whole book gives this fail; absent: it may take all of them."""


class RelatedFail(Struct, frozen=True, forbid_unknown_fields=True):
    """Another fail of the desk in the same CUSIP."""

    category: RelatedCategory
    dtc: Dtc
    qty: OwedShares
    side: Side
    age_days: Days


Ftrs = Annotated[tuple[Ftr, ...], Meta(max_length=limits.FTRS)]
RelatedFails = Annotated[tuple[RelatedFail, ...], Meta(max_length=limits.FTRS)]


class CorporateAction(Struct, frozen=True, omit_defaults=True):
    """The facts known of an event. Other fields are accepted, and no rule reads them."""

    pre_event_deliverable: bool | None = None
    new_cusip: Cusip | None = None


class FailRecord(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A trade that did not settle."""

    fail_id: Identifier | None = None
    cusip: Cusip
    side: Side
    qty: OwedShares
    counterparty: Dtc
    age_days: Days
    market_value: Usd
    cns_position: SignedShares | None = None
    cns_direction: Direction
    reg_sho_threshold: bool
    reg_sho_status: RegShoStatus | None = None
    inventory_coverage_pct: Percent
    cp_fail_rate_pct: RatePercent
    security_fail_rate_pct_adv: Percent | None = None
    cns_eligible: bool = True
    dk_reason: FreeText | None = None
    corporate_action: CorporateAction | None = None
    awaiting_street_receipt: bool = False
    notes: FreeText | None = None
    inventory: Inventory | None = None
    ftrs: Ftrs = ()
    related_fails: RelatedFails = ()
    min_partial_qty: OwedShares | None = None
    """The smallest part that the counterparty takes, in shares (absent: 1). `finops book` reads it.
    """
    clock_facts: ClockFacts | None = None
    symbol: Symbol | None = None
    """The ticker. No rule and no model reads it."""
    counterparty_name: PartyName | None = None
    """The name of the counterparty. No rule and no model reads it."""
    origin: (
        Annotated[
            dict[str, Any],
            Meta(description="where the record came from and what was assumed; no rule reads it"),
        ]
        | None
    ) = None
