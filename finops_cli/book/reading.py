"""The first pass: read and triage every line, and index the fails (book, 2.4 and 7.2)."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
from msgspec import Struct

from finops_cli.book.allocation.pool import DrawingFail
from finops_cli.book.copying import Selection
from finops_cli.book.index import CASH, DRAWS, OTHER, BookIndex, IndexedFail
from finops_cli.domain import limits
from finops_cli.domain.clock import Clock
from finops_cli.domain.enums import Category
from finops_cli.domain.exact_json import UNREADABLE
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage
from finops_cli.files.jsonl import Batch, InputLine
from finops_cli.files.line_files import reading_lines
from finops_cli.files.seen_ids import SeenIds
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.rules.classification import is_offset
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.handoff import exempt
from finops_cli.rules.triage import Urgency, assess_urgency

_BILLION = 10**9


class _Drawing(NamedTuple):
    """The security that a fail concerns, and how."""

    cusip: str
    role: int


class _Event(Struct):
    new_cusip: str | None = None


class _Glance(Struct):
    """The fields that decide early whether a record is planned again."""

    cusip: str
    fail_id: str | None = None
    corporate_action: _Event | None = None


_GLANCE = msgspec.json.Decoder(_Glance)


class _Choice:
    """Chooses the lines that are planned again, and takes their earlier lines."""

    def __init__(self, selection: Selection, index: BookIndex, stack: ExitStack) -> None:
        self.cusips = selection.cusips
        self._sent = selection.sent
        self._before = stack.enter_context(reading_lines(selection.before))
        self._index = index
        self._line = b""

    def choose(self, found: list[tuple[int, InputLine]]) -> list[tuple[int, InputLine | _Read]]:
        """Return each line, or its name alone where it is not planned again."""
        others = set()
        chosen: list[tuple[int, InputLine | _Read]] = []
        for number, line in found:
            glance = _glance(line)
            if glance is None or self._concerns(glance):
                chosen.append((number, line))
            else:
                others.add(glance.cusip)
                chosen.append((number, _Read(glance.fail_id)))
        self._index.add_others(others)
        return chosen

    def take_sent(self, first: int, lines: int, numbers: set[int]) -> None:
        """Take the earlier lines of the fails that are planned again."""
        for number, line in zip(range(first, first + lines), self._before, strict=False):
            if number in numbers:
                self._sent.take(number, line)

    def _concerns(self, glance: _Glance) -> bool:
        event = glance.corporate_action
        return glance.cusip in self.cusips or (event is not None and event.new_cusip in self.cusips)


def _glance(line: InputLine) -> _Glance | None:
    """Look at a line; None where all of it must be read."""
    if isinstance(line, Damage):
        return None
    try:
        found = _GLANCE.decode(line)
    except UNREADABLE:
        return None
    name = found.fail_id
    return found if name is None or 0 < len(name) <= limits.ID_CHARS else None


def index_fails(
    source: InputSource,
    pipeline: Pipeline,
    index: BookIndex,
    selection: Selection | None = None,
) -> None:
    """Read every line of a source, and index each fail that can be used.

    A line whose `fail_id` an earlier line has is rejected later, so it draws on nothing.
    `selection`: only the fails of some securities are indexed; None: all.
    """
    with ExitStack() as stack:
        seen = stack.enter_context(SeenIds())
        choice = None if selection is None else _Choice(selection, index, stack)
        gc.disable()  # as for the lines of a run: they make no cycles
        try:
            for batch in source.batches(0, 256):
                _index_batch(batch, pipeline, index, seen, choice)
        finally:
            gc.enable()
    index.finish()


def _index_batch(
    batch: Batch, pipeline: Pipeline, index: BookIndex, seen: SeenIds, choice: _Choice | None
) -> None:
    numbered = list(enumerate(batch.lines, start=batch.first))
    chosen = numbered if choice is None else choice.choose(numbered)
    found = [
        (number, line if isinstance(line, _Read) else _read(line, pipeline))
        for number, line in chosen
    ]
    named = [(each.given_id, number) for number, each in found if each.given_id is not None]
    repeated = seen.register(named)
    rows = []
    for number, each in found:
        fail = each.fail
        if fail is None or number in repeated:
            continue
        urgency = assess_urgency(fail, pipeline.kb)
        drawing = _find_drawing(fail, urgency.category)
        if choice is not None and drawing.cusip not in choice.cusips:
            continue
        snapshot, body = None, None
        if drawing.role != OTHER and (fail.inventory is not None or fail.ftrs):
            snapshot, body = index.name_snapshot(drawing.cusip, fail)
        days_left = each.days_left if each.has_law else _days_left(fail, pipeline)
        queued = _queue(fail, urgency, days_left, number)
        related = tuple(sorted({one.dtc for one in fail.related_fails}))
        has_name = fail.fail_id is not None
        indexed = IndexedFail(queued, drawing.role, has_name, related, snapshot)
        rows.append((drawing.cusip, indexed, body))
    index.add(rows)
    if choice is not None:
        numbers = {indexed.fail.line for _, indexed, _ in rows}
        choice.take_sent(batch.first, len(batch.lines), numbers)


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
    fail, given_id, _ = pipeline.parse(line)
    if fail is None or (pipeline.inputs.is_strict and pipeline.inputs.find_warnings(fail)):
        return _Read(given_id)
    clock = pipeline.clock
    if clock is None or not clock.is_regulation:
        return _Read(given_id, fail)
    law = clock.compute(fail)
    if not isinstance(law, Clock):
        return _Read(given_id)
    return _Read(given_id, fail, has_law=True, days_left=law.deadline_days)


def _find_drawing(fail: FailRecord, category: Category) -> _Drawing:
    """Find the security whose sources a fail draws on (kb: `waterfall.corporate_action`)."""
    if exempt(fail, category, is_offset=is_offset(fail)) is not None:
        return _Drawing(fail.cusip, OTHER)
    event = fail.corporate_action
    if category != "CA_EVENT" or (event is not None and event.pre_event_deliverable):
        return _Drawing(fail.cusip, DRAWS)
    if event is not None and event.new_cusip is not None:
        return _Drawing(event.new_cusip, DRAWS)
    return _Drawing(fail.cusip, CASH)


def _queue(fail: FailRecord, urgency: Urgency, days_left: int | None, number: int) -> DrawingFail:
    return DrawingFail(
        fail_id=fail.fail_id or f"line-{number:09d}",
        owed=fail.qty,
        tier=urgency.tier,
        days_left=days_left,
        score=int(urgency.scored.priority * _BILLION),
        least=fail.min_partial_qty or 1,
        line=number,
    )


def _days_left(fail: FailRecord, pipeline: Pipeline) -> int | None:
    """Count the settlement days to the deadline of the card."""
    deadline = deadline_day(fail, pipeline.kb.triage)
    return None if deadline is None else deadline - fail.age_days
