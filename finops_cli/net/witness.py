"""A set as people see it: its cycles and chains, the legs that settle alone, the accounts after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from finops_cli.net.answers import AccountAfter, Route
from finops_cli.net.legs import CASH, Net


class _Move(NamedTuple):
    """Shares, or cash, that a leg moves."""

    giver: str
    taker: str
    id: str


def list_after(net: Net, quantities: Mapping[int, int]) -> list[AccountAfter]:
    """Return what each account holds that the set moves."""
    held = list(net.balances)
    moved = set()
    for leg, qty in quantities.items():
        for account, change in part_of(net, leg, qty):
            held[account] += change
            moved.add(account)
    return [AccountAfter(*net.accounts[account], held[account]) for account in sorted(moved)]


def part_of(net: Net, leg: int, qty: int) -> tuple[tuple[int, int], ...]:
    """Return what a part of a leg changes. Cash belongs to a whole leg alone (`net.settles`)."""
    if qty == net.legs[leg].qty:
        return net.changes[leg]
    (giver, _), (taker, _), *_ = net.changes[leg]
    return (giver, -qty), (taker, qty)


def list_alone(net: Net, quantities: Mapping[int, int]) -> list[str]:
    """Return the ids of the settled legs that the balances cover without any other leg."""
    return [
        net.legs[leg].id
        for leg, qty in quantities.items()
        if all(net.balances[account] + change >= 0 for account, change in part_of(net, leg, qty))
    ]


def list_routes(net: Net, quantities: Mapping[int, int]) -> list[Route]:
    """Take the set apart into chains from a balance to a taker, and cycles, asset by asset."""
    by_asset: dict[str, dict[_Move, int]] = {}
    for leg, qty in quantities.items():
        each = net.legs[leg]
        by_asset.setdefault(each.asset, {})[_Move(each.giver, each.taker, each.id)] = qty
        if each.cash and qty == each.qty:
            by_asset.setdefault(CASH, {})[_Move(each.taker, each.giver, each.id)] = each.cash
    return [route for asset in sorted(by_asset) for route in _Routes(asset, by_asset[asset]).find()]


class _Routes:
    """The moves of one asset that are not in a route yet."""

    def __init__(self, asset: str, moves: dict[_Move, int]) -> None:
        self._asset = asset
        self._left = moves
        self._from: dict[str, list[_Move]] = {}
        self._gain: dict[str, int] = {}
        for move, qty in moves.items():
            self._from.setdefault(move.giver, []).append(move)
            self._gain[move.giver] = self._gain.get(move.giver, 0) - qty
            self._gain[move.taker] = self._gain.get(move.taker, 0) + qty
        for waiting in self._from.values():
            waiting.reverse()  # the first one is taken from the end

    def find(self) -> Iterator[Route]:
        """Yield the chains, and the cycles that are met on the way; then the other cycles."""
        for party in sorted(self._gain):
            while self._gain[party] < 0:
                yield from self._follow(party)
        for party in sorted(self._from):
            while self._next(party) is not None:
                yield from self._follow(party)

    def _follow(self, start: str) -> Iterator[Route]:
        """Walk from a party until a cycle closes or a party keeps what it gets."""
        path: list[_Move] = []
        place = {start: 0}
        party = start
        while self._gain[party] <= 0 or party == start:
            move = self._next(party)
            if move is None:
                raise AssertionError("a route ends where nothing is kept")
            path.append(move)
            party = move.taker
            if party in place:
                first = place[party]
                yield self._take("cycle", path[first:])
                return
            place[party] = len(path)
        yield self._take("chain", path)

    def _take(self, kind: str, path: list[_Move]) -> Route:
        qty = min(self._left[move] for move in path)
        if kind == "chain":
            first, last = path[0].giver, path[-1].taker
            qty = min(qty, -self._gain[first], self._gain[last])
            self._gain[first] += qty
            self._gain[last] -= qty
        for move in path:
            self._left[move] -= qty
        parties = [move.giver for move in path]
        return Route(
            "chain" if kind == "chain" else "cycle",
            self._asset,
            [*parties, path[-1].taker] if kind == "chain" else parties,
            qty,
            [move.id for move in path],
        )

    def _next(self, party: str) -> _Move | None:
        """Return the first move of a party that has anything left."""
        waiting = self._from.get(party, [])
        while waiting and not self._left[waiting[-1]]:
            waiting.pop()
        return waiting[-1] if waiting else None
