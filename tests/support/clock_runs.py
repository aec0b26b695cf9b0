"""Records with clock facts, and runs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.program import Finops
from tests.support.records import a_fail, jsonl, rows

Object = dict[str, Any]
RECORDS = 60
AS_OF = ("--as-of", "2026-11-20")
REGULATION = ("--clock", "regulation")
INVENTORY = {
    "box_qty": 1000,
    "stock_loan_available": 4000,
    "recall_outstanding": 4000,
    "pending_receives": 0,
    "depot_qty": 3000,
    "depot_transit_days": 2,
}


def long_sale(fail_id: str = "F-1", **facts: object) -> Object:
    """A long sale that settled on 2026-11-17: the law's day is 20 November, the card's T+13."""
    given = {"settlement_date": "2026-11-17", "sale_type": "long", **facts}
    return a_fail(
        fail_id=fail_id,
        age_days=3,
        reg_sho_threshold=False,
        inventory=INVENTORY,
        clock_facts={key: value for key, value in given.items() if value is not None},
    )


def run(finops: Finops, source: object, *options: object, stdin: bytes = b"") -> list[Object]:
    """Return the lines of a run by the rules."""
    done = finops("run", source, "--backend", "engine", "--no-timing", *options, stdin=stdin)
    assert b"Traceback" not in done.stderr, done.stderr
    return rows(done.stdout)


def personal_facts() -> Object:
    """Facts with personal data in each text that the clock repeats."""
    return {
        "sale_type_evidence": "order of jane.doe@bank.com",
        "events": [
            {
                "type": "purchase",
                "at": "2026-11-20T09:00",
                "qty": 1000,
                "id": "buy-jane.doe@bank.com",
            },
            {
                "type": "purchase",
                "at": "2026-11-20T10:00",
                "qty": 4000,
                "id": "late-jane.doe@bank.com",
                "settled_on": "2026-11-23",
            },
            {"type": "allocation", "at": "2026-11-18", "qty": 500, "to": "bd/jane.doe@bank.com"},
            {"type": "notice", "at": "2026-11-20T11:00", "rule": "SHO-204(c)(1)"},
        ],
    }


def many_sales() -> list[Object]:
    """Return records of which the clock refuses every twentieth."""
    records = [long_sale(f"F-{number}") for number in range(RECORDS)]
    for number in range(0, RECORDS, 20):
        records[number]["clock_facts"]["trade_date"] = "2026-11-15"
    return records


def write_many_sales(folder: Path) -> Path:
    """Write records of which the clock refuses every twentieth."""
    file = folder / "fails.jsonl"
    file.write_bytes(jsonl(*many_sales()))
    return file
