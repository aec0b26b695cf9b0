"""The first row of a history: what it shows first dates from the settlement date (section 6.1)."""

from __future__ import annotations

from typing import Any

import pytest

import finops_cli
from tests.support.oracle.clock import clock_block as oracle_block
from tests.support.records import a_fail

Object = dict[str, Any]


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
    as_of: str, settlement: str, row: Object, lots: list[tuple[str, int]]
) -> None:
    """Rule: what the snapshot of the first row shows dates from the settlement date, and the rest
    from the day; the second implementation agrees.
    """
    facts = {"settlement_date": settlement, "fail_history": [{"date": "2026-11-17", **row}]}
    record = a_fail(qty=1000, clock_facts=facts)
    found = finops_cli.compute_clock(record, as_of=as_of)
    assert [(lot.settlement_date, lot.qty) for lot in found.lots] == lots
    expected = oracle_block(record, as_of)
    assert [(lot["settlement_date"], lot["qty"]) for lot in expected["lots"]] == lots
