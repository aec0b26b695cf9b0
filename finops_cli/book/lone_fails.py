"""The plan of a fail that has its security for itself, made when its line is answered.

With one fail a flow has nothing to decide (book, 4.2): its allotment is the waterfall over the
sources that reach it, and its plan is that of `finops run` (the theorem of book, 8). So nothing of
it depends on another fail. The functions that plan a shared security plan it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.book.allocation.pool import DrawingFail
from finops_cli.book.index import IndexedFail, OwnInventory
from finops_cli.book.lone_lines import LoneLines
from finops_cli.book.parts import FailPlan, make_parts
from finops_cli.book.planning import plan_settled
from finops_cli.book.reading import count_days_left, find_drawing, name_in_queue
from finops_cli.book.settle import BookInput, SettleInput, judge_gridlock, settle
from finops_cli.book.summary import BookSummary
from finops_cli.domain.allotment import AllottedShares, BookPlace
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import Tier
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Problem
from finops_cli.domain.inventory_lines import InventoryLine
from finops_cli.domain.triage import Triage
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.book_parts import OpenedPart, PlannedFail
from finops_cli.pipeline.input_source import default_fail_id
from finops_cli.rules.deadlines import parse_t_plus
from finops_cli.rules.gridlock import Gridlock


class FileLines(NamedTuple):
    """The lines of an inventory file that concern one security."""

    name: str
    """The path of the file, for messages."""
    prefers_file: bool
    lines: list[InventoryLine] | Problem

    def find_lines(self, cusip: str) -> list[InventoryLine] | Problem:
        """Return the lines; they are those of `cusip`."""
        return self.lines

    def list_cusips(self) -> Iterator[str]:
        """Yield nothing: a lone fail asks for no other security."""
        return iter(())


class LonePart(NamedTuple):
    """The part of a line whose fail has its security for itself."""

    file: FileLines | None = None
    """None: the inventory of the record is the pool."""

    @property
    def copied(self) -> None:
        """No earlier plan has the line."""
        return

    def open(
        self, fail: FailRecord, triage: Triage | None, law: Clock | None, kb: KnowledgeBase
    ) -> OpenedPart:
        """Plan the fail."""
        if triage is None:
            return OpenedPart(PlannedFail())
        record = _LoneRecord(_index(fail, triage, law, kb), OwnInventory(fail.inventory, fail.ftrs))
        file, indexed = self.file, record.indexed
        given = SettleInput(
            kb=kb,
            index=record,
            inventory=file,
            inventory_name="" if file is None else file.name,
            prefers_file=file is not None and file.prefers_file,
        )
        settled = settle(find_drawing(fail, triage.category).cusip, given, [indexed])
        if settled is None:
            return record.read()
        plan = plan_settled(settled, settled.free, kb)
        [made] = make_parts(settled, plan)
        return OpenedPart(made.part, judge_gridlock(indexed.related, settled.facts.ftrs, kb))


def _index(fail: FailRecord, triage: Triage, law: Clock | None, kb: KnowledgeBase) -> IndexedFail:
    queued = DrawingFail(
        fail_id=fail.fail_id or "",
        owed=fail.qty,
        tier=triage.priority_tier,
        days_left=count_days_left(fail, kb) if law is None else law.deadline_days,
        least=fail.min_partial_qty or 1,
    )
    has_own = fail.inventory is not None or fail.ftrs
    return IndexedFail(
        fail=queued,
        role=find_drawing(fail, triage.category).role,
        has_name=fail.fail_id is not None,
        related=tuple(sorted({one.dtc for one in fail.related_fails})),
        snapshot=b"own" if has_own else None,
    )


class _LoneRecord:
    """The index of a security with one fail, and the part that it gets without a plan."""

    def __init__(self, indexed: IndexedFail, own: OwnInventory) -> None:
        self.indexed = indexed
        self._own = own
        self._part = PlannedFail()
        self._verdict: Gridlock | None = None

    def read(self) -> OpenedPart:
        """Return the part that was put."""
        return OpenedPart(self._part, self._verdict)

    def read_fails(self, cusip: str) -> list[IndexedFail]:
        """Return the fail."""
        return [self.indexed]

    def read_snapshot(self, cusip: str, name: bytes) -> OwnInventory:
        """Return the inventory of the record."""
        return self._own

    def put_parts(self, parts: Sequence[tuple[int, PlannedFail, int | None]]) -> None:
        """Keep the part."""
        for _, part, _ in parts:
            self._part = part

    def put_verdict(self, verdict: Gridlock) -> int:
        """Keep the verdict."""
        self._verdict = verdict
        return 0


class LoneFails:
    """Attaches their part to lone lines, and counts their output lines in a summary."""

    def __init__(self, given: BookInput, *, by_law: bool) -> None:
        """`by_law`: the plan follows the law's days."""
        self.lines = LoneLines(given.index, has_inventory=given.inventory is not None)
        self._given = given
        self._by_law = by_law
        self._counted = 0
        self._by_record = LonePart()

    def attach(self, first: int, count: int) -> list[LonePart | None]:
        """Return the part of each of consecutive lines; None for a line that is not lone."""
        return [
            None if cusip is None else self._make_part(cusip)
            for cusip in self.lines.find(first, count)
        ]

    def _make_part(self, cusip: str) -> LonePart:
        given = self._given
        if given.inventory is None:
            return self._by_record
        lines = given.inventory.find_lines(cusip)
        return LonePart(FileLines(given.inventory_name, given.prefers_file, lines))

    def count(self, summary: BookSummary, lines: Sequence[bytes]) -> None:
        """Count the lone ones of the next output lines."""
        named = self.lines.find(self._counted + 1, len(lines))
        for cusip, line in zip(named, lines, strict=True):
            self._counted += 1
            if cusip is None:
                continue
            found = _LONE_LINE.decode(line)
            if found.is_unusable:
                summary.unasked += self._is_in_inventory(cusip)
            plan = _read_plan(found, self._counted, by_law=self._by_law)
            if plan is not None and plan.part.place is not None:
                summary.add(plan.part.place.cusip, [plan])

    def _is_in_inventory(self, cusip: str) -> bool:
        inventory = self._given.inventory
        return inventory is not None and inventory.find_lines(cusip) != []


