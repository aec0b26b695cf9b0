"""Receives of a file become sources of the deliveries in the same CUSIP."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from finops_cli.domain.fail import FailRecord
from finops_cli.importers.joins.receives import ReceivesIndex
from finops_cli.kb.load import bundled_kb_dir, load_kb
from finops_cli.pipeline.parse import parse_fail

KB = load_kb(bundled_kb_dir())
MSFT, AAPL = "594918104", "037833100"


def record(**changes: Any) -> dict[str, Any]:
    given = {
        "cusip": MSFT,
        "side": "Sell",
        "qty": 500,
        "counterparty": "DTC-0005",
        "age_days": 4,
        "market_value": 1000,
        "cns_direction": "FTD",
        "reg_sho_threshold": False,
        "inventory_coverage_pct": 0,
        "cp_fail_rate_pct": 2,
    }
    return {**given, **changes}


def receive(**changes: Any) -> dict[str, Any]:
    return record(**{"side": "Buy", "cns_direction": "FTR", **changes})


def checked(given: dict[str, Any]) -> FailRecord:
    parsed = parse_fail(dict(given)).value
    assert parsed is not None
    return parsed


def deliver(*receives: dict[str, Any], most: int | None = None, **own: Any) -> dict[str, Any]:
    """Return a delivery after the receives of its file were added."""
    index = ReceivesIndex(KB)
    if most is not None:
        index._most = most
    for number, each in enumerate(receives, start=1):
        index.add(checked(each), f"R-{number}")
    given = record(**own)
    index.add_to(given, checked(given))
    index.close()
    return given


def test_receives_of_the_cusip_become_ftrs() -> None:
    """The oldest comes first; receives of another CUSIP stay out."""
    got = deliver(
        receive(qty=10, age_days=2, counterparty="DTC-0161"),
        receive(qty=20, age_days=6, counterparty="DTC-0352"),
        receive(cusip=AAPL),
    )
    assert [(each["dtc"], each["qty"]) for each in got["ftrs"]] == [
        ("DTC-0352", 20),
        ("DTC-0161", 10),
    ]
    assert [each["category"] for each in got["related_fails"]] == ["CNS_FAIL", "CNS_FAIL"]
    assert got["origin"]["joined"]["ftrs"] == {"from": ["R-2", "R-1"], "left_out": 0}


def test_deliveries_and_netted_receives_are_no_sources() -> None:
    """A delivery is not owed to us, and a receive that CNS netted away is not owed any more."""
    got = deliver(record(qty=9), receive(cns_position=-3))
    assert "ftrs" not in got
    assert "related_fails" not in got


def test_doubtful_receives_are_related_fails_alone() -> None:
    """Shares of a disputed receive, or of one in a corporate action, may never come."""
    got = deliver(
        receive(cns_direction="N_A", dk_reason="unknown trade"), receive(corporate_action={})
    )
    assert "ftrs" not in got
    assert sorted(each["category"] for each in got["related_fails"]) == ["CA_EVENT", "DK_DISPUTE"]


def test_lists_of_the_record_itself_stay() -> None:
    """A record that names its receives, even an empty list, keeps them."""
    got = deliver(receive(), ftrs=[], related_fails=[])
    assert got["ftrs"] == []
    assert got["related_fails"] == []


def test_receive_gets_no_receives() -> None:
    """Only a delivery is covered by receives."""
    got = deliver(receive(), side="Buy", cns_direction="FTR")
    assert "ftrs" not in got


def test_receives_above_the_limit_are_counted() -> None:
    """The record says how many receives of the file it did not get."""
    got = deliver(*(receive(qty=qty) for qty in range(1, 6)), most=2)
    assert [each["qty"] for each in got["ftrs"]] == [5, 4]
    assert got["origin"]["joined"]["ftrs"]["left_out"] == 3


def test_index_keeps_exact_rates() -> None:
    """A fail rate comes back with the digits that the receive has."""
    got = deliver(receive(cp_fail_rate_pct=Decimal("2.123456789")))
    assert got["ftrs"][0]["cp_fail_rate_pct"] == Decimal("2.123456789")
