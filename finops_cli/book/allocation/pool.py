"""The sources and the fails of one security, in the orders that the plan needs.

Everything here is a value of whole numbers: the same pool gives the same plan on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from finops_cli.domain.enums import Tier
from finops_cli.domain.fail import Ftr

Kind = Literal["FTR", "BOX", "DEPOT", "RECALL", "BORROW"]
"""The kinds of source, the cheapest first (kb: `book.levels`)."""
KINDS: tuple[Kind, ...] = ("FTR", "BOX", "DEPOT", "RECALL", "BORROW")
TIERS: tuple[Tier, ...] = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""The most urgent first."""
_KIND_ORDER = {kind: place for place, kind in enumerate(KINDS)}
_TIER_ORDER = {tier: place for place, tier in enumerate(TIERS)}


class Source(NamedTuple):
    """One source of shares of a security."""

    kind: Kind
    id: str
    qty: int
    """Shares."""
    days: int = 0
    """Transit of a depot, notice of a recall, N of T+N of a receive; else 0."""
    rate_bps: int = 0
    """Basis points a year; of a borrow only."""
    dtc: str | None = None
    ftr: Ftr | None = None
    """The receive as a record has it; of a receive only."""
    order: int = 0
    """Tells equal receives of a record apart, in its order."""

    @property
    def key(self) -> tuple[str, str]:
        """Return the name of the source inside its pool."""
        return self.kind, self.id

    @property
    def rank(self) -> tuple[int, int, int, str, int, str]:
        """Return the place of the source among all of its pool: the best is the smallest."""
        kind, first, dtc = self.kind, self.days, ""
        if kind == "FTR":
            first, dtc = -self.ftr.age_days if self.ftr is not None else 0, self.dtc or ""
        elif kind == "BOX":
            first = 0
        elif kind == "BORROW":
            first = self.rate_bps
        return _KIND_ORDER[kind], first, -self.qty, dtc, self.order, self.id


class DrawingFail(NamedTuple):
    """A fail that draws on the pool of its security."""

    fail_id: str
    owed: int
    """Shares."""
    tier: Tier
    days_left: int | None
    """Settlement days to the deadline, negative when past; None: it has none."""
    score: int = 0
    """The priority score in billionths."""
    least: int = 1
    """The smallest part that the counterparty takes, in shares."""
    line: int = 0
    """The number of its input line."""

    @property
    def priority(self) -> tuple[int, int, int, int, str]:
        """Return the place in the queue: the most urgent is the smallest (kb: `book.priority`)."""
        days = self.days_left
        return _TIER_ORDER[self.tier], days is None, days or 0, -self.score, self.fail_id


class BookPool(NamedTuple):
    """The problem of one security: the debts of its fails and the shares of its sources."""

    cusip: str
    fails: tuple[DrawingFail, ...]
    """In the order of the queue."""
    sources: tuple[Source, ...]
    """In the order of their rank."""
    borrow_cap: int | None = None
    """The most shares that may be borrowed; None: no budget limits them."""
    receives_late: bool = False


def make_pool(
    cusip: str,
    fails: Iterable[DrawingFail],
    sources: Iterable[Source],
    borrow_cap: int | None = None,
    receives_late: bool = False,
) -> BookPool:
    """Put the fails and the sources of a security into their orders.

    With a cap, only as much can be borrowed, at the cheapest rates first.
    """
    ranked = rank_sources(sources)
    if borrow_cap is not None:
        ranked = _cap_borrows(ranked, borrow_cap)
    return BookPool(cusip, queue_fails(fails), tuple(ranked), borrow_cap, receives_late)


def rank_sources(sources: Iterable[Source]) -> list[Source]:
    """Put sources of a security into the order of their rank."""
    return sorted(sources, key=lambda source: source.rank)


def queue_fails(fails: Iterable[DrawingFail]) -> tuple[DrawingFail, ...]:
    """Put fails into their queue (kb: `book.priority`)."""
    return tuple(sorted(fails, key=lambda fail: fail.priority))


def can_serve(kind: Kind, source_days: int, days_left: int | None) -> bool:
    """Return true where a source reaches a fail at all (kb: `waterfall.depot`)."""
    return kind != "DEPOT" or (days_left is not None and source_days < days_left)


def is_late(kind: Kind, source_days: int, days_left: int | None, receives_late: bool) -> bool:
    """Return true where a source comes after the deadline (kb: `waterfall.parallel`)."""
    if days_left is None:
        return False
    if kind == "RECALL" or (kind == "FTR" and receives_late):
        return days_left <= source_days
    return False


def count_reachable(pool: BookPool, fail: DrawingFail) -> int:
    """Count the shares of the pool that reach `fail`, if nobody else took them."""
    return sum(
        source.qty for source in pool.sources if can_serve(source.kind, source.days, fail.days_left)
    )


def _cap_borrows(ranked: list[Source], cap: int) -> list[Source]:
    left, capped = cap, []
    for source in ranked:
        if source.kind == "BORROW":
            taken = min(source.qty, left)
            left -= taken
            capped.append(source._replace(qty=taken))
        else:
            capped.append(source)
    return capped
