"""The first pass: read and triage every line, and index the fails (book, 2.4 and 7.2)."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from finops_cli.book.allocation.pool import DrawingFail
from finops_cli.book.copying import Selection
from finops_cli.book.index import CASH, DRAWS, OTHER, BookIndex, IndexedFail
from finops_cli.book.lone_lines import LoneLines, glance
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import Category
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage
from finops_cli.files.jsonl import Batch, InputLine
from finops_cli.files.line_files import reading_lines
from finops_cli.files.seen_ids import SeenIds
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.rules.classification import is_offset
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.handoff import exempt
from finops_cli.rules.triage import Urgency, assess_urgency

_BILLION = 10**9


class Drawing(NamedTuple):
    """The security that a fail concerns, and how."""

    cusip: str
    role: int


class _Choice:
    """Chooses the lines that are planned again, and takes their earlier lines."""

    def __init__(self, selection: Selection, index: BookIndex, stack: ExitStack) -> None:
        self.cusips = selection.cusips
        self._sent = selection.sent
        self._before = stack.enter_context(reading_lines(selection.before))
        self._index = index

    def choose(self, found: Sequence[tuple[int, InputLine]]) -> dict[int, str | None]:
        """Return the lines that are not planned again, each with its `fail_id`."""
        others = set()
        passed = {}
        for number, line in found:
            seen = glance(line)
            if seen is None or seen.cusip in self.cusips or seen.new_cusip in self.cusips:
                continue
            others.add(seen.cusip)
            passed[number] = seen.fail_id
        self._index.add_others(others)
        return passed

    def take_sent(self, first: int, lines: int, numbers: set[int]) -> None:
        """Take the earlier lines of the fails that are planned again."""
        for number, line in zip(range(first, first + lines), self._before, strict=False):
            if number in numbers:
                self._sent.take(number, line)


def index_fails(
    source: InputSource,
    pipeline: Pipeline,
    index: BookIndex,
    selection: Selection | None = None,
    lone: LoneLines | None = None,
) -> None:
    """Read every line of a source, and index each fail that can be used.

    A line whose `fail_id` an earlier line has is rejected later, so it draws on nothing.
    `selection`: only the fails of some securities are indexed; None: all. `lone` finds the lines
    of fails that have their security for themselves; these fails are not indexed.
    """
    with ExitStack() as stack:
        seen = stack.enter_context(SeenIds())
        choice = None if selection is None else _Choice(selection, index, stack)
        gc.disable()  # as for the lines of a run: they make no cycles
        try:
            for batch in source.batches(0, 256):
                _index_batch(batch, pipeline, index, seen, choice, lone)
            for lines in () if lone is None else lone.take_back():
                read = [(number, _read(line, pipeline)) for number, line in lines]
                _index_each(read, pipeline, index, choice, lone)
        finally:
            gc.enable()
    index.finish()
    if lone is not None:
        lone.finish()


def _index_batch(
    batch: Batch,
    pipeline: Pipeline,
    index: BookIndex,
    seen: SeenIds,
    choice: _Choice | None,
    lone: LoneLines | None,
) -> None:
    numbered = list(enumerate(batch.lines, start=batch.first))
    chooser = choice or lone
    passed = {} if chooser is None else chooser.choose(numbered)
    found = [
        (number, _Read(passed[number]) if number in passed else _read(line, pipeline))
        for number, line in numbered
    ]
    named = [(each.given_id, number) for number, each in found if each.given_id is not None]
    repeated = seen.register(named)
    if lone is not None:
        lone.drop(repeated)
    read = [(number, each) for number, each in found if number not in repeated]
    numbers = _index_each(read, pipeline, index, choice, lone)
    if choice is not None:
        choice.take_sent(batch.first, len(batch.lines), numbers)


def _index_each(
    found: Iterable[tuple[int, _Read]],
    pipeline: Pipeline,
    index: BookIndex,
    choice: _Choice | None,
    lone: LoneLines | None,
) -> set[int]:
    """Index the fails of lines; returns the numbers of their lines."""
    rows = []
    for number, each in found:
        fail = each.fail
        if fail is None:
            continue
        urgency = assess_urgency(fail, pipeline.kb)
        drawing = find_drawing(fail, urgency.category)
        if choice is not None and drawing.cusip not in choice.cusips:
            continue
        if lone is not None:
            lone.share(fail.cusip)
            lone.share(drawing.cusip)
        snapshot, body = None, None
        if drawing.role != OTHER and (fail.inventory is not None or fail.ftrs):
            snapshot, body = index.name_snapshot(drawing.cusip, fail)
        days_left = each.days_left if each.has_law else count_days_left(fail, pipeline.kb)
        queued = _queue(fail, urgency, days_left, number)
        related = tuple(sorted({one.dtc for one in fail.related_fails}))
        has_name = fail.fail_id is not None
        indexed = IndexedFail(queued, drawing.role, has_name, related, snapshot)
        rows.append((drawing.cusip, indexed, body))
    index.add(rows)
    return {indexed.fail.line for _, indexed, _ in rows}


class _Read(NamedTuple):
    """A line of the first pass. `fail` is None for one that the second pass rejects."""

    given_id: str | None
    fail: FailRecord | None = None
    has_law: bool = False
    """True where the plan follows the law's days."""
    days_left: int | None = None
    """The law's days."""


def _read(line: InputLine, pipeline: Pipeline) -> _Read:
    """Read a line as the triage stage does, without what only an output line needs."""
    if isinstance(line, Damage):
        return _Read(line.fail_id)
    parsed = pipeline.parse(line)
    fail, given_id = parsed.value, parsed.fail_id
    if fail is None or (pipeline.inputs.is_strict and pipeline.inputs.find_warnings(fail)):
        return _Read(given_id)
    clock = pipeline.clock
    if clock is None or not clock.is_regulation:
        return _Read(given_id, fail)
    law = clock.compute(fail)
    if not isinstance(law, Clock):
        return _Read(given_id)
    return _Read(given_id, fail, has_law=True, days_left=law.deadline_days)


def find_drawing(fail: FailRecord, category: Category) -> Drawing:
    """Find the security whose sources a fail draws on (kb: `waterfall.corporate_action`)."""
    if exempt(fail, category, is_offset=is_offset(fail)) is not None:
        return Drawing(fail.cusip, OTHER)
    event = fail.corporate_action
    if category != "CA_EVENT" or (event is not None and event.pre_event_deliverable):
        return Drawing(fail.cusip, DRAWS)
    if event is not None and event.new_cusip is not None:
        return Drawing(event.new_cusip, DRAWS)
    return Drawing(fail.cusip, CASH)


def name_in_queue(number: int) -> str:
    """Name the nameless fail of a line: such names sort in the order of the lines."""
    return f"line-{number:09d}"


def _queue(fail: FailRecord, urgency: Urgency, days_left: int | None, number: int) -> DrawingFail:
    return DrawingFail(
        fail_id=fail.fail_id or name_in_queue(number),
        owed=fail.qty,
        tier=urgency.tier,
        days_left=days_left,
        score=int(urgency.score * _BILLION),
        least=fail.min_partial_qty or 1,
        line=number,
    )


def count_days_left(fail: FailRecord, kb: KnowledgeBase) -> int | None:
    """Count the settlement days to the deadline of the card."""
    deadline = deadline_day(fail, kb.triage)
    return None if deadline is None else deadline - fail.age_days
