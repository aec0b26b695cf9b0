"""The certificate of a plan of the whole book: a line for each security (book, section 6)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from finops_cli.domain.enums import Tier

Trust = Literal["proved", "proved for those served", "solver", "best found"]
"""How far it is proved that no plan is better."""


class Cut(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why no plan covers more of the fails down to a tier. Anybody can add it up."""

    down_to: Tier
    fails: list[str]
    sources: list[tuple[str, str]]
    """Kind and id of every source that may serve one of the fails."""
    owed: int
    within_reach: int
    """Shares that the sources hold."""
    uncovered: int
    """Shares that the fails of all tiers down to this one lack."""
    says: str


class Clear(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shares that would clear a fail, after the more urgent ones are cleared."""

    fail_id: str
    shares: int
    cumulative: int
    kinds: list[str]
    """The kinds of source that would do it."""
    says: str


class PendingClear(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fails that pending receives would clear, this one and those before it."""

    id: str
    qty: int
    settlement_date: str | None
    clears: list[str]


GroupPrice = tuple[list[str | int | None], list[int]]
"""The name of a group, and its price by level."""


class Prices(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"origin": "S"}):
    """A price of twelve levels for the origin, each group of sources and each group of fails."""

    origin: list[int]
    sources: list[GroupPrice]
    fails: list[GroupPrice]


class Unproved(Struct, frozen=True, forbid_unknown_fields=True):
    """The level that was not proved, and a number that no plan goes below there."""

    level: str
    at_least: int


class PoolCertificate(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The proof that the plan of one security is the best one."""

    cusip: str
    owed: int
    """Shares that its fails owe, firm parts left out."""
    levels: dict[str, int]
    """The first twelve levels of the plan; those that are 0 are left out."""
    cuts: list[Cut]
    clears: list[Clear]
    in_time: list[Clear]
    pending_would_clear: list[PendingClear]
    prices: Prices
    trust: Trust
    bound: Unproved | None = None
    """Only where `trust` is `best found`."""
    borrow_cap: int | None = None
    """The most shares that the budget lets this security borrow; absent without a budget."""


class BookTotal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sums of a certificate."""

    pools: int
    fails: int
    owed: int
    levels: dict[str, int]
    trust: dict[str, int]
    """Pools by how far they are proved."""
    borrow_budget: str | None = None
    """US dollars of collateral that borrows may cost; null without a budget."""


class TotalLine(Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of a certificate."""

    total: BookTotal
