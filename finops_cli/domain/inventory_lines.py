"""A line of an inventory file: one source of one security (specification of the book, 2.1)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from finops_cli.domain import limits
from finops_cli.domain.enums import SettlementType
from finops_cli.domain.fail import Cusip, Days, Dtc, Shares, TPlus
from finops_cli.domain.money import RatePercent

SourceKind = Literal["BOX", "DEPOT", "RECALL", "BORROW", "FTR", "PENDING", "PRICE"]
SourceId = Annotated[str, Meta(max_length=limits.ID_CHARS)]
RateBps = Annotated[int, Meta(ge=0, le=1_000_000, description="basis points a year")]
PriceText = Annotated[
    str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$", description="US dollars a share")
]


class InventoryLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Shares of one security that one source has. `kind` decides which fields a line may have."""

    cusip: Cusip
    kind: SourceKind = "BOX"
    """A line without a kind is the box: a plain row for each CUSIP can be read."""
    qty: Shares | None = None
    id: SourceId | None = None
    """Tells two sources of one kind apart (default: `dtc`, else empty)."""
    dtc: Dtc | None = None
    transit_days: Days | None = None
    notice_days: Days | None = None
    rate_bps: RateBps | None = None
    age_days: Days | None = None
    settlement_type: SettlementType | None = None
    settlement_date: TPlus | None = None
    cp_fail_rate_pct: RatePercent | None = None
    partial_delivery_history: bool | None = None
    chase_attempts: Annotated[int, Meta(ge=0, le=limits.AGE_DAYS)] | None = None
    usd: PriceText | None = None


class Snapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of an inventory file: when it was true, and where it comes from."""

    as_of: str
    """RFC 3339, a day or a moment."""
    source: Annotated[str, Meta(max_length=limits.ID_CHARS)] = ""


OPTIONAL_FIELDS: dict[SourceKind, tuple[str, ...]] = {
    "BOX": (),
    "DEPOT": (),
    "RECALL": ("notice_days", "dtc"),
    "BORROW": ("rate_bps", "dtc"),
    "FTR": (
        "settlement_type",
        "settlement_date",
        "cp_fail_rate_pct",
        "partial_delivery_history",
        "chase_attempts",
    ),
    "PENDING": ("settlement_date", "dtc"),
    "PRICE": (),
}
"""The fields that a line of each kind may have, beside `cusip`, `kind` and `id`."""

REQUIRED_FIELDS: dict[SourceKind, tuple[str, ...]] = {
    "BOX": ("qty",),
    "DEPOT": ("qty", "transit_days"),
    "RECALL": ("qty",),
    "BORROW": ("qty",),
    "FTR": ("qty", "dtc", "age_days"),
    "PENDING": ("qty",),
    "PRICE": ("usd",),
}
"""The fields that a line of each kind must have, beside `cusip`."""
