"""Blocks and facts for tests of the close-out clock."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.support.oracle.clock import calendar as cal
from tests.support.oracle.clock.block import clock_block
from tests.support.records import a_fail

Block = dict[str, Any]


def clock(as_of: str, qty: int = 1000, record: Block | None = None, **facts: object) -> Block:
    """Return the block of a fail of `qty` shares with these clock facts."""
    changes = {"qty": qty, "reg_sho_threshold": False, "clock_facts": facts, **(record or {})}
    return clock_block(a_fail(**changes), as_of)


def first(block: Block, rule: str) -> Block:
    """Return the first obligation of a rule."""
    return next(item for item in block["obligations"] if item["rule"] == rule)


def bought(qty: int, at: str, **more: object) -> Block:
    """Return a purchase."""
    return {"type": "purchase", "at": at, "qty": qty, **more}


def daily(start: str, quantities: list[int]) -> list[Block]:
    """Return history rows on consecutive settlement days."""
    day, rows = date.fromisoformat(start), []
    for quantity in quantities:
        rows.append({"date": day.isoformat(), "qty": quantity})
        day = cal.add(day, 1, cal.settles)
    return rows


def listed_from(*days: tuple[str, bool]) -> list[Block]:
    """Return `threshold_days`."""
    return [{"date": day, "listed": is_listed} for day, is_listed in days]
