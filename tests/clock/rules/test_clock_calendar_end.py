"""The last days of the calendar: what binds is computed or refused, what is shown may be absent."""

from __future__ import annotations

from datetime import date

import pytest

from finops_cli.kb.rulebook import KnowledgeBase
from tests.clock.rules.test_clock_differential import compute, differences, expect
from tests.support.oracle.clock import calendar as cal
from tests.support.records import a_fail

LAST_DAYS = cal.days(date(2028, 11, 10), date(2028, 12, 29), cal.settles)
FAILS = (
    ("FTD", "Sell", {}),
    ("FTD", "Sell", {"sale_type": "short"}),
    ("FTD", "Sell", {"sale_type": "deemed_to_own"}),
    ("FTD", "Sell", {"venue": "ex_clearing"}),
    ("FTD", "Sell", {"threshold_since": "2028-10-02"}),
    ("FTD", "Sell", {"sale_type": "long", "customer": True}),
    ("FTR", "Buy", {"customer": False}),
    ("FTR", "Buy", {}),
    ("N_A", "Sell", {}),
)


def fail(direction: str, side: str, **facts: object) -> dict[str, object]:
    """Return a fail record without a listing fact of the card."""
    record = a_fail(
        cns_direction=direction, side=side, reg_sho_threshold=False, age_days=0, clock_facts=facts
    )
    record.pop("cns_position", None)
    return record


@pytest.mark.slow
@pytest.mark.parametrize("settlement", LAST_DAYS, ids=str)
def test_clock_at_the_end_of_the_calendar_equals_the_oracle(
    settlement: date, kb: KnowledgeBase
) -> None:
    """Rule: a record is refused where a duty leaves the calendar, and only there."""
    for direction, side, facts in FAILS:
        for as_of in (f"{settlement}", f"{settlement}T17:00", "2028-12-31T12:00"):
            record = fail(direction, side, settlement_date=str(settlement), **facts)
            found, expected = compute(record, as_of, kb), expect(record, as_of)
            if isinstance(found, str) or isinstance(expected, str):
                assert found == expected, (direction, facts, as_of)
            else:
                assert list(differences(found, expected)) == [], (direction, facts, as_of)
                assert found["venue"] != "cns" or found["card"] == expected["card"]


def test_date_that_leaves_the_calendar_is_named(kb: KnowledgeBase) -> None:
    """Rule: the cost, the card's date and the alternative are absent, and a warning names each."""
    found = compute(fail("FTD", "Sell", settlement_date="2028-12-27"), "2028-12-27", kb)
    assert not isinstance(found, str)
    assert (found["binding"], found["binding_due"]) == ("SHO-204(a)", "2028-12-28")
    assert found["card"] == {"deadline": "T+13", "date": None, "later_than_law_by": None}
    assert [each["from_date"] for each in found["costs"]] == [None]
    names = (
        "the due day of a long sale of the lot of 2028-12-27",
        "the charge of 15c3-1 on the lot of 2028-12-27",
        "the card's T+13",
    )
    assert [each for each in found["warnings"] if each.startswith("calendar.range")] == [
        f"calendar.range: {name} is after 2028-12-31: not computed" for name in names
    ]


def test_right_that_leaves_the_calendar_keeps_its_notice(kb: KnowledgeBase) -> None:
    """Rule: each date of a right stands alone."""
    found = compute(fail("N_A", "Sell", settlement_date="2028-12-27"), "2028-12-27", kb)
    assert not isinstance(found, str)
    [right] = found["rights"]
    assert right["earliest_notice_date"] == "2028-12-28"
    assert right["earliest_execution_date"] is None


@pytest.mark.parametrize(
    ("record", "as_of"),
    [
        # only the card's T+13, 2026-12-03
        (fail("FTD", "Sell", settlement_date="2026-11-13", sale_type="short"), "2026-11-16"),
        # only the right to buy in, 2026-11-23
        (fail("N_A", "Buy", settlement_date="2026-11-18", customer=False), "2026-11-18"),
        # only the charge of 15c3-1, 2026-11-24
        (
            fail("FTD", "Sell", settlement_date="2026-11-17", security_type="treasury"),
            "2026-11-17",
        ),
        # only the settlement date
        (fail("FTR", "Buy", settlement_date="2026-11-23", customer=False), "2026-11-18"),
    ],
)
def test_date_after_the_review_of_the_calendar_is_provisional(
    record: dict[str, object], as_of: str, kb: KnowledgeBase
) -> None:
    """Rule: closings after the review are unknown, whichever date that is shown passes it."""
    found = compute(record, as_of, kb)
    assert not isinstance(found, str)
    assert "calendar.provisional: closings after 2026-11-20 are not known" in found["warnings"]


def test_dates_up_to_the_review_are_not_provisional(kb: KnowledgeBase) -> None:
    """Rule: a block whose dates all lie before the review has no such warning."""
    record = fail("FTD", "Sell", settlement_date="2026-10-20", sale_type="short")
    found = compute(record, "2026-10-21", kb)
    assert not isinstance(found, str)
    assert not any("provisional" in text for text in found["warnings"])
