"""Seeded fail records and card-2 inputs, as plain dicts, in which the edges of every table are
over-represented.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.support.oracle.plan_oracle import handoff

AMOUNTS = (0, 1, 99_999, 99_999.99, 100_000, 100_000.01, 499_999.99, 500_000, 999_999.99,
1_000_000, 1_000_000.01, 4_999_999.99,
           5_000_000, 5_000_000.01, 12_345_678.9, 250_000_000)  # fmt: skip
AMOUNTS_IN_WORDS = (
    "$2.1M",
    "$450K",
    "$1,250,000",
    "$99.99K",
    "$100K",
    "$0.5M",
    "$1M",
    "$5M",
    "$5.00000001M",
    "$99,999.99",
)
CP_RATES = (
    0,
    0.5,
    0.99,
    0.9999,
    1,
    1.01,
    2,
    2.99,
    2.999,
    3,
    3.01,
    4,
    4.99,
    5,
    5.0001,
    5.01,
    7.5,
    100,
)
COVERAGES = (
    0,
    10,
    24.99,
    24.9999,
    25,
    25.01,
    49.99,
    50,
    50.01,
    74.99,
    75,
    75.01,
    99.99,
    99.9999,
    100,
    100.01,
    250,
)
SECURITY_RATES = (None, 0, 1.99, 2, 2.0001, 2.01, 12)
SHARES = (1, 2, 3, 7, 99, 100, 1_000, 3_000, 5_000, 12_000, 32_000, 49_999, 50_000, 50_001, 300_000)
RATE_STATES = ("NONE", "APPROACHING", "THRESHOLD", "CLOSE_OUT")
SETTLEMENT_DATES = ("T+0", "T+1", "T+1", "T+2", "T+3", "T+5")
EVENTS: tuple[dict[str, Any], ...] = (
    {}, {"pre_event_deliverable": True}, {"pre_event_deliverable": False},
    {"pre_event_deliverable": None, "new_cusip": None},
    {"pre_event_deliverable": True, "new_cusip": "037833100"},
    {"pre_event_deliverable": False, "new_cusip": "037833100"},
    {"new_cusip": "037833100"}, {"type": "merger"},
)  # fmt: skip
RELATED = ("DVP_FAIL", "CNS_FAIL", "DEPOT_FAIL")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#"
LAST_DAYS_POINTS = (3, 9, 18, 24, 30)


def check_digit(first_eight: str) -> int:
    """Modulus-10 double-add-double: every second character counts twice, digits are summed."""
    total = 0
    for place, character in enumerate(first_eight):
        value = ALPHABET.index(character) * (place % 2 + 1)
        total += value // 10 + value % 10
    return (10 - total % 10) % 10


def cusip(rng: Random) -> str:
    """A CUSIP with its right check digit; letters and the three signs occur."""
    first = "".join(rng.choice(ALPHABET if rng.random() < 0.3 else ALPHABET[:10]) for _ in range(8))
    return f"{first}{check_digit(first)}"


def dtc(rng: Random, brokers: int = 9_999) -> str:
    """One of the first `brokers` participants."""
    return f"DTC-{rng.randint(1, brokers):04d}"


def shares(rng: Random) -> int:
    """A quantity: mostly a round one or an edge, else any."""
    return rng.choice(SHARES) if rng.random() < 0.7 else rng.randint(1, 100_000)


def stock(rng: Random, owed: int) -> dict[str, Any]:
    """An inventory beside `owed` shares: often empty, sometimes exactly enough; depot fields
    sometimes.
    """

    def amount() -> int:
        return rng.choice(
            (
                0,
                0,
                0,
                1,
                owed // 4,
                owed // 3,
                owed // 2,
                max(0, owed - 1),
                owed,
                owed + 1,
                shares(rng),
            )
        )

    inventory: dict[str, Any] = {
        "box_qty": amount(),
        "stock_loan_available": amount(),
        "recall_outstanding": amount(),
        "pending_receives": amount(),
    }
    if rng.random() < 0.35:
        inventory |= {
            "depot_qty": amount(),
            "depot_transit_days": rng.choice((0, 1, 2, 3, 4, 5, 6, 10, 13)),
        }
    elif rng.random() < 0.1:
        inventory |= {"depot_qty": 0, "depot_transit_days": None}
    return inventory


def _ftr(rng: Random, qty: int, brokers: int, stuck: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dtc": dtc(rng, brokers),
        "qty": qty,
        "age_days": rng.randint(5, 9) if stuck else rng.randint(0, 12),
        "settlement_type": rng.choice(("RVP", "DVP", "FOP")),
        "settlement_date": rng.choice(SETTLEMENT_DATES),
        "cp_fail_rate_pct": rng.choice(CP_RATES),
        "partial_delivery_history": False if stuck else rng.random() < 0.3,
    }
    if rng.random() < 0.25:
        row["chase_attempts"] = rng.randint(2, 4) if stuck else rng.choice((None, 0, 1, 2, 3))
    return row


def ftrs(rng: Random, owed: int) -> list[dict[str, Any]]:
    """0 to 60 FTRs; equal quantities, brokers that occur twice, and stuck ones (gridlock) are
    frequent.
    """
    count = rng.choice((0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 8, 9, 10, 11, 12, 15, 20, 28, 60))
    brokers, stuck = rng.choice((2, 3, 4, 6, 40, 9_999)), rng.random() < 0.45
    typical = max(1, owed // rng.choice((1, 2, max(1, count), 2 * max(1, count), 30, 100)))
    spread = rng.choice(((100, 100), (100, 125), (80, 100), (100, 126), (10, 300)))
    sizes = [
        max(1, typical * rng.choice((*spread, rng.randint(*spread))) // 100) for _ in range(count)
    ]
    rows = [_ftr(rng, size, brokers, stuck) for size in sizes]
    if stuck and rows and rng.random() < 0.15:
        rng.choice(rows)[rng.choice(("age_days", "chase_attempts"))] = rng.choice((1, 4))
    return rows


def related_fails(rng: Random) -> list[dict[str, Any]]:
    """0 to 4 other fails in the CUSIP."""
    return [
        {
            "category": rng.choice(RELATED),
            "dtc": dtc(rng, rng.choice((3, 9_999))),
            "qty": shares(rng),
            "side": rng.choice(("Buy", "Sell")),
            "age_days": rng.randint(0, 12),
        }
        for _ in range(rng.choice((0, 0, 1, 2, 4)))
    ]


def _optional_fields(rng: Random, qty: int) -> dict[str, Any]:
    fields: dict[str, tuple[float, Any]] = {
        "cns_position": (0.7, rng.choice((None, -qty, -1, 0, 1, qty))),
        "reg_sho_status": (0.25, rng.choice((None, *RATE_STATES))),
        "security_fail_rate_pct_adv": (0.5, rng.choice(SECURITY_RATES)),
        "cns_eligible": (0.5, rng.random() < 0.6),
        "dk_reason": (0.1, rng.choice((None, "quantity mismatch", "price | differs"))),
        "corporate_action": (0.15, rng.choice((None, *EVENTS))),
        "awaiting_street_receipt": (0.4, rng.random() < 0.6),
        "notes": (0.1, rng.choice((None, "", "chased twice, no answer"))),
    }
    return {name: value for name, (chance, value) in fields.items() if rng.random() < chance}


SIDES = {"FTD": ("Sell",), "FTR": ("Buy",), "N_A": ("Buy", "Sell")}
"""The sides that a record of each direction can have (domain, 9)."""


def random_fail(rng: Random, fail_id: str) -> dict[str, Any]:
    """One fail record; every optional field is sometimes absent, sometimes null."""
    qty = shares(rng)
    direction = rng.choice(tuple(SIDES))
    fail: dict[str, Any] = {
        "fail_id": fail_id,
        "cusip": cusip(rng),
        "side": rng.choice(SIDES[direction]),
        "qty": qty,
        "counterparty": dtc(rng),
        "age_days": rng.choice((*range(21), 0, 3, 4, 5, 6, 7, 9, 10, 12, 13, 14)),
        "market_value": rng.choice(AMOUNTS_IN_WORDS) if rng.random() < 0.2 else rng.choice(AMOUNTS),
        "cns_direction": direction,
        "reg_sho_threshold": rng.random() < 0.35,
        "inventory_coverage_pct": rng.choice(COVERAGES),
        "cp_fail_rate_pct": rng.choice(CP_RATES),
    }
    fail |= _optional_fields(rng, qty)
    if rng.random() < 0.75:
        fail |= {
            "inventory": stock(rng, qty),
            "ftrs": ftrs(rng, qty),
            "related_fails": related_fails(rng),
        }
    return fail


def random_case(rng: Random, fail_id: str) -> dict[str, Any]:
    """One card-2 input whose triage was handed over from a fail, or is any mixture of its
    fields.
    """
    fail = random_fail(rng, fail_id) | {"cns_position": None, "dk_reason": None}
    while fail["cns_direction"] != "FTD" and fail["side"] != "Sell":
        fail = random_fail(rng, fail_id) | {"cns_position": None, "dk_reason": None}
    given = handoff(fail)
    points = {name: float(value) for name, value in given["score_components"].items()}
    case = {
        "fail_id": fail_id,
        "triage": (
            given
            | {
                "score_components": points,
                "priority_score": float(given["priority_score"]),
                "reason": "given",
            }
        ),
        "cusip": fail["cusip"],
        "ftd_qty": fail["qty"],
        "inventory": stock(rng, fail["qty"]),
        "ftrs": ftrs(rng, fail["qty"]),
        "related_fails": related_fails(rng),
    }
    if fail.get("corporate_action") is not None:
        case["corporate_action"] = fail["corporate_action"]
    if rng.random() < 0.5:
        case["age_days"] = fail["age_days"]
    else:
        _without_age(rng, case)
    return case


def _without_age(rng: Random, case: dict[str, Any]) -> None:
    """No `age_days`: sometimes null, with other age points, another deadline, or none."""
    triage = case["triage"]
    if rng.random() < 0.3:
        case["age_days"] = None
    if rng.random() < 0.3:
        triage["score_components"]["age"] = rng.choice(LAST_DAYS_POINTS)
    if rng.random() < 0.3:
        triage["deadline"] = rng.choice(("T+6", "T+13", None))
