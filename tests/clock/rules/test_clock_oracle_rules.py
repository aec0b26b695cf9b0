"""The oracle of the close-out clock gives dates and states that were counted by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.oracle.clock import Refused, threshold_series
from tests.support.oracle.clock.records import Block, bought, clock, daily, first


@pytest.mark.parametrize(
    ("trade", "sale", "rule", "remedy", "due"),
    [
        ("2008-09-17", "short", "SHO-204(a)", [], None),
        ("2008-09-18", "short", "SHO-204T(a)", ["purchase", "borrow"], "2008-09-24"),
        ("2008-09-18", "long", "SHO-204T(a)(1)", ["purchase"], "2008-09-26"),
        ("2009-07-30", "long", "SHO-204T(a)(1)", ["purchase"], "2009-08-07"),
        ("2009-07-31", "long", "SHO-204(a)(1)", ["purchase", "borrow"], "2009-08-10"),
        ("2008-09-18", "deemed_to_own", "SHO-204T(a)(2)", ["purchase"], "2008-11-14"),
    ],
)
def test_era_of_the_trade_date_decides_the_rule(
    trade: str, sale: str, rule: str, remedy: list[str], due: str | None
) -> None:
    """Section 5.5: nothing before 2008-09-18, Rule 204T until 2009-07-30, then Rule 204."""
    duty = first(clock("2008-09-18", trade_date=trade, sale_type=sale), rule)
    assert (duty["remedy"], duty["due_date"]) == (remedy, due)


@pytest.mark.parametrize(
    ("event", "open_qty"),
    [
        (bought(1000, "2026-11-18T09:30"), 0),
        (bought(1000, "2026-11-18T09:30:01"), 1000),
        (bought(1000, "2026-11-17T15:59"), 1000),
        (bought(1000, "2026-11-17T16:30"), 0),
        (bought(1000, "2026-11-17T10:00", net_position="flat"), 0),
        (bought(999, "2026-11-17T10:00", net_position="flat"), 1000),
        (bought(1000, "2026-11-16T10:00", net_position="flat"), 1000),
        (bought(1000, "2026-11-18T09:00", net_position="short"), 1000),
        (bought(1000, "2026-11-18T09:00", bona_fide=False), 1000),
        (bought(400, "2026-11-18T09:00", for_settlement_date="2026-11-17"), 600),
        (bought(400, "2026-11-18T09:00", for_settlement_date="2026-11-16"), 1000),
        ({"type": "delivery", "at": "2026-11-18T08:00", "qty": 300}, 700),
    ],
)
def test_event_covers_what_it_may(event: Block, open_qty: int) -> None:
    """Sections 6.2 and 7.4: which events leave how many shares uncured."""
    facts = {"trade_date": "2026-11-16", "sale_type": "short", "events": [event]}
    duty = first(clock("2026-11-18T10:00", **facts), "SHO-204(a)")
    assert duty["open_qty"] == open_qty
    assert duty["state"] == ("breached" if open_qty else "cured")


def test_borrow_does_not_cover_a_deemed_to_own_sale() -> None:
    """Rule 204(a)(2) is met by a purchase alone."""
    borrow = {"type": "borrow", "at": "2026-08-06T10:00", "qty": 1000}
    facts = {"trade_date": "2026-08-03", "sale_type": "deemed_to_own", "events": [borrow]}
    assert first(clock("2026-08-10", **facts), "SHO-204(a)(2)")["open_qty"] == 1000


def test_arrived_purchase_without_a_fall_means_a_new_fail() -> None:
    """Section 6.1: 200 bought shares arrive, the position stays at 500: 200 failed that day."""
    rows = daily("2026-11-16", [500, 500])
    event = bought(200, "2026-11-17T09:00", settled_on="2026-11-17")
    facts = {"settlement_date": "2026-11-16", "sale_type": "short", "fail_history": rows}
    block = clock("2026-11-17T17:00", 500, **facts, events=[event])
    assert [(lot["settlement_date"], lot["qty"]) for lot in block["lots"]] == [
        ("2026-11-16", 300),
        ("2026-11-17", 200),
    ]
    duties = [d for d in block["obligations"] if d["kind"] == "duty"]
    assert [(d["qty"], d["open_qty"], d["state"]) for d in duties] == [
        (500, 300, "breached"),
        (200, 200, "running"),
    ]


def test_allocation_passes_the_duty_to_the_holder() -> None:
    """Section 7.3: the part of the BD has its own state and box, and the same deadline."""
    event = {"type": "allocation", "at": "2026-11-17T18:00", "qty": 400, "to": "BD-1"}
    facts = {"trade_date": "2026-11-16", "sale_type": "short", "events": [event]}
    block = clock("2026-11-18T10:00", **facts)
    duties = [(d["holder"], d["qty"], d["state"]) for d in block["obligations"][:3]]
    assert ("BD-1", 400, "breached") in duties
    assert ("participant", 600, "breached") in duties
    assert [(b["holder"], b["state"]) for b in block["penalty_boxes"]] == [
        ("participant", "open"),
        ("BD-1", "open"),
    ]


def test_notice_of_an_open_box_is_cured_by_its_event() -> None:
    """Section 7.2: the notice is due on the day that the box opens."""
    facts: Block = {"trade_date": "2026-11-16", "sale_type": "short"}
    notice = first(clock("2026-11-18T10:00", **facts), "SHO-204(c)(1)")
    assert (notice["state"], notice["due_date"]) == ("due_today", "2026-11-18")
    facts["events"] = [{"type": "notice", "at": "2026-11-18T11:00", "rule": "SHO-204(c)(1)"}]
    assert first(clock("2026-11-18T12:00", **facts), "SHO-204(c)(1)")["state"] == "cured"


def test_threshold_due_date_may_be_columbus_day() -> None:
    """Section 8.1: day 13 on Friday 2025-10-10, due on Monday 10-13."""
    facts = {"settlement_date": "2025-09-24", "threshold_since": "2025-09-24"}
    threshold = clock("2025-10-10T16:00", **facts)["threshold"]
    assert (threshold["last_day"], threshold["due_date"]) == ("2025-10-10", "2025-10-13")
    assert threshold["preborrow_required"] is True


def test_grandfathered_position_has_35_days_from_2007_10_15() -> None:
    """Section 8.4: not applicable before, then until 2007-12-04, due 2007-12-05."""
    facts = {"settlement_date": "2007-08-01", "threshold_since": "2007-08-15"}
    duty = first(clock("2007-10-14", **facts), "SHO-203(b)(3)")
    assert duty["state"] == "not_applicable"
    duty = first(clock("2007-11-01", **facts), "SHO-203(b)(3)")
    assert (duty["nominal_date"], duty["due_date"]) == ("2007-12-04", "2007-12-05")


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (None, "breached"),
        (bought(1000, "2005-01-28T10:00"), "cured"),
        (bought(1000, "2005-01-27T15:00"), "breached"),
        (bought(1000, "2005-01-31T10:00"), "breached"),
        ({"type": "borrow", "at": "2005-01-28T10:00", "qty": 1000}, "breached"),
    ],
)
def test_threshold_is_cured_by_a_purchase_in_time(event: Block | None, state: str) -> None:
    """Section 8.2: purchases after day 13 and not after the due day."""
    facts: Block = {"settlement_date": "2005-01-10", "threshold_since": "2005-01-10"}
    facts["events"] = [event] if event else []
    assert first(clock("2005-02-01", **facts), "SHO-203(b)(3)")["state"] == state


@pytest.mark.parametrize(
    ("receivable", "rule", "nominal", "due"),
    [
        ("purchase", "15c3-3(d)(2)", "2026-12-16", "2026-12-16"),
        ("distribution", "15c3-3(d)(3)", "2026-12-31", "2026-12-31"),
    ],
)
def test_fail_to_receive_counts_calendar_days(
    receivable: str, rule: str, nominal: str, due: str
) -> None:
    """Section 9.2: 30 days after settlement, 45 for a distribution."""
    record = {"cns_direction": "FTR", "side": "Buy"}
    block = clock("2026-11-20", 10, record, settlement_date="2026-11-16", receivable=receivable)
    duty = first(block, rule)
    assert (duty["nominal_date"], duty["due_date"]) == (nominal, due)
    assert len(block["obligations"]) == 1


def test_extension_in_time_moves_the_customer_duty() -> None:
    """Section 9.1: an extension filed by the due day moves it; late ones do not."""
    event = {"type": "extension", "at": "2026-12-02T10:00", "rule": "15c3-3(m)",
             "until": "2026-12-16"}  # fmt: skip
    facts: Block = {"settlement_date": "2026-11-17", "sale_type": "long", "customer": True}
    duty = first(clock("2026-12-10", **facts, events=[event]), "15c3-3(m)")
    assert (duty["due_date"], duty["nominal_date"]) == ("2026-12-16", "2026-12-02")
    late = event | {"at": "2026-12-03T10:00"}
    duty = first(clock("2026-12-10", **facts, events=[late]), "15c3-3(m)")
    assert (duty["due_date"], duty["state"]) == ("2026-12-02", "breached")


def test_fails_charge_is_exact_and_rounded_half_up() -> None:
    """Section 10: fail day 2 of 1,000.10 dollars at 5 % is 50.005, so 50.01."""
    record = {"market_value": "1000.10"}
    block = clock("2026-11-17T16:00", 1000, record, settlement_date="2026-11-16")
    charge = next(item for item in block["costs"] if item["rule"] == "NSCC-fails-charge")
    assert (charge["fail_day"], charge["rate_pct"]) == (2, Decimal(5))
    assert charge["amount_usd"] == Decimal("50.01")


def test_threshold_series_of_january_2005_lists_the_tenth() -> None:
    """Section 8.5: over the line from 3 to 7 January 2005, on the list of the 10th."""
    rows = daily("2005-01-03", [10_000] * 5)
    assert threshold_series(rows[:4], 2_000_000)["days_to_threshold"] == 1
    assert threshold_series(rows, 2_000_000)["listed_from"] == "2005-01-10"
    assert threshold_series(rows, 2_000_001)["listed"] is False
    rows = daily("2005-01-03", [10_000] * 5 + [0] * 5)
    assert threshold_series(rows, 2_000_000)["delisted_from"] == "2005-01-18"
    with pytest.raises(Refused):
        threshold_series([rows[0], rows[2]], 2_000_000)
