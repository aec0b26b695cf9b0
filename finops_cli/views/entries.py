"""The input of the views: a fail with its clock, or a rejected record."""

from __future__ import annotations

from msgspec import Struct

from finops_cli.domain.clock import Clock, Obligation


class AgendaEntry(Struct, frozen=True):
    """A fail and its clock."""

    fail_id: str
    cusip: str
    symbol: str | None
    clock: Clock


class RejectedEntry(Struct, frozen=True):
    """A record without a clock, and the reason."""

    fail_id: str | None
    message: str


def holds_only_if_short(obligation: Obligation) -> bool:
    """True if the sale type was not given, so that the strictest rule was taken."""
    return "sale_type" in obligation.assumed


def count_open_shares(obligation: Obligation) -> int:
    """The shares that the obligation still asks for."""
    return obligation.qty if obligation.open_qty is None else obligation.open_qty
