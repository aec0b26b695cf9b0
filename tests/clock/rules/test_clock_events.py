"""Events of a fail that prove less than they seem to."""

from __future__ import annotations

from typing import Any

import pytest

import finops_cli
from finops_cli.domain.clock import Clock
from tests.support.records import a_fail

Object = dict[str, Any]


def test_purchase_without_an_hour_counts_from_the_end_of_the_day() -> None:
    """Rule: a day without an hour proves nothing about 09:30; `assumptions` says so."""
    bought = {"type": "purchase", "at": "2026-11-18", "qty": 5000}
    facts = {"settlement_date": "2026-11-17", "sale_type": "short", "events": [bought]}
    found = finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-19")
    assert found.obligations[0].state == "breached"
    assert any("no hour was given" in text for text in found.assumptions)
    facts["events"] = [bought | {"at": "2026-11-17"}]
    found = finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-19")
    assert {each.state for each in found.obligations if each.rule == "SHO-204(a)"} == {"cured"}


def test_event_with_an_id_that_is_given_twice_is_refused() -> None:
    """Rule: one event is entered once, or a purchase would cover two fails."""
    bought = {"type": "purchase", "at": "2026-11-18T09:00", "qty": 2500, "id": "A"}
    facts = {"settlement_date": "2026-11-17", "events": [bought, bought]}
    with pytest.raises(finops_cli.FinopsError, match="an event that is given once"):
        finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-19")


def test_notice_with_a_day_alone_cures_the_notice_of_that_day() -> None:
    """Rule: a notice is due on the day that the box opens, not at an hour."""
    sent = {"type": "notice", "at": "2026-11-18", "rule": "SHO-204(c)(1)"}
    facts = {"settlement_date": "2026-11-17", "sale_type": "short", "events": [sent]}
    found = finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-20")
    assert [each.state for each in found.obligations if each.kind == "notice"] == ["cured"]


def test_fail_to_receive_with_side_sell_is_refused() -> None:
    """Rule: the direction says who owes the shares; a side that contradicts it is refused."""
    record = a_fail(cns_direction="FTR", side="Sell", clock_facts={"settlement_date": "2026-11-17"})
    with pytest.raises(finops_cli.FinopsError, match="side is Sell"):
        finops_cli.compute_clock(record, as_of="2026-11-20")


def test_notice_before_the_hour_of_the_breach_is_no_notice_of_it() -> None:
    """Rule: a notice with an hour counts from the moment that the box opens."""
    sent = {"type": "notice", "at": "2026-11-18T09:00", "rule": "SHO-204(c)(1)"}
    facts = {"settlement_date": "2026-11-17", "sale_type": "short", "events": [sent]}
    found = finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-20")
    assert [each.state for each in found.obligations if each.kind == "notice"] == ["breached"]


def compute(events: list[Object], as_of: str, **facts: object) -> Clock:
    """Compute the clock of 1,000 shares with these events."""
    record = a_fail(qty=1000, reg_sho_threshold=False, clock_facts={"events": events, **facts})
    return finops_cli.compute_clock(record, as_of=as_of)


def duties(found: Clock) -> list[tuple[str | None, str, int | None]]:
    """Return lot, state and open shares of each duty of Rule 204."""
    return [
        (each.lot, each.state, each.open_qty)
        for each in found.obligations
        if each.kind == "duty" and each.rule.startswith("SHO-204")
    ]


@pytest.mark.parametrize("has_history", [False, True])
@pytest.mark.parametrize(
    ("settlement", "at", "state", "open_qty"),
    [
        ("2026-11-27", "2026-11-27T12:59", "breached", 1000),
        ("2026-11-27", "2026-11-27T13:00", "breached", 400),
        ("2026-11-27", "2026-11-27T14:30", "breached", 400),
        ("2026-11-27", "2026-11-27T16:00", "breached", 400),
        ("2026-11-17", "2026-11-17T15:59", "breached", 1000),
        ("2026-11-17", "2026-11-17T16:00", "breached", 400),
    ],
)
def test_purchase_from_the_close_of_regular_hours_covers(
    settlement: str, at: str, state: str, open_qty: int, has_history: bool
) -> None:
    """Rule: a fail exists from the end of regular hours, 13:00 on an early close, so a purchase
    covers a lot from then on; a history, which is known at 16:00, gives the same.
    """
    bought = {"type": "purchase", "at": at, "qty": 600}
    rows = {"fail_history": [{"date": settlement, "qty": 1000}]} if has_history else {}
    found = compute([bought], "2026-12-02", settlement_date=settlement, sale_type="short", **rows)
    assert duties(found) == [(settlement, state, open_qty)]


