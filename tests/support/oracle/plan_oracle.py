"""Stage 2 by the domain spec (sections 4 to 6): dict in, dict out, whole numbers and fractions.

Texts left out.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.support.oracle.triage_oracle import exact, half_up, owes_delivery, triage

RECALL_NOTICE_DAYS = 3
STEPS_IN_FULL = 10
LAST_DAY_OF_AGE_POINTS = {
    Fraction(3): 3,
    Fraction(9): 6,
    Fraction(18): 9,
    Fraction(24): 12,
    Fraction(30): 13,
}

Rows = list[dict[str, Any]]


def case_of(fail: dict[str, Any]) -> dict[str, Any] | None:
    """Return the input of stage 2 for a fail record; None if stage 2 does not run (section 6)."""
    answer = triage(fail)
    nothing_owed = not owes_delivery(fail) or answer["lifecycle_state"] == "OFFSET"
    if nothing_owed or fail.get("inventory") is None or answer["category"] == "DK_DISPUTE":
        return None
    return {
        "triage": handoff(fail),
        "ftd_qty": fail["qty"],
        "inventory": fail["inventory"],
        "ftrs": fail.get("ftrs") or [],
        "related_fails": fail.get("related_fails") or [],
        "age_days": fail["age_days"],
        "corporate_action": fail.get("corporate_action"),
    }


def handoff(fail: dict[str, Any]) -> dict[str, Any]:
    """Card 1's triage as card 2 wants it (section 4), without `reason`."""
    answer = triage(fail)
    factors, flags = answer["score_components"], answer["flags"]
    state = {"BUYIN": "ESCALATED", "OFFSET": "OPEN"}.get(
        answer["lifecycle_state"], answer["lifecycle_state"]
    )
    if state == "OPEN" and "AGED_FAIL" in flags:
        state = "AGED"
    elif answer["lifecycle_state"] == "OPEN" and fail["age_days"] <= 1:
        state = "NEW"
    kept = [flag.replace("CLOSEOUT", "CLOSE_OUT") for flag in flags if flag != "PROBLEM_CP"]
    same = ("category", "cns_direction", "priority_score", "priority_tier", "action", "deadline")
    return {key: answer[key] for key in same} | {
        "lifecycle_state": state,
        "score_components": {
            "age": Fraction(factors["age_factor"] * 30, 100),
            "value": Fraction(factors["value_factor"] * 25, 100),
            "regulatory": Fraction(factors["regulatory_factor"] * 35, 100),
            "counterparty": Fraction(factors["cp_history_factor"] * 10, 100),
        },
        "escalation_level": (
            {"NONE": "L1", "L4": "L3"}.get(answer["escalation_level"], answer["escalation_level"])
        ),
        "flags": kept + (["LARGE_POSITION"] if fail["qty"] >= 50_000 else []),
    }


def age_of(case: dict[str, Any]) -> int:
    """`age_days`, else the last day of the band that `score_components.age` implies."""
    if case.get("age_days") is not None:
        return int(case["age_days"])
    return LAST_DAY_OF_AGE_POINTS[exact(case["triage"]["score_components"]["age"])]


def days_left(case: dict[str, Any]) -> int | None:
    """The deadline's T+N minus the age; None without a deadline."""
    deadline = case["triage"].get("deadline")
    return None if deadline is None else int(deadline.removeprefix("T+")) - age_of(case)


def ranked(ftrs: Rows) -> Rows:
    """Age descending, then quantity descending, then dtc ascending."""
    return sorted(ftrs, key=lambda ftr: (-ftr["age_days"], -ftr["qty"], ftr["dtc"]))


def nets_at_cns(ftr: dict[str, Any], age: int) -> bool:
    """OFFSET_FTR: settles T+0, or is older than the fail by two days or more and settles by the
    next day.
    """
    settles = int(ftr["settlement_date"].removeprefix("T+"))
    return settles == 0 or (ftr["age_days"] - age >= 2 and settles <= 1)


def gridlock_of(ftrs: Rows, related: Rows) -> tuple[str, list[str]]:
    """`none`, `partial` or `full`, and the parties, by signals S1 to S4."""
    if not ftrs or len({row["dtc"] for row in [*ftrs, *related]}) < 3:
        return "none", []
    for ftr in ftrs:
        attempts = ftr.get("chase_attempts")
        stuck = attempts >= 2 if attempts is not None else ftr["age_days"] >= 5
        if not stuck or ftr["partial_delivery_history"]:
            return "none", []
    owed: dict[str, int] = {}
    for ftr in ftrs:
        owed[ftr["dtc"]] = owed.get(ftr["dtc"], 0) + ftr["qty"]
    if 4 * max(owed.values()) <= 5 * min(owed.values()):
        return "full", sorted(owed)
    return "partial", [min(dtc for dtc in owed if owed[dtc] == max(owed.values()))]


