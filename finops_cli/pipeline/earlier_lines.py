"""The lines of a run so far: their names, and the shares that they promised, both on disk.

A run plans each fail alone, so two fails that name the same box both get it. A line says so from
the second fail of a source on (kb: `book.promised_before`). Records of one security share its
sources: one box, one set of depots, recalls and lenders, one list of receives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from msgspec import Struct

from finops_cli.domain.allotment import SOURCE_KINDS, SourceKind
from finops_cli.domain.fail import FailRecord, Ftr, Inventory
from finops_cli.domain.finding import Finding
from finops_cli.domain.headline import FailSummary
from finops_cli.domain.resolution import Resolution
from finops_cli.files.jsonl import FilePlace
from finops_cli.files.seen_ids import SeenIds
from finops_cli.files.temporary_table import TemporaryTable

RULE = "book.promised_before"
Shares = tuple[int, ...]
"""Shares by kind of source, in the order of `SOURCE_KINDS`."""

_KIND_OF_ACTION: dict[str, SourceKind] = {
    "CHASE_FTR": "FTR",
    "OFFSET_FTR": "FTR",
    "NET_GRIDLOCK": "FTR",
    "APPLY_BOX": "BOX",
    "DEPOT_MOVEMENT": "DEPOT",
    "INITIATE_RECALL": "RECALL",
    "SOURCE_BORROW": "BORROW",
}
_PLACE_OF_ACTION = {action: SOURCE_KINDS.index(kind) for action, kind in _KIND_OF_ACTION.items()}
_WORDS = ("the receives", "the box", "the depots", "the recalls", "the lenders")
_MOST = 2**63 - 1
"""The largest number that the table holds; no real run promises as much."""
_MOST_IN_MEMORY = 16_384
"""Securities that take 5 MiB, and more than fail on one day."""
_ASKED = 256
"""Securities that one question to the table asks for."""
_NUMBERS = len(SOURCE_KINDS) + 1
_NONE = (0,) * len(SOURCE_KINDS)


class Draw(Struct, frozen=True):
    """The shares that the plan of one line takes, of which security."""

    cusip: str
    taken: Shares
    held: Shares
    """The shares that its record says the sources hold."""


class Promised(NamedTuple):
    """The sources that a line shares with earlier lines."""

    finding: Finding
    twice: int
    """Shares of its plan that the sources do not have after the earlier lines."""
    is_first: bool
    """True for the first line that shares a source of its security."""


def count_taken(plan: Resolution) -> Shares:
    """Count the shares that a plan takes, by kind of source."""
    taken = [*_NONE]
    for step in plan.resolution_steps:
        place = _PLACE_OF_ACTION.get(step.action)
        if place is not None:
            taken[place] += step.qty
    for action, qty in (
        (plan.fallback_strategy, plan.fallback_qty),
        (plan.secondary_fallback, plan.secondary_fallback_qty),
    ):
        place = _PLACE_OF_ACTION.get(action)
        if place is not None:
            taken[place] += qty
    return tuple(taken)


def count_held(inventory: Inventory, ftrs: Iterable[Ftr]) -> Shares:
    """Count the shares of the sources that a record carries, by kind."""
    return (
        sum(ftr.qty for ftr in ftrs),
        inventory.box_qty,
        inventory.depot_qty,
        inventory.recall_outstanding,
        inventory.stock_loan_available,
    )


def draw_of(fail: Any, category: str | None, plan: Any, held: Shares) -> Draw | None:
    """Return what a line takes from the sources of its security; None for one that takes nothing.

    `fail` and `plan` are members of an output line, `category` is the category of its triage.
    """
    if not isinstance(fail, FailSummary) or not isinstance(plan, Resolution):
        return None
    taken = count_taken(plan)
    if taken == _NONE:
        return None
    cusip = fail.cusip
    if category == "CA_EVENT" and isinstance(fail.new_cusip, str):
        cusip = fail.new_cusip
    return Draw(cusip, taken, held)


def held_of(record: FailRecord) -> Shares | None:
    """Count the shares of the sources of a record; None for one without an inventory."""
    return None if record.inventory is None else count_held(record.inventory, record.ftrs)


class Promises:
    """Remembers the shares that the lines of a run have promised, by security.

    Where there are many it keeps them in a temporary database, about 60 bytes for a security, which
    is deleted at the end of the run.
    """

    def __init__(self) -> None:
        self._few: dict[str, list[int]] = {}
        """The promises, while there are few."""
        self._opened: TemporaryTable | None = None

    @property
    def _table(self) -> TemporaryTable:
        if self._opened is None:
            self._opened = TemporaryTable(
                "CREATE TABLE promised (cusip TEXT PRIMARY KEY, ftr INTEGER, box INTEGER,"
                " depot INTEGER, recall INTEGER, borrow INTEGER, shared INTEGER) WITHOUT ROWID"
            )
        return self._opened

    def close(self) -> None:
        """Delete the database."""
        if self._opened is not None:
            self._opened.close()

    def add(self, draws: Sequence[Draw]) -> list[Promised | None]:
        """Remember draws in the order of their lines.

        Returns for each what it shares with earlier lines; None for one that shares nothing.
        """
        if not draws:
            return []
        if self._opened is None and len(self._few) + len(draws) <= _MOST_IN_MEMORY:
            return _take_each(self._few, draws)
        if self._few:
            self._write(self._few)
            self._few = {}
        known = self._read({draw.cusip for draw in draws})
        found = _take_each(known, draws)
        self._write(known)
        return found

    def _write(self, known: dict[str, list[int]]) -> None:
        self._table.insert_many(
            "INSERT OR REPLACE INTO promised VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(cusip, *row) for cusip, row in known.items()],
        )

    def _read(self, cusips: set[str]) -> dict[str, list[int]]:
        asked = list(cusips)
        found = {}
        for first in range(0, len(asked), _ASKED):
            some = asked[first : first + _ASKED]
            marks = ", ".join("?" * len(some))
            rows = self._table.select(f"SELECT * FROM promised WHERE cusip IN ({marks})", some)  # noqa: S608 - marks only
            found.update({row[0]: list(row[1:]) for row in rows})
        return found


def _take_each(known: dict[str, list[int]], draws: Iterable[Draw]) -> list[Promised | None]:
    """Add draws to what is known of their securities."""
    return [_take(known.setdefault(draw.cusip, [0] * _NUMBERS), draw) for draw in draws]


def _take(promised: list[int], draw: Draw) -> Promised | None:
    """Add a draw to what was promised, whose last number says if a source is shared already."""
    twice, earlier = 0, {}
    for place, qty in enumerate(draw.taken):
        if qty:
            before = promised[place]
            if before:
                earlier[place] = before
                twice += min(qty, max(0, before + qty - draw.held[place]))
            promised[place] = min(before + qty, _MOST)
    if not earlier:
        return None
    is_first, promised[-1] = not promised[-1], 1
    finding = Finding(
        rule=RULE,
        path="/resolution",
        expected=0,
        actual=sum(earlier.values()),
        message=_describe(draw.cusip, earlier, twice),
    )
    return Promised(finding, twice, is_first)


def _describe(cusip: str, earlier: dict[int, int], twice: int) -> str:
    shares = [f"{qty:,} of {_WORDS[place]}" for place, qty in earlier.items()]
    listed = shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
    end = f"; {twice:,} shares of this plan are promised twice" if twice else ""
    return f"earlier lines of this run promise {listed} of {cusip}{end}"


class EarlierLines:
    """The names and the promises of the lines of a run so far."""

    def __init__(self, locate: Callable[[int], FilePlace] | None = None) -> None:
        """Begin without lines. `locate` finds the file of a line, in an input of several."""
        self.seen = SeenIds()
        self.locate = locate
        self.promises = Promises()

    def __enter__(self) -> EarlierLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seen.__exit__(kind, error, trace)
        self.promises.close()


def count_promised(counts: Counter[str], promised: Promised) -> None:
    """Count a line that shares a source: securities, fails, and shares promised twice."""
    counts["fails"] += 1
    counts["securities"] += promised.is_first
    counts["shares"] += promised.twice