def test_purchase_held_to_the_close_covers_earliest_due() -> None:
    """Rule: a purchase of an early close goes to the lot that is due first, here the new one."""
    rows = [
        {"date": "2026-11-25", "qty": 1000, "sale_type": "long"},
        {"date": "2026-11-27", "qty": 1500, "new": 500, "sale_type": "short"},
    ]
    bought = {"type": "purchase", "at": "2026-11-27T14:00", "qty": 500}
    found = compute([bought], "2026-11-30", settlement_date="2026-11-25", fail_history=rows)
    assert duties(found) == [("2026-11-25", "running", 1000), ("2026-11-27", "cured", 0)]


def test_allocation_after_an_early_close_reaches_the_lot() -> None:
    """Rule: an allocation is held to the close like a purchase."""
    moved = {"type": "allocation", "at": "2026-11-27T14:00", "qty": 400, "to": "BD-1"}
    rows = [{"date": "2026-11-27", "qty": 1000}]
    found = compute([moved], "2026-11-28", settlement_date="2026-11-27", fail_history=rows)
    assert [(lot.holder, lot.qty) for lot in found.lots] == [("participant", 600), ("BD-1", 400)]


def test_early_purchase_after_a_full_credit_is_not_credited() -> None:
    """Rule: the first purchase that covers the whole fail is the credit of 204(e); no second one
    is named with no shares.
    """
    early = {"type": "purchase", "at": "2026-11-17T10:00", "qty": 1000, "net_position": "flat"}
    events = [early | {"id": "A"}, early | {"id": "B", "at": "2026-11-17T11:00"}]
    found = compute(events, "2026-11-19", settlement_date="2026-11-17", sale_type="short")
    credits = [text for text in found.obligations[0].evidence if "pre-fail credit" in text]
    assert credits == ["pre-fail credit, 204(e): purchase A of 1,000 at 2026-11-17T10:00"]


LOTS = [
    {"settlement_date": "2026-11-17", "qty": 600, "sale_type": "deemed_to_own"},
    {"settlement_date": "2026-11-17", "qty": 400, "sale_type": "short"},
]


@pytest.mark.parametrize(
    ("facts", "event", "said"),
    [
        (
            {},
            {"type": "allocation", "at": "2026-11-17T10:00", "qty": 400, "to": "BD-1"},
            ("allocation A of 400 at 2026-11-17T10:00: 400 shares are not allocated: "
            "nothing had failed at that time"),
        ),
        (
            {},
            {"type": "allocation", "at": "2026-11-18T10:00", "qty": 400, "to": "BD-1"},
            ("allocation A of 400 at 2026-11-18T10:00: 400 shares are not allocated: "
            "their deadline has passed"),
        ),
        (
            {},
            {"type": "allocation", "at": "2026-11-17T17:00", "qty": 1500, "to": "BD-1"},
            ("allocation A of 1,500 at 2026-11-17T17:00: 500 shares are not allocated: "
            "no more shares are uncovered before their deadline"),
        ),
        (
            {"venue": "ex_clearing"},
            {"type": "allocation", "at": "2026-11-17T17:00", "qty": 400, "to": "BD-1"},
            ("allocation A of 400 at 2026-11-17T17:00: 400 shares are not allocated: "
            "Rule 204 sets no deadline for them"),
        ),
        (
            {},
            {"type": "purchase", "at": "2026-11-17T17:00", "qty": 400,
             "for_settlement_date": "2026-11-16"},
            ("purchase A of 400 at 2026-11-17T17:00 does not count: "
            "no lot of 2026-11-16 had failed at that time"),
        ),
        (
            {},
            {"type": "purchase", "at": "2026-11-13T10:00", "qty": 1000, "net_position": "flat"},
            ("purchase A of 1,000 at 2026-11-13T10:00 does not count: "
            "nothing had failed at that time"),
        ),
        (
            {},
            {"type": "purchase", "at": "2026-11-13T10:00", "qty": 1000, "bona_fide": False},
            "purchase A of 1,000 at 2026-11-13T10:00 does not count: not bona fide (204(f))",
        ),
        (
            {},
            {"type": "delivery", "at": "2026-11-17T10:00", "qty": 400},
            ("delivery A of 400 at 2026-11-17T10:00 does not count: "
            "nothing had failed at that time"),
        ),
        (
            {},
            {"type": "receipt", "at": "2026-11-18T10:00", "qty": 400},
            "receipt A of 400 at 2026-11-18T10:00 does not count: no duty takes it then",
        ),
        (
            {},
            {"type": "notice", "at": "2026-11-18T09:00", "rule": "SHO-204(c)(1)"},
            ("notice A at 2026-11-18T09:00 does not count: "
            "no duty under SHO-204(c)(1) takes it then"),
        ),
    ],
)  # fmt: skip
def test_event_that_counts_for_nothing_is_named_with_reason(
    facts: Object, event: Object, said: str
) -> None:
    """Rule: an event that changes nothing, and that no evidence names, leaves a warning."""
    given = {"settlement_date": "2026-11-17", "sale_type": "short", **facts}
    found = compute([event | {"id": "A"}], "2026-11-18T12:00", **given)
    assert [text for text in found.warnings if text.startswith("event.")] == [
        f"event.not_counted: {said}"
    ]


