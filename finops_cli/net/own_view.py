"""Lists what one party can ask: the unknown legs that would close a cycle with its own (kb:
`net.own_view`).
"""

from __future__ import annotations

from collections.abc import Mapping

from finops_cli.net.answers import Ask
from finops_cli.net.legs import Net
from finops_cli.net.words import describe_amount

_Open = dict[str, dict[str, int]]
"""Shares by asset and counterparty."""


def list_asks(net: Net, own: str, quantities: Mapping[int, int]) -> list[Ask]:
    """Return the legs between counterparties that nobody supplied, those that free most first.

    A party that waits for us may owe a party that fails to us; both then net with us.
    """
    we_owe, owe_us = _sum_open(net, own, quantities)
    supplied = {(leg.asset, leg.giver, leg.taker) for leg in net.legs}
    found = [
        (min(owed, due), asset, giver, taker)
        for asset in we_owe
        for giver, owed in we_owe[asset].items()
        for taker, due in owe_us.get(asset, {}).items()
        if (asset, giver, taker) not in supplied
    ]
    return [
        Ask(giver, taker, asset, qty, _ask(giver, taker, describe_amount(qty, asset)))
        for qty, asset, giver, taker in sorted(found, key=lambda each: (-each[0], *each[1:]))
    ]


def _ask(giver: str, taker: str, amount: str) -> str:
    return f"If {giver} owes {taker}, {amount} would net."


def _sum_open(net: Net, own: str, quantities: Mapping[int, int]) -> tuple[_Open, _Open]:
    """Sum what each counterparty waits for, and what it owes us, less what nets between the two."""
    totals: _Open = {}
    for place, leg in enumerate(net.legs):
        left = leg.qty - quantities.get(place, 0)
        if own in (leg.giver, leg.taker) and left:
            other, sign = (leg.taker, 1) if leg.giver == own else (leg.giver, -1)
            by_party = totals.setdefault(leg.asset, {})
            by_party[other] = by_party.get(other, 0) + sign * left
    we_owe, owe_us = _Open(), _Open()
    for asset, by_party in totals.items():
        we_owe[asset] = {party: qty for party, qty in by_party.items() if qty > 0}
        owe_us[asset] = {party: -qty for party, qty in by_party.items() if qty < 0}
    return we_owe, owe_us
