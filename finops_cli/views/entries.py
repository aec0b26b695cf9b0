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


def holds_only_if_short(clock: Clock, obligation: Obligation) -> bool:
    """True if the obligation rests on a sale type that was not given.

    A notice rests on the breaches of its holder, because a breach asks for it.
    """
    if obligation.kind == "duty":
        return "sale_type" in obligation.assumed
    return is_breached_only_if_short(clock, obligation.holder)


def is_breached_only_if_short(clock: Clock, holder: str) -> bool:
    """True if the holder missed duties, and each of them rests on a sale type not given."""
    missed = [
        each
        for each in clock.obligations
        if (each.kind, each.state, each.holder) == ("duty", "breached", holder)
    ]
    return bool(missed) and all("sale_type" in each.assumed for each in missed)


def count_open_shares(obligation: Obligation) -> int:
    """The shares that the obligation still asks for."""
    return obligation.qty if obligation.open_qty is None else obligation.open_qty
