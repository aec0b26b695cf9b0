"""The first pass: read and triage every line, and index the fails (book, 2.4 and 7.2)."""

from __future__ import annotations

import gc
import hashlib
from typing import NamedTuple

from finops_cli.book.allocation.pool import DrawingFail
from finops_cli.book.index import CASH, DRAWS, OTHER, BookIndex, IndexedFail
from finops_cli.book.sources import snapshot_key
from finops_cli.domain.clock import Clock
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.finding import Damage
from finops_cli.domain.triage import Triage
from finops_cli.files.jsonl import Batch, InputLine
from finops_cli.files.seen_ids import SeenIds
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.handoff import find_exemption
from finops_cli.rules.triage import triage

_BILLION = 10**9


class _Drawing(NamedTuple):
    """The security that a fail concerns, and how."""

    cusip: str
    role: int


def index_fails(source: InputSource, pipeline: Pipeline, index: BookIndex) -> None:
    """Read every line of a source, and index each fail that can be used.

    A line whose `fail_id` an earlier line has is rejected later, so it draws on nothing.
    """
    with SeenIds() as seen:
        gc.disable()  # as for the lines of a run: they make no cycles
        try:
            for batch in source.batches(0, 256):
                _index_batch(batch, pipeline, index, seen)
        finally:
            gc.enable()
    index.finish()


def _index_batch(batch: Batch, pipeline: Pipeline, index: BookIndex, seen: SeenIds) -> None:
    found = [
        (number, _read(line, pipeline))
        for number, line in enumerate(batch.lines, start=batch.first)
    ]
    named = [(each.given_id, number) for number, each in found if each.given_id is not None]
    repeated = seen.register(named)
    rows = []
    for number, each in found:
        fail = each.fail
        if fail is None or number in repeated:
            continue
        answer = triage(fail, pipeline.kb)
        drawing = _find_drawing(fail, answer)
        snapshot = None
        if drawing.role != OTHER and (fail.inventory is not None or fail.ftrs):
            snapshot = _name_snapshot(fail)
            index.add_snapshot(drawing.cusip, snapshot, fail)
        days_left = each.days_left if each.has_law else _days_left(fail, pipeline)
        queued = _queue(fail, answer, days_left, number)
        related = tuple(sorted({one.dtc for one in fail.related_fails}))
        has_name = fail.fail_id is not None
        rows.append((drawing.cusip, IndexedFail(queued, drawing.role, has_name, related, snapshot)))
    index.add(rows)


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


def _find_drawing(fail: FailRecord, triage: Triage) -> _Drawing:
    """Find the security whose sources a fail draws on (kb: `waterfall.corporate_action`)."""
    if find_exemption(fail, triage) is not None:
        return _Drawing(fail.cusip, OTHER)
    event = fail.corporate_action
    if triage.category != "CA_EVENT" or (event is not None and event.pre_event_deliverable):
        return _Drawing(fail.cusip, DRAWS)
    if event is not None and event.new_cusip is not None:
        return _Drawing(event.new_cusip, DRAWS)
    return _Drawing(fail.cusip, CASH)


def _queue(fail: FailRecord, answer: Triage, days_left: int | None, number: int) -> DrawingFail:
    return DrawingFail(
        fail_id=fail.fail_id or f"line-{number:09d}",
        owed=fail.qty,
        tier=answer.priority_tier,
        days_left=days_left,
        score=int(answer.priority_score * _BILLION),
        least=fail.min_partial_qty or 1,
        line=number,
    )


def _days_left(fail: FailRecord, pipeline: Pipeline) -> int | None:
    """Count the settlement days to the deadline of the card."""
    deadline = deadline_day(fail, pipeline.kb.triage)
    return None if deadline is None else deadline - fail.age_days


def _name_snapshot(fail: FailRecord) -> str:
    has_stock = fail.inventory is not None
    text = repr((has_stock, snapshot_key(fail), () if has_stock else fail.ftrs))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
