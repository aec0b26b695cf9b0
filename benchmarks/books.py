"""Seeded books for the benchmarks: fails that compete for the sources of their securities.

A book is a file of fails and a file of inventory. The same fails with a snapshot in each record are
the yardstick: `finops run` plans them one by one.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from finops_cli.domain.cusip import ALPHABET, check_digit


@dataclass(frozen=True, slots=True)
class Book:
    """The files of a book."""

    folder: Path

    @property
    def fails(self) -> Path:
        """The fails without a snapshot."""
        return self.folder / "fails.jsonl"

    @property
    def inventory(self) -> Path:
        """The sources of every security."""
        return self.folder / "inventory.jsonl"

    @property
    def alone(self) -> Path:
        """The fails, each with a snapshot of its own."""
        return self.folder / "alone.jsonl"


def make_book(folder: Path, fails: int, cusips: int, seed: int, receives: int = 1) -> Book:
    """Write a book in a process of its own: a command's peak of memory includes its parent's."""
    given = (folder, fails, cusips, seed, receives)
    subprocess.run([sys.executable, "-m", "benchmarks.books", *map(str, given)], check=True)
    return Book(folder)


def write_book(folder: Path, fails: int, cusips: int, seed: int, receives: int = 1) -> None:
    """Write a book of `fails` over `cusips`, each with a box, a depot, lenders and receives.

    A snapshot has one of the `receives` of its security.
    """
    draw = random.Random(seed)
    names = [_cusip(draw) for _ in range(cusips)]
    owners = names + draw.choices(names, k=fails - cusips)
    draw.shuffle(owners)
    records = [_fail(draw, number, cusip) for number, cusip in enumerate(owners)]
    owed = Counter[str]()
    for record in records:
        owed[record["cusip"]] += record["qty"]
    pools = {cusip: _pool(draw, cusip, owed[cusip], receives) for cusip in names}
    book = Book(folder)
    _write(book.fails, records)
    _write(book.inventory, [line for lines in pools.values() for line in lines])
    snapshots = {cusip: _snapshot(lines) for cusip, lines in pools.items()}
    _write(book.alone, [{**record, **snapshots[record["cusip"]]} for record in records])


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def _cusip(draw: random.Random) -> str:
    issue = "".join(draw.choices(ALPHABET[:36], k=8))
    return issue + check_digit(issue)


def _fail(draw: random.Random, number: int, cusip: str) -> dict[str, Any]:
    qty = draw.randrange(100, 200_000)
    return {
        "fail_id": f"F-{number:08d}",
        "cusip": cusip,
        "side": "Sell",
        "qty": qty,
        "counterparty": f"DTC-{draw.randrange(1, 2000):04d}",
        "age_days": draw.randrange(0, 17),
        "market_value": round(draw.lognormvariate(12.5, 1.8), 2),
        "cns_position": -qty,
        "cns_direction": "FTD",
        "reg_sho_threshold": draw.random() < 0.2,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": round(draw.uniform(0, 8), 1),
    }


def _pool(draw: random.Random, cusip: str, owed: int, receives: int) -> list[dict[str, Any]]:
    """Make sources that hold about three quarters of what is owed."""

    def some(low: float, high: float) -> int:
        return int(owed * draw.uniform(low, high))

    lines: list[dict[str, Any]] = [
        {"cusip": cusip, "kind": "BOX", "qty": some(0, 0.4)},
        {"cusip": cusip, "kind": "DEPOT", "id": "London", "qty": some(0, 0.3),
         "transit_days": draw.randrange(1, 5)},
        {"cusip": cusip, "kind": "RECALL", "id": "R-1", "qty": some(0, 0.2)},
        {"cusip": cusip, "kind": "BORROW", "id": "L-1", "qty": some(0, 0.3)},
    ]  # fmt: skip
    lines += [_receive(draw, cusip, place, some(0, 0.4 / receives)) for place in range(receives)]
    return lines


def _receive(draw: random.Random, cusip: str, place: int, qty: int) -> dict[str, Any]:
    return {
        "cusip": cusip,
        "kind": "FTR",
        "id": f"R-{place}",
        "dtc": f"DTC-{draw.randrange(1, 2000):04d}",
        "qty": 1 + qty,
        "age_days": draw.randrange(2, 8),
        "settlement_type": "RVP",
        "settlement_date": draw.choice(("T+0", "T+1", "T+2")),
        "cp_fail_rate_pct": round(draw.uniform(0, 8), 1),
        "partial_delivery_history": draw.random() < 0.5,
    }


def _snapshot(lines: list[dict[str, Any]]) -> dict[str, Any]:
    box, depot, recall, borrow, *ftrs = lines
    return {
        "inventory": {
            "box_qty": box["qty"],
            "depot_qty": depot["qty"],
            "depot_transit_days": depot["transit_days"],
            "recall_outstanding": recall["qty"],
            "stock_loan_available": borrow["qty"],
            "pending_receives": 0,
        },
        "ftrs": [
            {key: value for key, value in each.items() if key not in ("cusip", "kind", "id")}
            for each in ftrs[:1]
        ],
    }


if __name__ == "__main__":
    write_book(Path(sys.argv[1]), *map(int, sys.argv[2:]))
