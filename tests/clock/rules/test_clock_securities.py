"""Which rules reach which type of security (kb: `clock.security_types`)."""

from __future__ import annotations

from typing import Any, get_args

import pytest

import finops_cli
from finops_cli.domain.clock import Clock
from finops_cli.domain.clock_facts import SecurityType
from finops_cli.kb.rulebook import KnowledgeBase
from tests.support.records import a_fail

EQUITY = {"SHO-204(a)(1)", "15c3-3(m)", "15c3-1(c)(2)(ix)", "NSCC-fails-charge", "NSCC-buy-in"}
DEBT = EQUITY - {"SHO-204(a)(1)"}
Object = dict[str, Any]


def compute(direction: str, security_type: str) -> Clock:
    """Compute the clock of a customer's fail with a notice of a buy-in."""
    notice = {"type": "cns_buy_in_notice", "at": "2026-11-18"}
    facts: Object = {"settlement_date": "2026-11-17", "security_type": security_type}
    facts |= {"customer": True, "sale_type": "long", "events": [notice]}
    side = "Buy" if direction == "FTR" else "Sell"
    record = a_fail(cns_direction=direction, side=side, clock_facts=facts)
    record.pop("cns_position", None)
    return finops_cli.compute_clock(record | {"reg_sho_threshold": False}, as_of="2026-11-19")


def dated(found: Clock) -> set[str]:
    """Return the rules that give a date."""
    rules = {each.rule for each in found.obligations if each.due_date}
    return rules | {each.rule for each in (*found.rights, *found.costs)}


@pytest.mark.parametrize(
    ("security_type", "cleared", "bilateral", "received"),
    [
        ("equity", EQUITY, True, True),
        ("etf", EQUITY, True, True),
        ("adr", EQUITY, True, True),
        ("corporate_bond", DEBT, True, True),
        ("municipal", DEBT - {"15c3-1(c)(2)(ix)"}, False, True),
        ("treasury", DEBT, False, True),
        ("fund", DEBT, False, True),
        ("other", set(), False, False),
    ],
)
def test_security_type_gets_the_rules_of_its_row(
    security_type: str, cleared: set[str], bilateral: bool, received: bool
) -> None:
    """Rule: a type of security gets the dates of its row and no others; `other` gets none."""
    assert dated(compute("FTD", security_type)) == cleared
    assert ("FINRA-11810" in dated(compute("N_A", security_type))) == bilateral
    assert ("15c3-3(d)(2)" in dated(compute("FTR", security_type))) == received


@pytest.mark.parametrize("direction", ["FTD", "FTR", "N_A"])
def test_security_of_another_market_is_named_in_a_warning(direction: str) -> None:
    """Rule: a block without dates says why, also where no obligation could say it."""
    found = compute(direction, "other")
    assert "security_type other: out of scope, no date is computed" in found.warnings
    assert found.card.date is None


def test_every_security_type_has_a_row(kb: KnowledgeBase) -> None:
    """Rule: the table has each type that a record can have."""
    assert kb.clock.rules_by_type.keys() == set(get_args(SecurityType))


@pytest.mark.parametrize(
    ("cusip", "is_treasury"),
    [
        ("912828YK0", True),
        ("91282CJZ5", True),
        ("912810TV0", True),
        ("912796YT0", True),
        ("913903100", False),
        ("912909108", False),
        ("313855108", False),
        ("313586885", False),
        ("594918104", False),
    ],
)
def test_security_type_absent_is_read_from_the_cusip(cusip: str, is_treasury: bool) -> None:
    """Rule: the issuer numbers of the Treasury are not equities; their neighbours and agencies are
    Universal Health, United States Steel, Federal Signal and Fannie Mae.
    """
    record = a_fail(cusip=cusip, clock_facts={"settlement_date": "2026-11-17"})
    found = finops_cli.compute_clock(record, as_of="2026-11-20")
    states = {each.state for each in found.obligations if each.rule.startswith("SHO-204")}
    assert (states == {"not_applicable"}) == is_treasury
    said = "treasury, by the issuer number" if is_treasury else "equity is taken"
    assert any(said in each for each in found.assumptions)


def test_security_type_given_wins_over_the_cusip() -> None:
    """Rule: a given fact is used as it is given, and nothing is assumed about it."""
    facts = {"settlement_date": "2026-11-17", "security_type": "equity"}
    record = a_fail(cusip="912828YK0", clock_facts=facts)
    found = finops_cli.compute_clock(record, as_of="2026-11-20")
    assert found.binding == "SHO-204(a)"
    assert not any("security_type" in each for each in found.assumptions)