@pytest.mark.parametrize("at", ["2026-11-17T10:00", "2026-11-17T17:00"])
def test_borrow_for_a_rule_of_purchases_is_named(at: str) -> None:
    """Rule: a lot whose rule takes purchases alone says that the borrow does not count."""
    borrow = {"type": "borrow", "at": at, "qty": 1000, "id": "B", "net_position": "flat"}
    found = compute([borrow], "2026-11-18T12:00", settlement_date="2026-11-17", lots=LOTS)
    evidence = {each.rule: each.evidence for each in found.obligations if each.lot}
    said = f"borrow B of 1,000 at {at} does not count: SHO-204(a)(2) takes a purchase only"
    assert said in evidence["SHO-204(a)(2)"]
    assert not any("takes a purchase only" in text for text in evidence["SHO-204(a)"])


def test_event_that_counts_leaves_no_warning() -> None:
    """Rule: what covers, leads out, delivers or notifies is named in evidence alone."""
    events: list[Object] = [
        {"type": "delivery", "at": "2026-11-17T17:00", "qty": 100},
        {"type": "purchase", "at": "2026-11-18T09:00", "qty": 400},
        {"type": "purchase", "at": "2026-11-18T11:00", "qty": 500, "settled_on": "2026-11-19"},
        {"type": "notice", "at": "2026-11-18T12:00", "rule": "SHO-204(c)(1)"},
        {"type": "notice", "at": "2026-11-18T12:05", "rule": "SHO-204(c)(1)"},
    ]
    found = compute(events, "2026-11-20", settlement_date="2026-11-17", sale_type="short")
    assert not any(text.startswith("event.") for text in found.warnings)


@pytest.mark.parametrize(
    ("named", "state", "missing"),
    [
        (None, "cured", None),
        ("2026-11-17", "cured", None),
        ("2026-11-16", "breached", "it names the lot of 2026-11-16"),
    ],
)
def test_pre_fail_credit_goes_to_the_lot_that_is_named(
    named: str | None, state: str, missing: str | None
) -> None:
    """Rule: the text of 204(e) is silent; strictly, a purchase for one lot credits no other."""
    lots = [
        {"settlement_date": "2026-11-16", "qty": 100, "sale_type": "long"},
        {"settlement_date": "2026-11-17", "qty": 100, "sale_type": "short"},
    ]
    bought = {"type": "purchase", "at": "2026-11-17T10:00", "qty": 300, "net_position": "flat"}
    if named is not None:
        bought["for_settlement_date"] = named
    found = compute([bought], "2026-11-18T12:00", lots=lots)
    second = next(each for each in found.obligations if each.lot == "2026-11-17")
    assert second.state == state
    assert any("no pre-fail credit" in text for text in second.evidence) == (missing is not None)
    assert any((missing or "pre-fail credit, 204(e)") in text for text in second.evidence)


@pytest.mark.parametrize(
    ("settled_on", "state"), [("2026-11-17", "breached"), ("2026-11-18", "cured")]
)
def test_shares_that_a_fall_has_used_give_no_pre_fail_credit(settled_on: str, state: str) -> None:
    """Rule: no share counts twice: what arrived and lowered the position credits no later lot."""
    rows = [
        {"date": "2026-11-16", "qty": 500},
        {"date": "2026-11-17", "qty": 300, "new": 300, "trade_date": "2026-11-13"},
    ]
    bought = {"type": "purchase", "at": "2026-11-16T10:00", "qty": 300, "net_position": "flat"}
    bought["settled_on"] = settled_on
    facts = {"settlement_date": "2026-11-16", "sale_type": "short", "fail_history": rows}
    found = compute([bought], "2026-11-18T18:00", **facts)
    second = next(each for each in found.obligations if each.lot == "2026-11-17")
    assert second.state == state
    used = "no pre-fail credit for purchase of 300 at 2026-11-16T10:00: 300 of its shares count"
    assert any(used in text for text in second.evidence) == (state == "breached")


def test_notice_assumes_only_what_the_waiting_lots_assume() -> None:
    """Rule: a lot that has left the penalty box does not make its notice an assumed one."""
    lots = [
        {"settlement_date": "2026-11-16", "qty": 100, "sale_type": "short"},
        {"settlement_date": "2026-11-17", "qty": 100},
    ]
    bought = {"type": "purchase", "at": "2026-11-18T10:00", "qty": 100, "settled_on": "2026-11-19"}
    for named, assumed in (("2026-11-17", ()), ("2026-11-16", ("sale_type",))):
        found = compute([bought | {"for_settlement_date": named}], "2026-11-20", lots=lots)
        notice = next(each for each in found.obligations if each.rule == "SHO-204(c)(1)")
        assert (notice.qty, notice.assumed) == (100, assumed)
