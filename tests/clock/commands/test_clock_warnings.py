"""Warnings about facts of a record that contradict its clock."""

from __future__ import annotations

from typing import Any

import pytest

from finops_cli import compute_clock
from tests.support.program import Finops
from tests.support.records import a_fail, jsonl

AS_OF = "2026-11-20"
ON_LIST = [{"date": "2026-11-18", "listed": False}, {"date": "2026-11-19", "listed": True}]
OFF_LIST = [{"date": "2026-11-18", "listed": True}, {"date": "2026-11-19", "listed": False}]


def warnings_of(fields: dict[str, Any], **facts: object) -> list[str]:
    """The warnings of a short sale that settles on 2026-11-19."""
    given = {"settlement_date": "2026-11-19", "sale_type": "short", **facts}
    record = a_fail(qty=5000, age_days=1, clock_facts=given, **fields)
    found = compute_clock(record, AS_OF).warnings
    return [text for text in found if not text.startswith(("calendar.", "history.stale"))]


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        (
            {"lots": [{"settlement_date": "2026-11-19", "qty": 100}]},
            "lots.qty: the lots sum to 100 of 5,000 shares (qty): 4,900 have no due day",
        ),
        (
            {"lots": [{"settlement_date": "2026-11-19", "qty": 6000}]},
            "lots.qty: the lots sum to 6,000 shares, 1,000 more than the 5,000 of qty",
        ),
        (
            {"fail_history": [{"date": "2026-11-19", "qty": 100}]},
            "history.qty: the history ends with 100 of 5,000 shares (qty): 4,900 have no due day",
        ),
        ({"lots": [{"settlement_date": "2026-11-19", "qty": 5000}]}, None),
    ],
)
def test_clock_of_other_shares_than_qty_warns(facts: dict[str, Any], warning: str | None) -> None:
    """Rule: the warning says how many shares of the record have no due day, or are too many."""
    found = warnings_of({"reg_sho_threshold": False}, **facts)
    assert found == ([] if warning is None else [warning])


@pytest.mark.parametrize(
    ("flag", "facts", "said"),
    [
        (False, {"threshold_days": ON_LIST}, "false, but threshold_days have the security on the"),
        (True, {"threshold_days": OFF_LIST}, "true, but threshold_days have the security off the"),
        (False, {"threshold_since": "2026-11-17"}, "false, but threshold_since is 2026-11-17"),
        (True, {"threshold_days": ON_LIST}, None),
        (False, {"threshold_days": OFF_LIST}, None),
        (True, {"threshold_since": "2026-11-17"}, None),
        (False, {"threshold_since": "2026-11-23"}, None),
        (False, {"threshold_days": [{"date": "2026-11-23", "listed": True}]}, None),
        (True, {}, None),
    ],
)
def test_clock_with_another_threshold_flag_warns(
    flag: bool, facts: dict[str, Any], said: str | None
) -> None:
    """Rule: the flag of the card and the last known day of the lists are compared."""
    found = warnings_of({"reg_sho_threshold": flag}, **facts)
    flags = [text for text in found if text.startswith("threshold.flag: reg_sho_threshold is ")]
    assert len(flags) == (said is not None)
    assert said is None or said in flags[0]


@pytest.mark.parametrize(
    ("position", "settlement", "is_warned"),
    [(0, "2026-11-18", True), (-5000, "2026-11-18", False), (0, "2026-11-20", False)],
)
def test_clock_breached_with_position_zero_warns(
    position: int, settlement: str, is_warned: bool
) -> None:
    """Rule: a missed duty of a fail that is netted to nothing needs its history."""
    fields = {"reg_sho_threshold": False, "cns_position": position}
    found = warnings_of(fields, settlement_date=settlement)
    offset = [text for text in found if text.startswith("position.offset: cns_position is 0, and")]
    assert bool(offset) == is_warned


def test_clock_command_counts_warnings_by_kind(finops: Finops) -> None:
    """Rule: stderr and the agenda count the warnings, so that nobody needs to read each line."""
    facts = {"settlement_date": "2026-11-19", "lots": [{"settlement_date": "2026-11-19", "qty": 1}]}
    stdin = jsonl(*(a_fail(fail_id=f"F-{n}", clock_facts=facts, age_days=1) for n in range(2)))
    lines = finops("clock", "-", "--as-of", AS_OF, stdin=stdin)
    assert b"warnings calendar.provisional 2, lots.qty 2" in lines.stderr
    agenda = finops("clock", "-", "--as-of", AS_OF, "--format", "agenda", stdin=stdin).stdout
    text = " ".join(agenda.decode().split())
    assert "2 of 2 fails have warnings (calendar.provisional 2, lots.qty 2); the format" in text
