"""The summary of a plan of the book: numbers by tier, and the worst securities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import NamedTuple

from finops_cli.book.allocation.pool import TIERS
from finops_cli.book.parts import FailPlan
from finops_cli.book.proof.sentences import describe_lone, name_fails
from finops_cli.domain.allotment import BookPlace
from finops_cli.domain.enums import Tier

WORST = 5
"""Securities that a summary shows."""


class WorstPool(NamedTuple):
    """A security whose fails stay uncovered, with the sentences that say why."""

    cusip: str
    uncovered: tuple[int, ...]
    """Shares by tier, the most urgent first."""
    fails: int
    says: str
    """The shares that its fails owe, those that reach them, and those that are missing."""
    first: str
    """The first fail of the queue, and the fails that get the box."""


@dataclass(slots=True)
class BookSummary:
    """The sums of a plan of the book."""

    fails: Counter[str] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    uncovered: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    borrowed: Counter[str] = field(default_factory=Counter)
    pools: int = 0
    contended: int = 0
    """Securities on which more than one fail draws."""
    alone: int = 0
    """Shares that would stay uncovered if each fail had its sources for itself."""
    unasked: int = 0
    """Securities of the inventory that no fail asks for."""
    firm_unknown: list[tuple[str, int]] = field(default_factory=list)
    """Fails with firm parts that the book does not have, and their shares."""
    again: set[str] = field(default_factory=set)
    """Securities whose plan might differ if they were planned again with this one as `--sent`."""
    copied: int = 0
    """Lines that are copied from the earlier plan."""
    _heap: list[tuple[tuple[int, ...], str, WorstPool]] = field(default_factory=list)

    def add(self, cusip: str, fails: Sequence[FailPlan]) -> None:
        """Count the plan of one security."""
        self.pools += 1
        self.contended += len(fails) > 1
        lacking = dict.fromkeys(TIERS, 0)
        for each in fails:
            tier = each.fail.tier
            self.fails[tier] += 1
            self.owed[tier] += each.fail.owed
            lacking[tier] += each.uncovered
            self.late[tier] += each.late
            self.borrowed[tier] += each.borrowed
            self.alone += each.part.place.alone if each.part.place is not None else 0
        if any(lacking.values()):
            self.uncovered.update(lacking)
            self._keep(tuple(lacking.values()), cusip, fails)

    def add_copied(self, tier: Tier, owed: int, place: BookPlace, borrowed: int) -> None:
        """Count a fail whose line is copied."""
        self.fails[tier] += 1
        self.owed[tier] += owed
        self.uncovered[tier] += place.uncovered
        self.late[tier] += place.late
        self.borrowed[tier] += borrowed
        self.alone += place.alone
        if place.place == 1:
            self.pools += 1
            self.contended += place.of > 1

    @property
    def worst(self) -> list[WorstPool]:
        """Return the worst securities, the worst one first."""
        by_key = sorted(self._heap, key=lambda each: each[2].cusip)
        return [pool for _, _, pool in sorted(by_key, key=lambda each: each[0], reverse=True)]

    def _keep(self, key: tuple[int, ...], cusip: str, fails: Sequence[FailPlan]) -> None:
        if len(self._heap) >= WORST and key < self._heap[0][0]:
            return
        name = "".join(chr(0x10FFFF - ord(letter)) for letter in cusip)
        if len(self._heap) >= WORST and (key, name) < self._heap[0][:2]:
            return
        entry = (
            key,
            name,
            WorstPool(cusip, key, len(fails), _describe(fails), _name_first(fails)),
        )
        if len(self._heap) < WORST:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)


def _describe(fails: Sequence[FailPlan]) -> str:
    """Say why the first uncovered fail of a security is uncovered."""
    first = next(each for each in fails if each.uncovered)
    place = first.part.place
    if place is not None and place.cut is not None:
        return place.cut
    return describe_lone(first.fail.fail_id, first.fail.owed, first.uncovered)


def _name_first(fails: Sequence[FailPlan]) -> str:
    """Say who is first in the queue and what the box gives to whom."""
    first = fails[0].fail
    days = _describe_days(first.days_left)
    sentence = f"{first.fail_id} is first ({first.tier}, {days})"
    boxed = [
        (each.fail.fail_id, shares.qty)
        for each in fails
        for shares in each.part.allotment or ()
        if shares.kind == "BOX"
    ]
    if not boxed:
        return f"{sentence}; the box is empty."
    names = name_fails([f"{name} {qty:,}" for name, qty in boxed])
    return f"{sentence}. The box goes to {names}."


def _describe_days(days: int | None) -> str:
    if days is None:
        return "no deadline"
    if days < 0:
        return f"{-days} days past its deadline" if days < -1 else "1 day past its deadline"
    return (
        "its deadline is today" if days == 0 else f"{days} days left" if days > 1 else "1 day left"
    )
