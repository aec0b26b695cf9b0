"""The ladder of a plan: whole numbers that are minimised one by one (kb: `book.levels`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from finops_cli.book.allocation.groups import Groups
from finops_cli.book.allocation.pool import TIERS, Kind

_COSTS: tuple[Kind, ...] = ("BORROW", "RECALL", "DEPOT", "BOX")
"""The kinds that cost something, the dearest first."""
NAMES = (
    *(f"uncovered {tier}" for tier in TIERS),
    *(f"late {tier}" for tier in TIERS),
    *(f"use {kind}" for kind in _COSTS),
)
"""The first twelve levels, as a certificate names them."""
PROVED = len(NAMES)
LADDER = PROVED + 1
"""The twelve levels of shares, and the shares that stay where they were sent."""
Levels = tuple[int, ...]


class GroupFlow(NamedTuple):
    """Shares between groups."""

    uncovered: tuple[int, ...]
    """By fail group."""
    used: Mapping[tuple[int, int], int]
    """By (source group, fail group); pairs without shares may be absent."""

    def count_served(self, groups: Groups) -> tuple[int, ...]:
        """Return 0 for each fail with a least partial that gets shares, else 1: level 14."""
        return tuple(
            int(self.uncovered[place] == groups.fails[place].owed) for place in groups.with_least
        )

    def list_best_shares(self, groups: Groups) -> tuple[int, ...]:
        """List who gets which shares, the most urgent and the worst sources first: level 15."""
        worst_first = range(len(groups.sources) - 1, -1, -1)
        return tuple(
            number
            for a in range(len(groups.fails))
            for number in (self.uncovered[a], *(self.used.get((b, a), 0) for b in worst_first))
        )


def levels_of_arc(groups: Groups, b: int | None, a: int) -> list[int]:
    """List the first twelve levels that one share on an arc adds to: places in `NAMES`.

    `b` None is the arc of uncovered shares.
    """
    tier = TIERS.index(groups.fails[a].tier)
    if b is None:
        return [tier]
    found = [len(TIERS) + tier] if groups.late[b, a] else []
    kind = groups.sources[b].kind
    if kind in _COSTS:
        found.append(2 * len(TIERS) + _COSTS.index(kind))
    return found


def vector_of_arc(groups: Groups, b: int | None, a: int) -> Levels:
    """Return the twelve levels that one share on an arc costs."""
    places = levels_of_arc(groups, b, a)
    return tuple(int(place in places) for place in range(PROVED))


def measure(groups: Groups, flow: GroupFlow) -> Levels:
    """Return the thirteen levels of a flow; the last one is minus the shares that stay."""
    total = [0] * LADDER
    for a, qty in enumerate(flow.uncovered):
        total[levels_of_arc(groups, None, a)[0]] += qty
    for (b, a), qty in flow.used.items():
        for place in levels_of_arc(groups, b, a):
            total[place] += qty
        total[PROVED] -= min(qty, groups.kept.get((b, a), 0))
    return tuple(total)


def name_levels(levels: Sequence[int]) -> dict[str, int]:
    """Name the levels of a plan that are not zero."""
    return {name: qty for name, qty in zip(NAMES, levels, strict=False) if qty}
