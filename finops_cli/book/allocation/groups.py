"""Groups of fails and of sources that the first fifteen levels cannot tell apart.

A hot security of 50,000 fails and 10,000 receives has a few dozen groups, and the flow is solved
between groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from finops_cli.book.allocation.pool import KINDS, BookPool, Kind, Source, can_serve, is_late
from finops_cli.domain.enums import Tier

Sent = Mapping[str, Mapping[tuple[str, str], int]]
"""Shares that were sent out and can be taken back, by `fail_id` and then by (kind, id)."""


class FailGroup(NamedTuple):
    """Fails of the same tier with the same days left; a fail with a least partial is alone."""

    tier: Tier
    days_left: int | None
    owed: int
    least: int
    members: tuple[int, ...]
    """Places in `BookPool.fails`, in the order of the queue."""


class SourceGroup(NamedTuple):
    """Sources of one kind with the same days, or the same rate."""

    kind: Kind
    days: int
    rate_bps: int
    age_days: int
    """Of receives that can be late; -1 of receives that cannot, 0 of other sources."""
    qty: int
    members: tuple[int, ...]
    """Places in `BookPool.sources`, in the order of rank."""

    @property
    def name(self) -> list[str | int]:
        """Return the kind and what tells groups of this kind apart, as a certificate names it."""
        if self.kind in ("DEPOT", "RECALL"):
            return [self.kind, self.days]
        if self.kind == "BORROW":
            return [self.kind, self.rate_bps]
        has_age = self.kind == "FTR" and self.age_days >= 0
        return [self.kind, self.age_days, self.days] if has_age else [self.kind]


class Groups(NamedTuple):
    """The groups of a pool, both in the order of urgency or rank, and who may serve whom."""

    fails: tuple[FailGroup, ...]
    sources: tuple[SourceGroup, ...]
    late: Mapping[tuple[int, int], bool]
    """By (source group, fail group), for each pair that may meet: true where it comes late."""
    kept: Mapping[tuple[int, int], int]
    """Shares that were sent, by (source group, fail group)."""

    @property
    def with_least(self) -> list[int]:
        """List the fail groups with a least partial, the most urgent first."""
        return [place for place, group in enumerate(self.fails) if group.least > 1]


def group_pool(pool: BookPool, sent: Sent | None = None) -> Groups:
    """Group the fails and the sources of a pool."""
    fails = _group_fails(pool)
    sources = _group_sources(pool)
    late = {
        (b, a): is_late(source.kind, source.days, fail.days_left, pool.receives_late)
        for b, source in enumerate(sources)
        for a, fail in enumerate(fails)
        if can_serve(source.kind, source.days, fail.days_left)
    }
    return Groups(fails, sources, late, _group_sent(pool, fails, sources, sent or {}))


def trim_sent(pool: BookPool, given: Sent) -> dict[str, dict[tuple[str, str], int]]:
    """Cut what was sent to what still exists, fails in the queue, sources in rank."""
    if not given:
        return {}
    left = {source.key: source.qty for source in pool.sources}
    place = {source.key: place for place, source in enumerate(pool.sources)}
    trimmed: dict[str, dict[tuple[str, str], int]] = {}
    for fail in pool.fails:
        mine, owed = given.get(fail.fail_id, {}), fail.owed
        for key in sorted((key for key in mine if key in place), key=place.__getitem__):
            source = pool.sources[place[key]]
            taken = min(mine[key], left[key], owed)
            if taken > 0 and can_serve(source.kind, source.days, fail.days_left):
                trimmed.setdefault(fail.fail_id, {})[key] = taken
                left[key] -= taken
                owed -= taken
    return trimmed


def _group_fails(pool: BookPool) -> tuple[FailGroup, ...]:
    """Group the fails. The queue sorts by tier and days, so equal ones follow each other."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, fail in enumerate(pool.fails):
        key = (fail.tier, fail.days_left, place if fail.least > 1 else None)
        found.setdefault(key, []).append(place)
    groups = [
        FailGroup(
            tier=pool.fails[members[0]].tier,
            days_left=pool.fails[members[0]].days_left,
            owed=sum(pool.fails[place].owed for place in members),
            least=pool.fails[members[0]].least,
            members=tuple(members),
        )
        for members in found.values()
    ]
    return tuple(groups)


def _group_sources(pool: BookPool) -> tuple[SourceGroup, ...]:
    """Group the sources; the group of the better source is the better one."""
    found: dict[tuple[int, int, int, int], list[int]] = {}
    for place, source in enumerate(pool.sources):
        if source.qty:
            found.setdefault(_nature(source, pool.receives_late), []).append(place)
    return tuple(
        SourceGroup(
            kind=KINDS[nature[0]],
            days=nature[2],
            rate_bps=nature[3],
            age_days=-nature[1],
            qty=sum(pool.sources[place].qty for place in members),
            members=tuple(members),
        )
        for nature, members in found.items()
    )


def _nature(source: Source, receives_late: bool) -> tuple[int, int, int, int]:
    """Return what the first fifteen levels see of a source."""
    kind = KINDS.index(source.kind)
    if source.ftr is None or source.kind != "FTR":
        days = source.days if source.kind in ("DEPOT", "RECALL") else 0
        return kind, 0, days, source.rate_bps if source.kind == "BORROW" else 0
    return (kind, -source.ftr.age_days, source.days, 0) if receives_late else (kind, 1, 0, 0)


def _group_sent(
    pool: BookPool,
    fails: Sequence[FailGroup],
    sources: Sequence[SourceGroup],
    sent: Sent,
) -> dict[tuple[int, int], int]:
    if not sent:
        return {}
    group_of_fail = {
        pool.fails[place].fail_id: a for a, group in enumerate(fails) for place in group.members
    }
    group_of_source = {
        pool.sources[place].key: b for b, group in enumerate(sources) for place in group.members
    }
    kept: dict[tuple[int, int], int] = {}
    for fail_id, mine in sent.items():
        for key, qty in mine.items():
            pair = group_of_source[key], group_of_fail[fail_id]
            kept[pair] = kept.get(pair, 0) + qty
    return kept
