"""Clock blocks for the tests of the views, made by hand from the example of the specification."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from finops_cli.domain.clock import Clock
from finops_cli.views.entries import AgendaEntry

CUSIP = "594918104"
OBLIGATION: dict[str, Any] = {
    "rule": "SHO-204(a)",
    "kind": "duty",
    "citation": "17 CFR 242.204(a)",
    "kb": "clock.sho204a",
    "basis": "1 settlement days after settlement date",
    "lot": "2026-11-17",
    "holder": "participant",
    "qty": 1000,
    "open_qty": 1000,
    "start_date": "2026-11-17",
    "nominal_date": "2026-11-18",
    "due_date": "2026-11-18",
    "due_time": "09:30",
    "counting": "settlement days",
    "days_left": 1,
    "state": "running",
    "remedy": ["purchase", "borrow"],
    "assumed": [],
    "evidence": ["sale type given: short"],
    "alternatives": [],
    "confidence": "verified",
}
"""The obligation of regulatory-clock, section 11, with a sale type."""
IF_SHORT: dict[str, Any] = {
    "assumed": ["sale_type"],
    "evidence": ["sale type unknown: taken as short, the strictest"],
    "alternatives": [
        {
            "if": "a long sale, shown on books and records",
            "rule": "SHO-204(a)(1)",
            "due_date": "2026-11-20",
        }
    ],
}
"""The changes of an obligation whose sale type was not given."""
RIGHT: dict[str, Any] = {
    "rule": "FINRA-11810",
    "citation": "FINRA Rule 11810",
    "kb": "clock.finra11810",
    "holder": "counterparty",
    "earliest_notice_date": "2026-11-18",
    "notice_by": "12:00",
    "earliest_execution_date": "2026-11-20",
    "basis": "3 settlement days after settlement date",
    "evidence": [],
    "confidence": "secondary",
}
COST: dict[str, Any] = {
    "rule": "15c3-1(c)(2)(ix)",
    "citation": "17 CFR 240.15c3-1(c)(2)(ix)",
    "kb": "clock.15c3_1",
    "lot": "2026-11-17",
    "from_date": "2026-11-24",
    "in_force": False,
    "fail_day": None,
    "rate_pct": None,
    "amount_usd": None,
    "effective": None,
    "basis": "5 business days after settlement date",
    "confidence": "verified",
}
CLOCK: dict[str, Any] = {
    "as_of": "2026-11-17T00:00",
    "as_of_source": "option",
    "calendar": {
        "id": "builtin-2026.1",
        "sha256": "ab" * 32,
        "overrides": 0,
        "reviewed": "2026-11-20",
    },
    "trade_date": "2026-11-16",
    "settlement_date": "2026-11-17",
    "settlement_date_basis": "trade_date",
    "cycle": "T+1",
    "sale_type": "short",
    "treated_as": "short",
    "venue": "cns",
    "lots": [
        {
            "settlement_date": "2026-11-17",
            "qty": 1000,
            "sale_type": "short",
            "holder": "participant",
        }
    ],
    "binding": "SHO-204(a)",
    "binding_due": "2026-11-18",
    "deadline_days": 1,
    "penalty_boxes": [{"holder": "participant", "state": "none", "preborrow_required": False}],
    "threshold": None,
    "rights": [],
    "costs": [],
    "card": {"deadline": "T+13", "date": "2026-12-07", "later_than_law_by": 12},
    "assumptions": [],
    "warnings": [],
}


def change_obligation(**changes: Any) -> dict[str, Any]:
    """The obligation of the example, with changes."""
    return {**OBLIGATION, **changes}


def make_entry(
    *obligations: dict[str, Any],
    fail_id: str = "F-1001",
    symbol: str | None = None,
    **changes: Any,
) -> AgendaEntry:
    """A fail with the clock of the example, with changes."""
    block = {**CLOCK, "obligations": list(obligations or (OBLIGATION,)), **changes}
    return AgendaEntry(fail_id, CUSIP, symbol, convert(block, Clock))