class Waterfall:
    """The steps so far and how many of the F shares they cover."""

    def __init__(self, owed: int) -> None:
        self.owed = owed
        self.covered = 0
        self.steps: Rows = []

    @property
    def remaining(self) -> int:
        return self.owed - self.covered

    def add(
        self,
        action: str,
        qty: int,
        dtc: str | None = None,
        kind: str | None = None,
        date: str | None = None,
    ) -> None:
        """One more step; coverage and remaining follow."""
        self.covered += qty
        self.steps.append(
            {
                "step": len(self.steps) + 1,
                "action": action,
                "dtc": dtc,
                "qty": qty,
                "settlement_type": kind,
                "settlement_date": date,
                "coverage_after_step_pct": half_up(Fraction(100 * self.covered, self.owed), 2),
                "remaining_short": self.remaining,
            }
        )


def chase(case: dict[str, Any], fall: Waterfall, gridlock: str) -> int:
    """The FTR steps in rank order; returns how many FTRs the aggregated step holds."""
    chased = "NET_GRIDLOCK" if gridlock == "full" else "CHASE_FTR"
    pressed = case["triage"]["category"] == "B2B_PENDING" and chased == "CHASE_FTR"
    age, rest, rest_qty = age_of(case), [], 0
    for place, ftr in enumerate(ranked(case.get("ftrs") or [])):
        take = min(ftr["qty"], fall.remaining - rest_qty)
        if take == 0:
            break
        if place >= STEPS_IN_FULL:
            rest.append(ftr)
            rest_qty += take
            continue
        offset = nets_at_cns(ftr, age)
        action = "OFFSET_FTR" if offset else chased
        fall.add(action, take, ftr["dtc"], ftr["settlement_type"], ftr["settlement_date"])
        if pressed and not offset and ftr["age_days"] >= 5:
            fall.add("BUY_IN_NOTICE", 0, ftr["dtc"])
    if rest:
        fall.add(chased, rest_qty)
        if pressed and any(ftr["age_days"] >= 5 for ftr in rest):
            fall.add("BUY_IN_NOTICE", 0)
    return len(rest)


def own_stock(case: dict[str, Any], fall: Waterfall, left: int | None) -> None:
    """APPLY_BOX, PARTIAL_DELIVER when time is short, DEPOT_MOVEMENT when it arrives before the
    deadline.
    """
    stock = case["inventory"]
    if min(stock["box_qty"], fall.remaining) > 0:
        fall.add("APPLY_BOX", min(stock["box_qty"], fall.remaining))
    if left is not None and left <= 3 and 0 < fall.covered < fall.owed:
        fall.add("PARTIAL_DELIVER", 0)
    depot, transit = stock.get("depot_qty") or 0, stock.get("depot_transit_days")
    in_time = left is not None and transit is not None and transit < left
    if in_time and min(depot, fall.remaining) > 0:
        fall.add("DEPOT_MOVEMENT", min(depot, fall.remaining))


def fallbacks(stock: dict[str, Any], remaining: int, left: int | None) -> list[tuple[str, int]]:
    """Recall, then borrow; in parallel against the same shares when three days or fewer are left
    and both are available.
    """
    recall, borrow = stock["recall_outstanding"], stock["stock_loan_available"]
    from_recall = min(recall, remaining)
    parallel = left is not None and left <= RECALL_NOTICE_DAYS and recall > 0 and borrow > 0
    from_borrow = min(borrow, remaining if parallel else remaining - from_recall)
    sized = [("INITIATE_RECALL", from_recall), ("SOURCE_BORROW", from_borrow)]
    return [(action, qty) for action, qty in sized if qty > 0] + [("NONE", 0), ("NONE", 0)]


def settles_in_cash(case: dict[str, Any]) -> bool:
    """CA_EVENT option C: neither the old shares nor a new CUSIP can be delivered."""
    event = case.get("corporate_action") or {}
    is_event = case["triage"]["category"] == "CA_EVENT"
    return (
        is_event
        and event.get("pre_event_deliverable") is not True
        and event.get("new_cusip") is None
    )


def resolution(case: dict[str, Any]) -> dict[str, Any]:
    """Card 2's output for one input, without texts; `escalation_reason` as whether there is one."""
    owed, left = case["ftd_qty"], days_left(case)
    gridlock, parties = gridlock_of(case.get("ftrs") or [], case.get("related_fails") or [])
    fall, aggregated, extra = Waterfall(owed), 0, [("NONE", 0), ("NONE", 0)]
    if settles_in_cash(case):
        fall.add("SPO_SETTLEMENT", owed)
    else:
        aggregated = chase(case, fall, gridlock)
        own_stock(case, fall, left)
        extra = fallbacks(case["inventory"], fall.remaining, left)
    (first, first_qty), (second, second_qty) = extra[:2]
    total = fall.covered + first_qty + second_qty
    residual = max(0, owed - total)
    return {
        "resolution_steps": fall.steps,
        "additional_ftrs_chased": aggregated,
        "fallback_strategy": first,
        "fallback_qty": first_qty,
        "secondary_fallback": second,
        "secondary_fallback_qty": second_qty,
        "total_coverable": total,
        "residual_short": residual,
        "residual_action": "ESCALATE" if residual > 0 else "NONE",
        "gridlock_detected": gridlock != "none",
        "gridlock_parties": parties,
        "escalation_required": residual > 0,
        "escalation_reason": residual > 0,
    }
