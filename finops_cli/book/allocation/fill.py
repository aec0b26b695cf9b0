"""From shares between groups to shares between single fails and sources (kb: `book.levels`, 16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from finops_cli.book.allocation.groups import Groups, Sent
from finops_cli.book.allocation.levels import GroupFlow
from finops_cli.book.allocation.pool import BookPool, DrawingFail, can_serve, is_late


class Part(NamedTuple):
    """Shares of one source for one fail. Both are places in their pool."""

    source: int
    qty: int
    is_late: bool = False
    is_beside: bool = False
    """A recall beside a borrow covers nothing (kb: `book.beside_borrow`)."""


Parts = list[list[Part]]
"""By fail, in the order of the queue; the parts of a fail in the order of rank."""


def fill(pool: BookPool, groups: Groups, flow: GroupFlow, sent: Sent) -> Parts:
    """Give each fail its shares: first what was sent, then consecutively."""
    filling = _Filling(pool, groups)
    for a, group in enumerate(groups.fails):
        room = [flow.used.get((b, a), 0) for b in range(len(groups.sources))]
        if sent:
            filling.keep_sent(group.members, room, sent)
        filling.take(group.members, room)
    return filling.list_parts()


class _Filling:
    """The shares that each source has left while the groups are filled."""

    def __init__(self, pool: BookPool, groups: Groups) -> None:
        self._pool = pool
        self._groups = groups
        self._left = [source.qty for source in pool.sources]
        self._group_of = {
            pool.sources[place].key: (place, b)
            for b, group in enumerate(groups.sources)
            for place in group.members
        }
        self._next = [0] * len(groups.sources)
        self._taken: list[dict[int, int]] = [{} for _ in pool.fails]
        self._owed = [fail.owed for fail in pool.fails]

    def keep_sent(self, members: tuple[int, ...], room: list[int], sent: Sent) -> None:
        """Give fails what was sent to them, as far as their group gets it."""
        for fail in members:
            mine = sent.get(self._pool.fails[fail].fail_id, {})
            for key in sorted(mine, key=self._group_of.__getitem__):
                place, b = self._group_of[key]
                self._give(fail, place, b, min(mine[key], room[b]), room)

    def take(self, members: tuple[int, ...], room: list[int]) -> None:
        """Give fails the rest of their group's shares, fail after fail, the best sources first."""
        for fail in members:
            for b in range(len(room)):
                while self._owed[fail] and room[b]:
                    place = self._first_left(b)
                    self._give(fail, place, b, room[b], room)

    def list_parts(self) -> Parts:
        """List what each fail got."""
        return [
            [
                Part(place, qty, _comes_late(self._pool, place, self._pool.fails[fail]))
                for place, qty in sorted(taken.items())
            ]
            for fail, taken in enumerate(self._taken)
        ]

    def _first_left(self, b: int) -> int:
        members = self._groups.sources[b].members
        while not self._left[members[self._next[b]]]:
            self._next[b] += 1
        return members[self._next[b]]

    def _give(self, fail: int, place: int, b: int, most: int, room: list[int]) -> None:
        qty = min(most, self._left[place], self._owed[fail])
        if qty:
            self._taken[fail][place] = self._taken[fail].get(place, 0) + qty
            self._left[place] -= qty
            self._owed[fail] -= qty
            room[b] -= qty


def add_recalls(pool: BookPool, parts: Parts, firm: Mapping[int, int] | None = None) -> None:
    """Issue the recalls that are left beside the borrows of fails that they would reach late.

    `firm`: shares that each fail borrows outside this pool's problem, by its place.
    """
    left = {
        place: source.qty
        for place, source in enumerate(pool.sources)
        if source.kind == "RECALL" and source.qty
    }
    if not left:
        return
    for mine in parts:
        for part in mine:
            if part.source in left:
                left[part.source] -= part.qty
    if not any(left.values()):
        return
    for fail, mine in enumerate(parts):
        borrowed = sum(part.qty for part in mine if pool.sources[part.source].kind == "BORROW")
        borrowed += (firm or {}).get(fail, 0)
        for place in left:
            qty = min(left[place], borrowed)
            if qty and _comes_late(pool, place, pool.fails[fail]):
                mine.append(Part(place, qty, is_beside=True))
                left[place] -= qty
                borrowed -= qty


def plan_alone(pool: BookPool, fail: DrawingFail) -> list[Part]:
    """Plan a fail as if nobody else drew on the pool: the waterfall, in time before late."""
    late, parts, owed, days_left = [], [], fail.owed, fail.days_left
    for place, source in enumerate(pool.sources):
        qty = min(source.qty, owed)
        if not qty or not can_serve(source.kind, source.days, days_left):
            continue
        if is_late(source.kind, source.days, days_left, pool.receives_late):
            late.append(place)
        else:
            parts.append(Part(place, qty))
            owed -= qty
    for place in late:
        qty = min(pool.sources[place].qty, owed)
        if qty:
            parts.append(Part(place, qty, is_late=True))
            owed -= qty
    return sorted(parts) if fail.owed - owed >= fail.least else []


def _comes_late(pool: BookPool, place: int, fail: DrawingFail) -> bool:
    source = pool.sources[place]
    return is_late(source.kind, source.days, fail.days_left, pool.receives_late)
