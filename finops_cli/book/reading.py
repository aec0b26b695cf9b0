"""The first pass: read and triage every line, and index the fails (book, 2.4 and 7.2)."""

from __future__ import annotations

import gc
import hashlib
from typing import NamedTuple

from finops_cli.book.allocation.pool import DrawingFail
from finops_cli.book.index import CASH, DRAWS, OTHER, BookIndex, IndexedFail
from finops_cli.book.sources import snapshot_key
from finops_cli.domain.fail import FailRecord
from finops_cli.domain.triage import Triage
from finops_cli.files.jsonl import Batch
from finops_cli.files.seen_ids import SeenIds
from finops_cli.pipeline.input_source import InputSource
from finops_cli.pipeline.pipeline import Pipeline
from finops_cli.pipeline.sequences import StageOutcome
from finops_cli.rules.deadlines import deadline_day
from finops_cli.rules.handoff import find_exemption

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
    outcomes = [
        (number, pipeline.begin(number, line).outcome)
        for number, line in enumerate(batch.lines, start=batch.first)
    ]
    named = [(each.given_id, number) for number, each in outcomes if each.given_id is not None]
    repeated = seen.register(named)
    rows = []
    for number, outcome in outcomes:
        fail, answer = outcome.fail, outcome.triage
        if fail is None or answer is None or answer.value is None or number in repeated:
            continue
        drawing = _find_drawing(fail, answer.value)
        snapshot = None
        if drawing.role != OTHER and (fail.inventory is not None or fail.ftrs):
            snapshot = _name_snapshot(fail)
            index.add_snapshot(drawing.cusip, snapshot, fail)
        rows.append(
            (
                drawing.cusip,
                _indexed(number, fail, answer.value, outcome, pipeline, drawing.role, snapshot),
            )
        )
    index.add(rows)


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


def _indexed(
    number: int,
    fail: FailRecord,
    triage: Triage,
    outcome: StageOutcome,
    pipeline: Pipeline,
    role: int,
    snapshot: str | None,
) -> IndexedFail:
    return IndexedFail(
        fail=DrawingFail(
            fail_id=fail.fail_id or f"line-{number:09d}",
            owed=fail.qty,
            tier=triage.priority_tier,
            days_left=_days_left(fail, outcome, pipeline),
            score=int(triage.priority_score * _BILLION),
            least=fail.min_partial_qty or 1,
            line=number,
        ),
        role=role,
        has_name=fail.fail_id is not None,
        related=tuple(sorted({each.dtc for each in fail.related_fails})),
        snapshot=snapshot,
    )


def _days_left(fail: FailRecord, outcome: StageOutcome, pipeline: Pipeline) -> int | None:
    """Count the settlement days to the deadline that the plan follows: the law's or the card's."""
    clock = pipeline.clock
    if clock is not None and clock.is_regulation and outcome.clock is not None:
        return outcome.clock.deadline_days
    deadline = deadline_day(fail, pipeline.kb.triage)
    return None if deadline is None else deadline - fail.age_days


def _name_snapshot(fail: FailRecord) -> str:
    has_stock = fail.inventory is not None
    text = repr((has_stock, snapshot_key(fail), () if has_stock else fail.ftrs))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
