"""The assumptions about a sale are named where they are made, and nowhere else (section 5.2)."""

from __future__ import annotations

from typing import Any

import pytest

import finops_cli
from finops_cli.domain.clock import Clock
from tests.support.records import a_fail

SHORT = "sale_type {}: taken as short, the strictest"
SHOWN = "sale_type_evidence absent: a long sale is taken as shown on books and records"
Object = dict[str, Any]


def compute(direction: str = "FTD", **facts: object) -> Clock:
    """Compute the clock of 1,000 shares that failed on 2026-11-17."""
    given = {"settlement_date": "2026-11-17", **facts}
    side = "Buy" if direction == "FTR" else "Sell"
    record = a_fail(qty=1000, cns_direction=direction, side=side, clock_facts=given)
    record.pop("cns_position", None)
    return finops_cli.compute_clock(record, as_of="2026-11-18")


def lots(*sale_types: str | None) -> list[Object]:
    """Return lots of one day with these sale types."""
    row = {"settlement_date": "2026-11-17", "qty": 500}
    return [row | ({} if each is None else {"sale_type": each}) for each in sale_types]


@pytest.mark.parametrize(
    ("direction", "facts", "assumed"),
    [
        ("FTD", {}, [SHORT.format("absent")]),
        ("FTD", {"sale_type": "unknown"}, [SHORT.format("unknown")]),
        ("FTD", {"sale_type": "short"}, []),
        ("FTD", {"lots": lots("short", "market_maker")}, []),
        ("FTD", {"lots": lots("short", None)}, [SHORT.format("absent")]),
        ("FTD", {"lots": lots("short", "unknown")}, [SHORT.format("unknown")]),
        ("FTD", {"lots": lots("long", "unknown")}, [SHORT.format("unknown"), SHOWN]),
        ("FTD", {"venue": "ex_clearing"}, []),
        ("FTD", {"security_type": "treasury"}, []),
        ("FTD", {"trade_date": "2007-10-10", "settlement_date": "2007-10-15"}, []),
        ("N_A", {}, []),
        ("FTR", {}, []),
        ("FTD", {"sale_type": "long"}, [SHOWN]),
        ("FTD", {"sale_type": "long", "sale_type_evidence": "order 4711 marked long"}, []),
        ("FTD", {"sale_type": "long", "venue": "ex_clearing"}, []),
    ],
)
def test_assumption_about_a_sale_is_named_where_made(
    direction: str, facts: Object, assumed: list[str]
) -> None:
    """Rule: an unknown sale is taken as short, and a long one without evidence as shown, only where
    Rule 204 gives a deadline; `absent` and `unknown` differ.
    """
    found = compute(direction, **facts)
    assert [text for text in found.assumptions if text.startswith("sale_type")] == assumed


def test_evidence_of_the_sale_stays_with_its_type() -> None:
    """Rule: the evidence of a long sale proves nothing about the short lot beside it."""
    facts = {"sale_type": "long", "sale_type_evidence": "order 4711 marked long"}
    found = compute(lots=lots("long", "short"), **facts)
    evidence = {each.rule: each.evidence for each in found.obligations if each.lot}
    assert evidence["SHO-204(a)(1)"] == ("order 4711 marked long",)
    assert evidence["SHO-204(a)"] == ()


def test_long_lot_of_a_short_sale_is_not_shown() -> None:
    """Rule: a lot with a type of its own has no evidence, so its long sale is not shown."""
    facts = {"sale_type": "short", "sale_type_evidence": "order 4711 marked short"}
    found = compute(lots=lots("short", "long"), **facts)
    evidence = {each.rule: each.evidence for each in found.obligations if each.lot}
    assert evidence["SHO-204(a)"] == ("order 4711 marked short",)
    assert evidence["SHO-204(a)(1)"] == ("long sale: not shown on books and records",)
