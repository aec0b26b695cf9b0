"""The best flow between groups: one exact min-cost flow with whole numbers of any size.

The cost of an arc is one whole number whose digits are the levels (kb: `book.levels`). A simple
cycle has at most half a base of arcs, so no digit overflows: comparing the numbers is comparing the
levels one after the other, whatever the quantities.
"""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

from finops_cli.book.allocation.groups import Groups
from finops_cli.book.allocation.levels import LADDER, PROVED, GroupFlow, levels_of_arc
from finops_cli.solvers.networks import import_networkx

_ORIGIN = "S"
_FREE, _KEPT = 0, 1
_TIE_BASE = 4
"""A tie digit has two bits: the digits of a simple cycle add up to at most 1."""


def solve_flow(groups: Groups, served: Collection[int] | None = None) -> GroupFlow | None:
    """Return the one best flow between groups; None where a served fail cannot get its least.

    `served`: places of the fail groups with a least partial that get shares; the others get none.
    None: no fail has a least partial. Raises MissingPiece without networkx.
    """
    networkx = import_networkx()
    turned_away = set(groups.with_least).difference(served or ())
    graph = _build(networkx, groups, turned_away)
    try:
        _, found = networkx.network_simplex(graph)
    except networkx.NetworkXUnfeasible:
        return None
    uncovered, used = [], {}
    for a, group in enumerate(groups.fails):
        if a in turned_away:
            uncovered.append(group.owed)
            continue
        uncovered.append(found[_ORIGIN][_fail(a)][_FREE])
        for b in range(len(groups.sources)):
            qty = sum(found[_source(b)].get(_fail(a), {}).values())
            if qty:
                used[b, a] = qty
    return GroupFlow(tuple(uncovered), used)


def _build(networkx: ModuleType, groups: Groups, turned_away: Collection[int]) -> Any:
    graph = networkx.MultiDiGraph()
    costs = _Costs(groups)
    demand = 0
    for b, source in enumerate(groups.sources):
        graph.add_edge(_ORIGIN, _source(b), key=_FREE, capacity=source.qty, weight=0)
    for a, group in enumerate(groups.fails):
        if a in turned_away:
            continue
        demand += group.owed
        graph.add_node(_fail(a), demand=group.owed)
        most = group.owed - group.least if group.least > 1 else group.owed
        graph.add_edge(_ORIGIN, _fail(a), key=_FREE, capacity=most, weight=costs.of(None, a))
    for b, a in groups.late:
        if a in turned_away:
            continue
        weight, kept = costs.of(b, a), groups.kept.get((b, a), 0)
        ends = _source(b), _fail(a)
        graph.add_edge(*ends, key=_FREE, capacity=groups.sources[b].qty, weight=weight)
        if kept:
            graph.add_edge(*ends, key=_KEPT, capacity=kept, weight=weight - costs.stay)
    graph.add_node(_ORIGIN, demand=-demand)
    return graph


def _source(b: int) -> tuple[str, int]:
    return "source", b


def _fail(a: int) -> tuple[str, int]:
    return "fail", a


class _Costs:
    """The cost of one share on each arc, as one whole number."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._sources = len(groups.sources)
        self._digits = len(groups.fails) * (self._sources + 1)
        base = 2 * (len(groups.fails) + self._sources) + 4
        lowest = _TIE_BASE**self._digits
        self._weights: list[int] = [
            lowest * base ** (LADDER - 1 - place) for place in range(LADDER)
        ]
        self.stay = self._weights[PROVED]
        """The saving of a share that stays where it was sent."""

    def of(self, b: int | None, a: int) -> int:
        """Return the cost of the arc from source group `b` to fail group `a`; None: uncovered."""
        cost: int = sum(self._weights[place] for place in levels_of_arc(self._groups, b, a))
        first = a * (self._sources + 1)
        digit = first if b is None else first + self._sources - b
        tie: int = _TIE_BASE ** (self._digits - 1 - digit)
        return cost + tie
