"""The legs of a net: who delivers what to whom, against which cash, and the accounts they move."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from msgspec import Meta, Struct

from finops_cli.domain import limits
from finops_cli.domain.fail import Identifier, PartyName

CASH = "CASH"
Mode = Literal["whole", "partial"]
Objective = Literal["value", "count"]
Asset = Annotated[
    str, Meta(min_length=1, max_length=limits.ID_CHARS, description="a CUSIP, or CASH")
]
LegAmount = Annotated[int, Meta(ge=1, le=limits.USD, description="shares, or cents of CASH")]
HeldAmount = Annotated[int, Meta(ge=0, le=limits.USD, description="shares, or cents of CASH")]
Cents = Annotated[int, Meta(ge=0, le=limits.USD, description="cents")]
_DIGITS = re.compile("([0-9]+)")


class Leg(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"giver": "from", "taker": "to"},
):
    """An obligation: one party delivers `qty` of an asset, and the other pays `cash` for it."""

    id: Identifier
    giver: PartyName
    """The party that delivers."""
    taker: PartyName
    """The party that receives, and pays the cash."""
    asset: Asset
    qty: LegAmount
    cash: Cents = 0


class Balance(Struct, frozen=True, forbid_unknown_fields=True):
    """The balance of an account before any leg settles. An account without a line holds 0."""

    party: PartyName
    asset: Asset
    qty: HeldAmount


Account = tuple[str, str]
"""A party and an asset."""
Changes = tuple[tuple[int, int], ...]
"""Places of accounts, each with what it gains (or loses, below 0)."""


@dataclass(frozen=True, eq=False)
class Net:
    """The legs in the order of their ids, and the accounts that they move. Amounts are whole."""

    legs: tuple[Leg, ...]
    accounts: tuple[Account, ...]
    balances: tuple[int, ...]
    """The balance of each account."""
    changes: tuple[Changes, ...]
    """The changes of accounts by each leg: first the account that delivers."""

    def weights(self, objective: Objective) -> tuple[int, ...]:
        """Return the weight of each leg (kb: `net.objective`)."""
        if objective == "count":
            return (1,) * len(self.legs)
        return tuple(leg.cash or leg.qty for leg in self.legs)

    @cached_property
    def legs_of_account(self) -> tuple[tuple[int, ...], ...]:
        """The legs that move each account, in order."""
        found: list[list[int]] = [[] for _ in self.accounts]
        for place, changes in enumerate(self.changes):
            for account, _ in changes:
                found[account].append(place)
        return tuple(map(tuple, found))

    def settle(self, chosen: Iterable[int]) -> list[int]:
        """Return what each account holds after the chosen legs, all at the same time."""
        held = list(self.balances)
        for place in chosen:
            for account, change in self.changes[place]:
                held[account] += change
        return held

    def settles(self, chosen: Iterable[int]) -> bool:
        """Return true where no account is overdrawn after the chosen legs."""
        return min(self.settle(chosen), default=0) >= 0

    def find_components(self, legs: Sequence[int]) -> list[list[int]]:
        """Return `legs` in groups that share no account; each group can be solved alone."""
        waiting, groups, seen = dict.fromkeys(legs), list[list[int]](), set[int]()
        while waiting:
            first = next(iter(waiting))
            del waiting[first]
            group = [first]
            for place in group:
                new = [account for account, _ in self.changes[place] if account not in seen]
                seen.update(new)
                for account in new:
                    for other in self.legs_of_account[account]:
                        if other in waiting:
                            del waiting[other]
                            group.append(other)
            groups.append(sorted(group))
        return groups


def make_net(legs: Iterable[Leg], balances: Iterable[Balance]) -> Net:
    """Put legs and balances in order, so that the answer does not depend on the order of lines.

    The ids of the legs and the accounts of the balances must each occur once.
    """
    ordered = tuple(sorted(legs, key=lambda leg: order_of_id(leg.id)))
    held = {(each.party, each.asset): each.qty for each in balances}
    touched = {account for leg in ordered for account, _ in changes_of(leg)}
    accounts = tuple(sorted(touched))
    place = {account: number for number, account in enumerate(accounts)}
    changes = tuple(
        tuple((place[account], change) for account, change in changes_of(leg)) for leg in ordered
    )
    return Net(ordered, accounts, tuple(held.get(each, 0) for each in accounts), changes)


def changes_of(leg: Leg) -> Sequence[tuple[Account, int]]:
    """Return what a leg does to each account, first the one that delivers."""
    moved = [((leg.giver, leg.asset), -leg.qty), ((leg.taker, leg.asset), leg.qty)]
    if leg.cash:
        moved += [((leg.taker, CASH), -leg.cash), ((leg.giver, CASH), leg.cash)]
    return moved


def order_of_id(id: str) -> tuple[list[str | int], str]:
    """Return a key that sorts ids as people do: o2 before o10."""
    parts = _DIGITS.split(id)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], id
