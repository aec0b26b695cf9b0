"""Amounts, lists and proposals in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finops_cli.net.legs import CASH, Net

_SHOWN = 8
"""Legs that a sentence names."""


def describe_amount(qty: int, asset: str) -> str:
    """Write an amount: 4,000 of 594918104, or 12.34 in cash (an amount of CASH is cents)."""
    if asset == CASH:
        return f"{qty // 100:,}.{qty % 100:02d} in cash"
    return f"{qty:,} of {asset}"


def count_of(number: int, noun: str) -> str:
    """Write `1 leg` or `4,000 legs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join_names(names: Sequence[str]) -> str:
    """Write `o1, o2 and o3`; a long list ends with the number of the others."""
    shown = list(names[:_SHOWN])
    if len(names) > _SHOWN:
        return f"{', '.join(shown)} and {len(names) - _SHOWN:,} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def write_proposal(net: Net, quantities: Mapping[int, int]) -> list[str]:
    """Return a paragraph for each party of the set, in the order of their names.

    It says what the party gives and gets net, and which legs end.
    """
    flows: dict[str, dict[str, list[int]]] = {}
    legs_of: dict[str, list[int]] = {}
    for place, qty in quantities.items():
        leg = net.legs[place]
        moves = [(leg.giver, leg.taker, leg.asset, qty)]
        if leg.cash:
            moves.append((leg.taker, leg.giver, CASH, leg.cash))
        for giver, taker, asset, amount in moves:
            flows.setdefault(giver, {}).setdefault(asset, [0, 0])[0] += amount
            flows.setdefault(taker, {}).setdefault(asset, [0, 0])[1] += amount
        for party in (leg.giver, leg.taker):
            legs_of.setdefault(party, []).append(place)
    return [
        f"{party}: {'; '.join(_describe_flow(asset, *flows[party][asset]) for asset in assets)}."
        f" {_describe_end(net, quantities, legs_of[party])}"
        for party in sorted(flows)
        for assets in (sorted(flows[party]),)
    ]


def _describe_flow(asset: str, gives: int, gets: int) -> str:
    if not gives:
        return f"gets {describe_amount(gets, asset)}"
    if not gets:
        return f"gives {describe_amount(gives, asset)}"
    both = f"gives {describe_bare(gives, asset)} and gets {describe_amount(gets, asset)}"
    if gives == gets:
        return f"{both}, net 0"
    verb, net = ("gives", gives - gets) if gives > gets else ("gets", gets - gives)
    return f"{both}, so it {verb} {describe_bare(net, asset)} net"


def describe_bare(qty: int, asset: str) -> str:
    """Write an amount without its asset."""
    return describe_amount(qty, asset).split(" ", 1)[0]


def _describe_end(net: Net, quantities: Mapping[int, int], legs: Sequence[int]) -> str:
    whole = [net.legs[leg].id for leg in legs if quantities[leg] == net.legs[leg].qty]
    parts = [
        f"{quantities[leg]:,} of the {net.legs[leg].qty:,} of {net.legs[leg].id}"
        for leg in legs
        if quantities[leg] != net.legs[leg].qty
    ]
    sentences = []
    if whole:
        sentences.append(f"{join_names(whole)} {'end' if len(whole) > 1 else 'ends'}.")
    if parts:
        sentences.append(f"{join_names(parts)} {'settle' if len(parts) > 1 else 'settles'}.")
    return " ".join(sentences)
