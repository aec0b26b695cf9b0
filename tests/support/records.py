"""Records and JSON Lines for tests."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.soak import scaled

FEW_ROWS, CARD_ROWS = 250, 10_000
CARD_ROWS_OF_STAGE = {"triage": CARD_ROWS, "resolver": scaled(2_000, CARD_ROWS)}
"""Rows for the requirements of the cards. One of triage needs 10,000. Those of the resolver need
1,000, and a row of the resolver takes five times as long.
"""


def rows(output: bytes) -> list[dict[str, Any]]:
    """Decode JSON Lines into objects with exact numbers."""
    return [json.loads(line, parse_float=Decimal) for line in output.splitlines()]


def jsonl(*objects: object) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in objects)


def a_fail(**changes: object) -> dict[str, Any]:
    """Return the fail record of card 1 as an object, with changes."""
    fail: dict[str, Any] = {
        "fail_id": "F-1",
        "cusip": "594918104",
        "side": "Sell",
        "qty": 5000,
        "counterparty": "DTC-0005",
        "age_days": 7,
        "market_value": 2_100_000,
        "cns_position": -5000,
        "cns_direction": "FTD",
        "reg_sho_threshold": True,
        "inventory_coverage_pct": 10,
        "cp_fail_rate_pct": 4,
    }
    return {**fail, **changes}


def rows_of_stage(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [
        row
        for split in ("train", "eval")
        for row in rows((folder / f"{stage}-{split}.jsonl").read_bytes())
    ]
