"""Events of a fail that prove less than they seem to."""

from __future__ import annotations

import pytest

import finops_cli
from tests.support.records import a_fail


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


def test_fail_to_receive_with_side_sell_has_no_rule_204_duty() -> None:
    """Rule: Rule 204 is about fails to deliver; the direction decides, not the side."""
    facts = {"settlement_date": "2026-11-17"}
    record = a_fail(cns_direction="FTR", side="Sell", clock_facts=facts)
    found = finops_cli.compute_clock(record, as_of="2026-11-20")
    assert {each.rule for each in found.obligations} == {"15c3-3(d)(2)"}


def test_notice_before_the_hour_of_the_breach_is_no_notice_of_it() -> None:
    """Rule: a notice with an hour counts from the moment that the box opens."""
    sent = {"type": "notice", "at": "2026-11-18T09:00", "rule": "SHO-204(c)(1)"}
    facts = {"settlement_date": "2026-11-17", "sale_type": "short", "events": [sent]}
    found = finops_cli.compute_clock(a_fail(clock_facts=facts), as_of="2026-11-20")
    assert [each.state for each in found.obligations if each.kind == "notice"] == ["breached"]
