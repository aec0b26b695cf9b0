"""Small nets, and a second implementation of what is best in them: every set is tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from random import Random
from typing import Any

from finops_cli.net.legs import Balance, Leg

CUSIP, OTHER = "594918104", "037833100"


def leg(id: str, giver: str, taker: str, qty: int, cash: int = 0, asset: str = CUSIP) -> Leg:
    """Return a leg; the usual asset is one security."""
    return Leg(id, giver, taker, asset, qty, cash)


def ring(*quantities: int, parties: str = "ABCDEFGH") -> list[Leg]:
    """Return legs that go round: A to B, B to C, and the last party to A."""
    size = len(quantities)
    return [
        leg(f"o{place + 1}", parties[place], parties[(place + 1) % size], qty)
        for place, qty in enumerate(quantities)
    ]


def draw_legs(
    draw: Random, size: int, parties: int, assets: Sequence[str], most: int, cash: int
) -> list[Leg]:
    """Draw legs of up to `most` shares, half of them against up to `cash` cents."""
    names = [f"P{place}" for place in range(parties)]
    legs = []
    for place in range(size):
        giver, taker = draw.sample(names, 2)
        paid = draw.randint(1, cash) if cash and draw.random() < 0.5 else 0
        asset = draw.choice(assets)
        legs.append(Leg(f"o{place + 1}", giver, taker, asset, draw.randint(1, most), paid))
    return legs


def draw_balances(draw: Random, legs: Iterable[Leg], most: int) -> list[Balance]:
    """Draw balances of up to `most` for about half of the accounts; none for 0."""
    if not most:
        return []
    parties = sorted({party for each in legs for party in (each.giver, each.taker)})
    assets = sorted({each.asset for each in legs} | {"CASH"})
    return [
        Balance(party, asset, draw.randint(0, most))
        for party in parties
        for asset in assets
        if draw.random() < 0.5
    ]


def holds_after(
    legs: Sequence[Leg], balances: Iterable[Balance], parts: Sequence[int]
) -> dict[tuple[str, str], int]:
    """Return what each account holds after parts of the legs; cash is paid for whole legs."""
    held: dict[tuple[str, str], int] = {(each.party, each.asset): each.qty for each in balances}

    def add(party: str, asset: str, qty: int) -> None:
        held[party, asset] = held.get((party, asset), 0) + qty

    for each, qty in zip(legs, parts, strict=True):
        add(each.giver, each.asset, -qty)
        add(each.taker, each.asset, qty)
        if qty == each.qty:
            add(each.taker, "CASH", -each.cash)
            add(each.giver, "CASH", each.cash)
    return held


def can_settle(legs: Sequence[Leg], balances: Iterable[Balance], parts: Sequence[int]) -> bool:
    """Return true where no account is overdrawn."""
    return min(holds_after(legs, balances, parts).values(), default=0) >= 0


def best_whole(legs: Sequence[Leg], balances: Sequence[Balance], objective: str) -> list[str]:
    """Return the ids of the best set: the objective, then the other one, then earlier legs."""
    best: tuple[Any, list[str]] = ((0, 0, ()), [])
    for chosen in product((1, 0), repeat=len(legs)):
        if can_settle(legs, balances, [x * each.qty for x, each in zip(chosen, legs, strict=True)]):
            value = sum((each.cash or each.qty) for x, each in zip(chosen, legs, strict=True) if x)
            score = (sum(chosen), value) if objective == "count" else (value, sum(chosen))
            key = (*score, chosen)
            if key > best[0]:
                best = key, [each.id for x, each in zip(chosen, legs, strict=True) if x]
    return best[1]


def best_partial(legs: Sequence[Leg], balances: Sequence[Balance]) -> list[int]:
    """Return the most shares that settle, as parts of the legs; the most of earlier legs first."""
    best: tuple[int, tuple[int, ...]] = (0, (0,) * len(legs))
    for parts in product(*(range(each.qty + 1) for each in legs)):
        key = sum(parts), parts
        if key > best and can_settle(legs, balances, parts):
            best = key
    return list(best[1])
