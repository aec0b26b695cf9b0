"""Nets of one security in which a leg may settle in part: an exact circulation of shares."""

from __future__ import annotations

from collections.abc import Sequence

from finops_cli.net.answers import Order, Residual
from finops_cli.net.legs import Net
from finops_cli.net.whole import Found
from finops_cli.solvers.networks import import_networkx

_HUB = -1
"""The node that hands out the balances, and takes what is left of them."""


def solve_partial(net: Net) -> Found:
    """Find the most shares that settle; of those, the most of the earliest leg, and so on.

    Raises MissingPiece without networkx, where there are shares to settle.
    """
    order = find_order(net)
    if order is not None:
        return Found({}, "deadlock", Order(order))
    quantities = _find_flow(net)
    return Found(
        {leg: qty for leg, qty in enumerate(quantities) if qty},
        "settles",
        Residual(_find_potentials(net, quantities)),
    )


def ends_of(net: Net, leg: int) -> tuple[int, int]:
    """Return the accounts of the giver and of the taker."""
    (giver, _), (taker, _), *_ = net.changes[leg]
    return giver, taker


def find_order(net: Net) -> list[str] | None:
    """Order the parties so that everybody owes only to later ones; None where shares can settle.

    They can where somebody who owes holds shares, or where legs go round in a cycle.
    """
    owed_by: dict[int, list[int]] = {account: [] for account in range(len(net.accounts))}
    owes_to: dict[int, list[int]] = {account: [] for account in range(len(net.accounts))}
    for leg in range(len(net.legs)):
        giver, taker = ends_of(net, leg)
        if net.balances[giver]:
            return None
        owes_to[giver].append(taker)
        owed_by[taker].append(giver)
    waits_for = {account: len(givers) for account, givers in owed_by.items()}
    ready = [account for account, number in waits_for.items() if not number]
    for account in ready:
        for taker in owes_to[account]:
            waits_for[taker] -= 1
            if not waits_for[taker]:
                ready.append(taker)
    return [net.accounts[each][0] for each in ready] if len(ready) == len(waits_for) else None


def _find_flow(net: Net) -> list[int]:
    """Return the shares of each leg.

    The weight of a share is one number: its own weight, then a bit for each leg, the earliest leg
    in the highest bit. A cycle of the residual graph uses a leg once, so the first leg in which two
    flows differ decides, whatever the quantities, and the optimum is unique.
    """
    networkx = import_networkx("nets with partial legs")
    size = len(net.legs)
    graph = networkx.MultiDiGraph()
    graph.add_node(_HUB)
    for leg in range(size):
        giver, taker = ends_of(net, leg)
        weight = (1 << size) + (1 << (size - 1 - leg))
        graph.add_edge(giver, taker, key=leg, capacity=net.legs[leg].qty, weight=-weight)
    for account, held in enumerate(net.balances):
        if held:
            graph.add_edge(_HUB, account, key="held", capacity=held, weight=0)
        graph.add_edge(account, _HUB, key="kept", weight=0)
    _, flow = networkx.network_simplex(graph)
    return [flow[giver][taker][leg] for leg in range(size) for giver, taker in (ends_of(net, leg),)]


def _find_potentials(net: Net, quantities: Sequence[int]) -> list[tuple[str, int]]:
    """Return the lowest potentials of 0 or more under which the flow proves itself (`net.proof`).

    A party with room in a leg is worth a share more than the taker; where shares flow, not more.
    """
    potential = [0] * len(net.accounts)
    bounds: list[tuple[int, int, int]] = []  # from the potential of one to the other
    for leg, qty in enumerate(quantities):
        giver, taker = ends_of(net, leg)
        if qty < net.legs[leg].qty:
            bounds.append((giver, taker, 1))
        if qty:
            bounds.append((taker, giver, -1))
    for _ in range(len(potential) + 1):
        before = list(potential)
        for one, other, more in bounds:
            potential[one] = max(potential[one], potential[other] + more)
        if potential == before:
            return [(party, each) for (party, _), each in zip(net.accounts, potential, strict=True)]
    raise AssertionError("the flow is not the best one")
