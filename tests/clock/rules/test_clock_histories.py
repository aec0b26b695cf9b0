"""Seeded histories keep the properties of section 18; the first row dates from S."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest

import finops_cli
from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock import clock_block
from tests.support.oracle.clock.histories import random_record
from tests.support.records import a_fail

SEEDS = range(400)
Block = dict[str, Any]


@pytest.fixture(scope="module")
def blocks() -> list[tuple[Block, str, Block]]:
    """Return records, moments and blocks."""
    made = [random_record(seed) for seed in SEEDS]
    return [(record, as_of, clock_block(record, as_of)) for record, as_of in made]


def of_204(block: Block) -> list[Block]:
    """Return the obligations under Rule 204 that apply."""
    found = [item for item in block["obligations"] if item["rule"].startswith("SHO-204")]
    return [item for item in found if item["kind"] == "duty" and item["due_date"]]


def test_random_record_same_seed_is_equal() -> None:
    """A seed gives the same record each time."""
    assert random_record(7) == random_record(7)


def test_random_records_reach_every_rule_and_state(blocks: list[tuple[Block, str, Block]]) -> None:
    """Four hundred seeds reach each rule, state and state of the penalty box."""
    items = [item for _, _, block in blocks for item in block["obligations"]]
    rules = Counter(item["rule"] for item in items)
    states = Counter(item["state"] for item in items)
    box_states = {box["state"] for _, _, block in blocks for box in block["penalty_boxes"]}
    assert len(states) == 6
    assert min(states.values()) >= 5
    assert {"none", "open", "closing", "released"} <= box_states
    assert {"SHO-204(a)", "SHO-204(a)(1)", "SHO-204(a)(2)", "SHO-204(a)(3)", "SHO-204T(a)",
            "SHO-203(b)(3)", "FINRA-4320", "15c3-3(m)", "15c3-3(d)(2)",
            "SHO-204(c)(1)", "SHO-204(c)(2)"} <= set(rules)  # fmt: skip


def test_due_dates_under_rule_204_trade(blocks: list[tuple[Block, str, Block]]) -> None:
    """Every due date of Rule 204 trades."""
    for _, _, block in blocks:
        for item in of_204(block):
            assert cal.trades(date.fromisoformat(item["due_date"])), item


def test_lots_sum_to_the_last_known_quantity(blocks: list[tuple[Block, str, Block]]) -> None:
    """The lots of a history without deliveries sum to its last known quantity."""
    seen = 0
    for record, as_of, block in blocks:
        facts = record["clock_facts"]
        events = facts.get("events", [])
        now = cal.parse_moment("as_of", as_of)
        rows = [r for r in facts.get("fail_history", [])
                if cal.at(date.fromisoformat(r["date"]), 16) <= now]  # fmt: skip
        if not rows or any(e["type"] == "delivery" for e in events):
            continue
        last = facts["fail_history"].index(rows[-1]) + 1
        if "open_qty" in (facts["fail_history"] + [{}])[last]:
            continue
        seen += 1
        assert sum(lot["qty"] for lot in block["lots"]) == rows[-1]["qty"], record["fail_id"]
    assert seen > 30


def test_replay_without_later_data_is_equal(blocks: list[tuple[Block, str, Block]]) -> None:
    """Dropping everything after as_of changes nothing."""
    for record, as_of, block in blocks:
        now = cal.parse_moment("as_of", as_of)
        facts = dict(record["clock_facts"])

        def known(text: str, now: Any = now) -> bool:
            return cal.at(date.fromisoformat(text), 16) <= now

        events = []
        for event in facts.get("events", []):
            if cal.parse_moment("at", event["at"]) <= now:
                late = "settled_on" in event and not known(event["settled_on"])
                events.append({k: v for k, v in event.items() if k != "settled_on" or not late})
        facts["events"] = events
        facts["threshold_days"] = [d for d in facts.get("threshold_days", []) if known(d["date"])]
        rows = facts.get("fail_history", [])
        if any("open_qty" in row and not known(row["date"]) for row in rows):
            continue
        facts["fail_history"] = [row for row in rows if known(row["date"])]
        assert clock_block(record | {"clock_facts": facts}, as_of) == block, record["fail_id"]


def test_added_purchase_never_worsens_a_state(blocks: list[tuple[Block, str, Block]]) -> None:
    """Without a history, one more purchase leaves every duty as it was or better."""
    order = ("breached", "due_today", "running", "not_started", "cured", "not_applicable")
    for record, as_of, block in blocks:
        facts = record["clock_facts"]
        if "fail_history" in facts:
            continue
        day = cal.add(date.fromisoformat(block["settlement_date"]), 1, cal.trades)
        more = {"type": "purchase", "at": f"{day.isoformat()}T09:05", "qty": 700}
        changed = facts | {"events": [*facts.get("events", []), more]}
        after = clock_block(record | {"clock_facts": changed}, as_of)

        def keyed(b: Block) -> list[tuple[str, Block]]:
            return sorted(((f"{d['lot']} {d['holder']} {d['rule']} {d['qty']}", d)
                           for d in of_204(b)), key=lambda pair: pair[0])  # fmt: skip

        if len({k for k, _ in keyed(block)}) < len(keyed(block)) or any(
            e["type"] == "allocation" for e in facts.get("events", [])
        ):
            continue
        for (_, old), (_, new) in zip(keyed(block), keyed(after), strict=True):
            assert order.index(new["state"]) >= order.index(old["state"]), record["fail_id"]


def test_later_as_of_never_mends_a_breach(blocks: list[tuple[Block, str, Block]]) -> None:
    """A breach of Rule 204 stays a breach a week later, where the lots stay the same."""
    for record, _, block in blocks:
        facts = record["clock_facts"]
        if "fail_history" in facts or block["settlement_date_basis"] == "age_days":
            continue
        later = date.fromisoformat(block["as_of"][:10]).toordinal() + 7
        after = clock_block(record, f"{date.fromordinal(later).isoformat()}T12:00")
        states = {(d["lot"], d["holder"]) for d in of_204(after) if d["state"] == "breached"}
        for item in of_204(block):
            if item["state"] == "breached":
                assert (item["lot"], item["holder"]) in states, record["fail_id"]


@pytest.mark.parametrize(
    ("as_of", "settlement", "row", "lots"),
    [
        ("2026-11-18", "2026-11-16", {"qty": 800}, [("2026-11-16", 800)]),
        (
            "2026-11-18",
            "2026-11-16",
            {"qty": 800, "open_qty": 500},
            [("2026-11-16", 500), ("2026-11-17", 300)],
        ),
        ("2026-11-18", "2026-11-16", {"qty": 300, "open_qty": 500}, [("2026-11-16", 300)]),
        (
            "2026-11-18",
            "2026-11-16",
            {"qty": 500, "open_qty": 500, "new": 200},
            [("2026-11-16", 300), ("2026-11-17", 200)],
        ),
        ("2026-11-18", "2026-11-16", {"qty": 800, "open_qty": 0}, [("2026-11-17", 800)]),
        ("2026-11-18", "2026-11-17", {"qty": 800, "open_qty": 0}, [("2026-11-17", 800)]),
        ("2026-11-17T12:00", "2026-11-16", {"qty": 0, "open_qty": 500}, [("2026-11-16", 500)]),
    ],
)
def test_first_row_with_a_snapshot_dates_its_lots(
    as_of: str, settlement: str, row: Block, lots: list[tuple[str, int]]
) -> None:
    """Rule: what the snapshot of the first row shows dates from the settlement date, and the rest
    from the day; the second implementation agrees.
    """
    facts = {"settlement_date": settlement, "fail_history": [{"date": "2026-11-17", **row}]}
    record = a_fail(qty=1000, clock_facts=facts)
    found = finops_cli.compute_clock(record, as_of=as_of)
    assert [(lot.settlement_date, lot.qty) for lot in found.lots] == lots
    expected = clock_block(record, as_of)
    assert [(lot["settlement_date"], lot["qty"]) for lot in expected["lots"]] == lots