class _Triaged(Struct):
    priority_tier: Tier
    deadline: str | None


class _Owed(Struct):
    qty: int
    age_days: int


class _Law(Struct):
    deadline_days: int | None


class _Problem(Struct):
    rule: str


class _Rejection(Struct):
    problems: list[_Problem]


class _LoneLine(Struct):
    """The facts of an output line that a summary needs."""

    fail_id: str
    triage: _Triaged | None = None
    fail: _Owed | None = None
    allotment: tuple[AllottedShares, ...] | None = None
    book: BookPlace | None = None
    clock: _Law | None = None
    error: _Rejection | None = None

    @property
    def is_unusable(self) -> bool:
        """Return true where the record is rejected, and not its part of the book."""
        problems = () if self.error is None else self.error.problems
        return bool(problems) and not any(each.rule.startswith("book.") for each in problems)


_LONE_LINE = msgspec.json.Decoder(_LoneLine)


def _read_plan(found: _LoneLine, number: int, *, by_law: bool) -> FailPlan | None:
    """Read the plan of an output line; None where it has none."""
    triage, fail, place = found.triage, found.fail, found.book
    if triage is None or fail is None or place is None:
        return None
    days_left = None if triage.deadline is None else parse_t_plus(triage.deadline) - fail.age_days
    if by_law:
        days_left = None if found.clock is None else found.clock.deadline_days
    shares, name = found.allotment or (), found.fail_id
    if name == default_fail_id(number):
        name = name_in_queue(number)
    return FailPlan(
        DrawingFail(name, fail.qty, triage.priority_tier, days_left),
        PlannedFail(allotment=shares, place=place),
        place.uncovered,
        place.late,
        sum(each.qty for each in shares if each.kind == "BORROW"),
    )
