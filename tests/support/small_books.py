"""Small books that are drawn from a seed: fails that compete, their inventory, its changes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from tests.support.records import jsonl

CUSIPS = ("594918104", "037833100", "88160R101", "67066G104", "459200101")


def draw_fails(draw: Random, count: int) -> list[dict[str, Any]]:
    """Draw fails of a few securities, some of them nameless or with a least partial."""
    return [_draw_fail(draw, number) for number in range(count)]


def _draw_fail(draw: Random, number: int) -> dict[str, Any]:
    qty = draw.randint(1, 40)
    fail: dict[str, Any] = {
        "fail_id": f"F-{number:03d}",
        "cusip": draw.choice(CUSIPS),
        "side": "Sell",
        "qty": qty,
        "counterparty": "DTC-0005",
        "age_days": draw.randint(0, 14),
        "market_value": draw.choice((1000, 800_000, 9_000_000)),
        "cns_direction": draw.choice(("FTD", "N_A")),
        "cns_position": -qty,
        "reg_sho_threshold": draw.random() < 0.3,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": draw.randint(0, 8),
    }
    if draw.random() < 0.2:
        fail["min_partial_qty"] = draw.randint(1, qty)
    if draw.random() < 0.1:
        del fail["fail_id"]
    return fail


def draw_inventory(draw: Random) -> list[dict[str, Any]]:
    """Draw sources of every kind for most of the securities."""
    return [
        draw_source(draw, cusip, kind)
        for cusip in CUSIPS
        if draw.random() < 0.9
        for kind in ("BOX", "DEPOT", "RECALL", "BORROW", "FTR")
        if draw.random() < 0.7
    ]


def draw_source(draw: Random, cusip: str, kind: str) -> dict[str, Any]:
    """Draw a line of an inventory."""
    line: dict[str, Any] = {"cusip": cusip, "kind": kind, "qty": draw.randint(1, 60)}
    if kind == "DEPOT":
        line |= {"id": "London", "transit_days": draw.randint(0, 5)}
    elif kind == "FTR":
        line |= {"id": "R-1", "dtc": "DTC-0161", "age_days": draw.randint(1, 9)}
    elif kind != "BOX":
        line["id"] = "X-1"
    return line


def draw_changes(draw: Random) -> list[dict[str, Any]]:
    """Draw changes of one or two securities; a quantity of 0 removes a source."""
    found = []
    for cusip in draw.sample(CUSIPS, draw.randint(1, 2)):
        for kind in draw.sample(("BOX", "DEPOT", "RECALL", "BORROW", "FTR"), 2):
            line = draw_source(draw, cusip, kind)
            found.append({**line, "qty": draw.choice((0, line["qty"]))})
    return found


def write_lines(path: Path, *records: Any) -> Path:
    """Write objects as lines of JSON."""
    path.write_bytes(jsonl(*records))
    return path
