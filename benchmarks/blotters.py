"""Seeded blotters for the benchmarks: plain fails, most of them with an inventory and up to three
fails to receive. No record contradicts itself, so that none is rejected or warned of.
"""

from __future__ import annotations

import random
from pathlib import Path

import orjson

from finops_cli.domain.cusip import ALPHABET, check_digit

_SIDES = {"FTD": ("Sell", -1), "FTR": ("Buy", 1)}
"""The side and the sign of the CNS position that belong to a direction."""


def write_blotter(path: Path, records: int, seed: int) -> None:
    """`records` fail records; the same seed gives the same bytes."""
    draw = random.Random(seed)
    with path.open("wb") as file:
        for number in range(records):
            file.write(orjson.dumps(_fail(draw, number)) + b"\n")


def _fail(draw: random.Random, number: int) -> dict[str, object]:
    issue = "".join(draw.choices(ALPHABET[:36], k=8))
    qty = draw.randrange(1, 200_000)
    direction = draw.choice(("FTD", "FTR", "N_A"))
    side, sign = _SIDES.get(direction, (draw.choice(("Buy", "Sell")), 0))
    fail: dict[str, object] = {
        "fail_id": f"F-{number:08d}",
        "cusip": issue + check_digit(issue),
        "side": side,
        "qty": qty,
        "counterparty": f"DTC-{draw.randrange(1, 2000):04d}",
        "age_days": draw.randrange(0, 20),
        "market_value": round(draw.lognormvariate(12.5, 1.8), 2),
        "cns_position": sign * qty,
        "cns_direction": direction,
        "reg_sho_threshold": draw.random() < 0.2,
        "inventory_coverage_pct": round(draw.uniform(0, 120), 1),
        "cp_fail_rate_pct": round(draw.uniform(0, 8), 1),
    }
    if draw.random() < 0.7:
        box = draw.randrange(0, qty + 1)
        fail["inventory_coverage_pct"] = round(100 * box / qty, 2)
        fail["inventory"] = {
            "box_qty": box,
            "stock_loan_available": draw.randrange(0, qty + 1),
            "recall_outstanding": draw.randrange(0, qty + 1),
            "pending_receives": draw.randrange(0, qty + 1),
        }
        fail["ftrs"] = [_ftr(draw, qty) for _ in range(draw.randrange(0, 4))]
        fail["related_fails"] = []
    return fail


def _ftr(draw: random.Random, qty: int) -> dict[str, object]:
    return {
        "dtc": f"DTC-{draw.randrange(1, 2000):04d}",
        "qty": draw.randrange(1, qty + 1),
        "age_days": draw.randrange(2, 8),
        "settlement_type": draw.choice(("RVP", "DVP", "FOP")),
        "settlement_date": draw.choice(("T+0", "T+1", "T+2")),
        "cp_fail_rate_pct": round(draw.uniform(0, 8), 1),
        "partial_delivery_history": draw.random() < 0.5,
    }
