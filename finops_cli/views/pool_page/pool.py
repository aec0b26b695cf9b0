"""One pool of a plan of the whole book, read from its output lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from finops_cli.domain.allotment import SOURCE_KINDS, AllottedShares, BookPlace
from finops_cli.domain.enums import Tier
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.inventory_lines import InventoryLine

KIND_WORDS = {
    "FTR": "receive",
    "BOX": "box",
    "DEPOT": "depot",
    "RECALL": "recall",
    "BORROW": "borrow",
}
"""The kinds of source, the cheapest first, as a person reads them."""


class _Triage(Struct):
    priority_tier: Tier
    deadline: str | None = None


class _Fail(Struct):
    qty: int
    counterparty: str = ""
    age_days: int = 0


class _Clock(Struct):
    deadline_days: int | None = None


class _Line(Struct):
    fail_id: str
    fail: _Fail | None = None
    triage: _Triage | None = None
    allotment: tuple[AllottedShares, ...] | None = None
    book: BookPlace | None = None
    clock: _Clock | None = None


_DECODER = msgspec.json.Decoder(_Line)


class PoolFail(Struct, frozen=True, kw_only=True):
    """A fail of a pool."""

    fail_id: str
    tier: Tier
    owed: int
    """Shares."""
    counterparty: str
    days_left: int | None
    """Settlement days to the deadline; None: it has none."""
    place: BookPlace
    allotment: tuple[AllottedShares, ...]

    @property
    def covering(self) -> list[AllottedShares]:
        """Return the shares that cover it, without recalls beside a borrow."""
        return [each for each in self.allotment if not each.beside_borrow]


class PoolSource(Struct, frozen=True, kw_only=True):
    """A source of a pool."""

    kind: str
    id: str
    used: int
    """Shares that fails get."""
    held: int | None
    """Shares that it has; None: the inventory is not given."""
    days: int | None = None
    """Transit of a depot or notice of a recall, in settlement days."""

    @property
    def key(self) -> tuple[str, str]:
        """Return the name of the source inside its pool."""
        return self.kind, self.id

    @property
    def size(self) -> int:
        """Return the shares to draw."""
        return self.used if self.held is None else max(self.held, self.used)


class Pool(Struct, frozen=True, kw_only=True):
    """The sources and the fails of a security."""

    cusip: str
    fails: list[PoolFail]
    """In the order of the queue."""
    sources: list[PoolSource]
    """The cheapest kind first."""

    @property
    def owed(self) -> int:
        """Return the shares that its fails owe."""
        return sum(fail.owed for fail in self.fails)

    @property
    def uncovered(self) -> int:
        """Return the shares that no source covers."""
        return sum(fail.place.uncovered for fail in self.fails)

    @property
    def late(self) -> int:
        """Return the shares that come after a deadline."""
        return sum(fail.place.late for fail in self.fails)

    @property
    def cuts(self) -> list[str]:
        """List the sentences that say why shares stay uncovered, the most urgent tier first."""
        return list(dict.fromkeys(each.place.cut for each in self.fails if each.place.cut))


def read_pool_fails(lines: Iterable[bytes], cusip: str) -> list[PoolFail]:
    """Read the fails that draw on a security, in the order of their queue."""
    found = []
    wanted = f'"book":{{"cusip":"{cusip}"'.encode()
    for line in lines:
        if wanted not in line:
            continue  # most lines are of other securities, and need not be decoded
        try:
            given = _DECODER.decode(line)
        except UNREADABLE:
            continue
        if given.book is None or given.fail is None or given.triage is None:
            continue
        found.append(
            PoolFail(
                fail_id=given.fail_id,
                tier=given.triage.priority_tier,
                owed=given.fail.qty,
                counterparty=given.fail.counterparty,
                days_left=_days_left(given),
                place=given.book,
                allotment=given.allotment or (),
            )
        )
    return sorted(found, key=lambda fail: fail.place.place)


def make_pool(
    cusip: str, fails: list[PoolFail], inventory: Iterable[InventoryLine] | None = None
) -> Pool:
    """Put the fails of a security and its sources together.

    Without the inventory, only the sources are known that fails get shares of.
    """
    used: dict[tuple[str, str], int] = {}
    for fail in fails:
        for each in fail.allotment:
            key = each.kind, each.id
            used[key] = used.get(key, 0) + each.qty
    sources = {
        key: PoolSource(kind=key[0], id=key[1], used=qty, held=None) for key, qty in used.items()
    }
    for line in inventory or ():
        if line.kind in SOURCE_KINDS:
            key = line.kind, line.id or ""
            if line.qty or key in used:
                days = line.transit_days if line.kind == "DEPOT" else line.notice_days
                sources[key] = PoolSource(
                    kind=line.kind, id=key[1], used=used.get(key, 0), held=line.qty or 0, days=days
                )
    order = {kind: place for place, kind in enumerate(SOURCE_KINDS)}
    ranked = sorted(sources.values(), key=lambda each: (order[each.kind], -each.size, each.id))  # type: ignore[index]
    return Pool(cusip=cusip, fails=fails, sources=ranked)


def name_source(kind: str, id: str) -> str:
    """Name a source for a person: box, depot London."""
    return f"{KIND_WORDS.get(kind, kind.lower())} {id}".rstrip()


def describe_shares(fail: PoolFail) -> str:
    """Say what a fail gets, by source."""
    return describe_allotment(fail.allotment)


def describe_allotment(allotment: Iterable[AllottedShares]) -> str:
    """Name the sources of an allotment with their shares."""
    return ", ".join(map(_describe_part, allotment)) or "nothing"


def _describe_part(each: AllottedShares) -> str:
    notes = [
        text
        for text, is_so in (
            ("late", each.late),
            ("firm", each.firm),
            ("beside the borrow", each.beside_borrow),
        )
        if is_so
    ]
    note = f" ({', '.join(notes)})" if notes else ""
    return f"{name_source(each.kind, each.id)} {each.qty:,}{note}"


def describe_days(days: int | None) -> str:
    """Say how many settlement days are left."""
    if days is None:
        return "no deadline"
    if days <= 0:
        return f"{-days} day{'' if days == -1 else 's'} past" if days else "today"
    return f"{days} day{'' if days == 1 else 's'}"


def _days_left(line: Any) -> int | None:
    if line.clock is not None and line.clock.deadline_days is not None:
        days: int = line.clock.deadline_days
        return days
    deadline = line.triage.deadline
    return None if deadline is None else int(deadline.removeprefix("T+")) - line.fail.age_days
