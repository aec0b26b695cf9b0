"""The duties of 15c3-3 and the rights to buy in follow the lots that are open (section 9)."""

from __future__ import annotations

from typing import Any

import pytest

import finops_cli
from finops_cli.domain.clock import Clock
from tests.support.records import a_fail

Object = dict[str, Any]


def compute(as_of: str, direction: str, side: str = "Buy", **facts: object) -> Clock:
    """Compute the clock of 1,000 shares that failed on 2026-11-16."""
    given = {"settlement_date": "2026-11-16", **facts}
    record = a_fail(
        qty=1000, side=side, cns_direction=direction, reg_sho_threshold=False, clock_facts=given
    )
    record.pop("cns_position", None)
    return finops_cli.compute_clock(record, as_of=as_of)


def rows(*quantities: tuple[str, int]) -> list[Object]:
    """Return rows of `fail_history`."""
    return [{"date": day, "qty": qty} for day, qty in quantities]


@pytest.mark.parametrize(
    ("last", "events", "state", "left"),
    [
        (("2026-12-16", 0), [], "cured", 0),  # the due day itself
        (("2026-12-17", 0), [], "breached", 1000),
        (("2026-12-16", 300), [], "breached", 300),
        (("2026-12-16", 300), [400], "breached", 300),
        (("2026-12-16", 300), [900], "breached", 100),
        (("2026-12-17", 0), [1000], "cured", 0),
    ],
)
def test_lot_received_by_the_due_day_is_cured(
    last: tuple[str, int], events: list[int], state: str, left: int
) -> None:
    """Rule: what the position shows as received by the end of the due day is received; receipts
    tell of the same shares, so the two are not added.
    """
    receipts = [{"type": "receipt", "at": "2026-12-01T10:00", "qty": qty} for qty in events]
    history = rows(("2026-11-16", 1000), last)
    found = compute("2026-12-20", "FTR", fail_history=history, events=receipts)
    [duty] = [each for each in found.obligations if each.lot == "2026-11-16"]
    assert (duty.rule, duty.due_date) == ("15c3-3(d)(2)", "2026-12-16")
    assert (duty.state, duty.open_qty) == (state, left)


def test_shares_sent_to_the_market_do_not_cure_possession() -> None:
    """Rule: a fall of our fail to deliver does not show what the customer brought in."""
    facts = {"customer": True, "sale_type": "long"}
    history = rows(("2026-11-16", 1000), ("2026-11-17", 0))
    found = compute("2026-12-20", "FTD", "Sell", fail_history=history, **facts)
    states = {each.rule: each.state for each in found.obligations}
    assert states["15c3-3(m)"] == "breached"


@pytest.mark.parametrize(
    ("quantities", "executions"),
    [
        ([("2026-11-16", 1000)], ["2026-11-19"]),
        ([("2026-11-16", 1000), ("2026-11-17", 0)], []),
        ([("2026-11-16", 1000), ("2026-11-17", 1500)], ["2026-11-19", "2026-11-20"]),
        ([("2026-11-16", 400), ("2026-11-17", 0), ("2026-11-18", 600)], ["2026-11-23"]),
    ],
)
def test_right_to_buy_in_follows_the_open_lots(
    quantities: list[tuple[str, int]], executions: list[str]
) -> None:
    """Rule: FINRA 11810 counts from the settlement date of each lot that is still open."""
    found = compute("2026-11-20", "N_A", "Sell", fail_history=rows(*quantities))
    assert [right.earliest_execution_date for right in found.rights] == executions


@pytest.mark.parametrize(
    ("until", "due", "said"),
    [
        ("2026-12-10", "2026-12-10", "extended to 2026-12-10"),
        ("2026-12-01", "2026-12-01", "does not count: 2026-12-01 is not after 2026-12-01"),
        ("2026-11-25", "2026-12-01", "does not count: 2026-11-25 is not after 2026-12-01"),
    ],
)
def test_extension_to_an_earlier_day_leaves_the_due_day(until: str, due: str, said: str) -> None:
    """Rule: an extension gives time; one that would take time away counts for nothing."""
    filed = {"type": "extension", "at": "2026-11-20", "rule": "15c3-3(m)", "until": until}
    found = compute("2026-11-23", "FTD", "Sell", sale_type="long", customer=True, events=[filed])
    [duty] = [each for each in found.obligations if each.rule == "15c3-3(m)"]
    assert duty.due_date == due
    assert any(said in text for text in duty.evidence)
