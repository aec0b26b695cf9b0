"""Prices that prove a flow: shortest distances in what the flow leaves open (kb: `book.price`).

No solver is needed: the distances exist exactly where no plan is better in the first twelve levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from finops_cli.book.allocation.groups import Groups
from finops_cli.book.allocation.levels import PROVED, GroupFlow, levels_of_arc
from finops_cli.book.certificates import GroupPrice, Prices


class _Arc(NamedTuple):
    """An arc of the flow, between the numbers of its ends."""

    tail: int
    head: int
    levels: tuple[int, ...]
    """The levels that one share on it adds to."""
    has_room: bool
    has_flow: bool


def make_prices(groups: Groups, flow: GroupFlow) -> Prices | None:
    """Return prices that prove a flow; None where a better one exists."""
    count = 1 + len(groups.sources) + len(groups.fails)
    base = 4 * count + 4
    weights = [base ** (PROVED - 1 - place) for place in range(PROVED)]
    steps = []
    for arc in _arcs(groups, flow):
        cost = sum(weights[place] for place in arc.levels)
        if arc.has_room:
            steps.append((arc.tail, arc.head, cost))
        if arc.has_flow:
            steps.append((arc.head, arc.tail, -cost))
    distances = _measure_distances(count, steps)
    if distances is None:
        return None
    vectors = [_digits(distance - distances[0], base) for distance in distances]
    first_fail = 1 + len(groups.sources)
    return Prices(
        origin=vectors[0],
        sources=list(zip(name_sources(groups), vectors[1:first_fail], strict=True)),
        fails=list(zip(name_fails(groups), vectors[first_fail:], strict=True)),
    )


def find_wrong_price(groups: Groups, flow: GroupFlow, prices: Prices) -> str | None:
    """Return a sentence about the first arc whose prices do not prove the flow; None: they do."""
    fault = _find_wrong_names(groups, prices)
    if fault is not None:
        return fault
    vectors = [prices.origin, *_vectors(prices.sources), *_vectors(prices.fails)]
    names = ["S", *map(str, name_sources(groups)), *map(str, name_fails(groups))]
    nothing = [0] * PROVED
    for arc in _arcs(groups, flow):
        reduced = [
            tail - head + int(place in arc.levels)
            for place, (tail, head) in enumerate(
                zip(vectors[arc.tail], vectors[arc.head], strict=True)
            )
        ]
        where = f"from {names[arc.tail]} to {names[arc.head]}"
        if arc.has_room and reduced < nothing:
            return f"the arc {where} has room and costs less than its prices differ"
        if arc.has_flow and reduced > nothing:
            return f"the arc {where} has flow and costs more than its prices differ"
    return None


def name_sources(groups: Groups) -> list[list[str | int | None]]:
    """Name the groups of sources as a certificate does."""
    return [[*group.name] for group in groups.sources]


def name_fails(groups: Groups) -> list[list[str | int | None]]:
    """Name the groups of fails: tier and days left, and the place of a fail with a least part."""
    return [
        [group.tier, group.days_left, *([group.members[0]] if group.least > 1 else [])]
        for group in groups.fails
    ]


def _vectors(priced: Sequence[GroupPrice]) -> list[list[int]]:
    return [vector for _, vector in priced]


def _find_wrong_names(groups: Groups, prices: Prices) -> str | None:
    if [name for name, _ in prices.sources] != name_sources(groups):
        return "the groups of sources are not those of the pool"
    if [name for name, _ in prices.fails] != name_fails(groups):
        return "the groups of fails are not those of the pool"
    vectors = (prices.origin, *_vectors(prices.sources), *_vectors(prices.fails))
    if any(len(vector) != PROVED for vector in vectors):
        return f"a price does not have {PROVED} levels"
    return None


def _arcs(groups: Groups, flow: GroupFlow) -> Iterator[_Arc]:
    """Yield every arc. A fail that is not served for its least partial has none."""
    first_fail = 1 + len(groups.sources)
    used = [0] * len(groups.sources)
    for (b, _), qty in flow.used.items():
        used[b] += qty
    for b, group in enumerate(groups.sources):
        yield _Arc(0, 1 + b, (), used[b] < group.qty, used[b] > 0)
    turned_away = {a for a in groups.with_least if flow.uncovered[a] == groups.fails[a].owed}
    for a, fail in enumerate(groups.fails):
        if a not in turned_away:
            levels = tuple(levels_of_arc(groups, None, a))
            uncovered = flow.uncovered[a]
            has_room = fail.least == 1 or uncovered < fail.owed - fail.least
            yield _Arc(0, first_fail + a, levels, has_room, uncovered > 0)
    for b, a in groups.late:
        if a not in turned_away:
            levels = tuple(levels_of_arc(groups, b, a))
            yield _Arc(1 + b, first_fail + a, levels, True, flow.used.get((b, a), 0) > 0)


def _measure_distances(count: int, steps: list[tuple[int, int, int]]) -> list[int] | None:
    """Return the shortest distance from the origin to each node; None for a cycle that saves.

    Where the origin does not reach a node, the distances are those from the nearest node.
    """
    from_origin = _relax([0, *[None] * (count - 1)], steps)
    if from_origin is None:
        return None
    reached = [each for each in from_origin if each is not None]
    if len(reached) == count:
        return reached
    nearest = _relax([0] * count, steps)
    return None if nearest is None else [each for each in nearest if each is not None]


def _relax(
    distances: list[int | None], steps: list[tuple[int, int, int]]
) -> list[int | None] | None:
    """Shorten distances until none can be; None where that never ends (Bellman and Ford)."""
    for _ in range(len(distances) + 1):
        changed = False
        for tail, head, cost in steps:
            before, after = distances[head], distances[tail]
            if after is not None and (before is None or after + cost < before):
                distances[head] = after + cost
                changed = True
        if not changed:
            return distances
    return None


def _digits(number: int, base: int) -> list[int]:
    """Write a number in digits from minus half the base to half of it, the highest first."""
    found = []
    half = base // 2
    for _ in range(PROVED):
        digit = (number + half) % base - half
        found.append(digit)
        number = (number - digit) // base
    return found[::-1]
