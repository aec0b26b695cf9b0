"""The clock equals its second implementation, which was written from the specification alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from finops_cli.clock.block import clock_block
from finops_cli.clock.facts import AsOf
from finops_cli.clock.market_calendar import builtin_calendar
from finops_cli.clock.moments import parse_moment
from finops_cli.clock.refusal import Refused
from finops_cli.domain import exact_json
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.parse import parse_fail
from finops_cli.rules.deadlines import deadline_day
from tests.support.oracle.clock import Refused as OracleRefused
from tests.support.oracle.clock import clock_block as oracle_block
from tests.support.oracle.clock.histories import random_record

Block = dict[str, Any]
BATCH = 100
OBLIGATION = (
    *("rule", "kind", "lot", "holder", "qty", "open_qty", "start_date", "nominal_date"),
    *("due_date", "due_time", "days_left", "state", "remedy", "assumed", "alternatives"),
    "confidence",
)
WORDS = {"basis", "evidence", "citation", "kb", "effective", "confidence", "counting", "kind"}
"""Texts, and keys that the oracle leaves out."""


def compute(record: Block, as_of: str, kb: KnowledgeBase) -> Block | str:
    """Return the product's block, or the path of the fact that it refuses."""
    fail = parse_fail(record).value
    assert fail is not None
    moment = AsOf(moment=parse_moment(as_of), source="option")
    calendar = builtin_calendar(kb.calendar)
    try:
        found = clock_block(fail, moment, deadline_day(fail, kb.triage), calendar, kb.clock)
    except Refused:
        return "refused"
    decoded: Block = exact_json.decode(exact_json.encode(found))
    return decoded


def expect(record: Block, as_of: str) -> Block | str:
    """Return the oracle's block, or that it refuses."""
    try:
        return oracle_block(record, as_of)
    except OracleRefused:
        return "refused"


def differences(found: Block, expected: Block) -> Iterator[str]:
    """Yield the keys whose values differ, texts apart."""
    for key in expected.keys() - {"obligations", "calendar", "assumptions", "warnings", "card"}:
        if plain(found[key], WORDS) != plain(expected[key], WORDS):
            yield key
    ours = [[plain(each[key]) for key in OBLIGATION] for each in found["obligations"]]
    theirs = [[plain(each[key]) for key in OBLIGATION] for each in expected["obligations"]]
    if ours != theirs:
        yield "obligations"


def plain(value: Any, left_out: set[str] | frozenset[str] = frozenset()) -> Any:
    """Return lists for tuples and texts for numbers, without the keys `left_out`."""
    if isinstance(value, dict):
        return {key: plain(each, left_out) for key, each in value.items() if key not in left_out}
    if isinstance(value, list | tuple):
        return [plain(each, left_out) for each in value]
    return None if value is None else str(value)


@pytest.mark.parametrize(
    "batch", [*range(4), *(pytest.param(at, marks=pytest.mark.slow) for at in range(4, 30))]
)
def test_clock_of_random_histories_equals_the_oracle(batch: int, kb: KnowledgeBase) -> None:
    """Rule: every date, state, quantity, confidence and refusal is the oracle's."""
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        record, as_of = random_record(seed)
        found, expected = compute(record, as_of, kb), expect(record, as_of)
        if isinstance(found, str) or isinstance(expected, str):
            assert found == expected, seed
        else:
            assert list(differences(found, expected)) == [], (seed, as_of)


@pytest.mark.parametrize("seed", range(0, 400, 8))
def test_lots_of_the_clock_sum_to_the_known_quantity(seed: int, kb: KnowledgeBase) -> None:
    """Rule: the lots of a history sum to its last known quantity, whatever was bought; after the
    last row, only timed deliveries lower them.
    """
    record, as_of = random_record(seed)
    found = compute(record, as_of, kb)
    moment = parse_moment(as_of)
    rows = record["clock_facts"].get("fail_history", [])
    known = [row for row in rows if parse_moment(f"{row['date']}T16:00") <= moment]
    later = [
        event
        for event in record["clock_facts"].get("events", [])
        if event["type"] == "delivery"
        and known
        and parse_moment(event["at"]) > parse_moment(f"{known[-1]['date']}T16:00")
    ]
    if not known or later or isinstance(found, str):
        return
    after = rows[len(known) : len(known) + 1]
    morning = next(
        (
            row["open_qty"]
            for row in after
            if "open_qty" in row and parse_moment(f"{row['date']}T09:00") <= moment
        ),
        known[-1]["qty"],
    )
    assert sum(lot["qty"] for lot in found["lots"]) == morning
