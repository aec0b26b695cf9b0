"""The headline once more, from section 10 of the domain specification, without the product's code.

A table over what the answer of a line says; `expected` gives action and quantity, `contradictions`
what a sentence may not say.
"""

from __future__ import annotations

import re
from typing import Any

IN_HAND = ("APPLY_BOX", "OFFSET_FTR")
RECEIPTS = ("CHASE_FTR", "NET_GRIDLOCK")


def _sum(plan: dict[str, Any], *actions: str) -> int:
    return sum(step["qty"] for step in plan["resolution_steps"] if step["action"] in actions)


def expected(fail: dict[str, Any], triage: dict[str, Any], plan: Any) -> tuple[str, int]:
    """Return action and quantity for a line without a clock."""
    owed = fail["qty"]
    if triage["lifecycle_state"] == "OFFSET":
        return "NO_ACTION", owed
    if triage["category"] == "DK_DISPUTE":
        return "SEND_DK_NOTICE", owed
    if plan is None:
        if triage["cns_direction"] == "FTR":
            notice = triage["action"] == "INITIATE_BUYIN"
            return ("SEND_BUYIN_NOTICE" if notice else "CHASE"), owed
        return triage["action"], owed
    if _sum(plan, "SPO_SETTLEMENT"):
        return "SETTLE_IN_CASH", owed
    hand = _sum(plan, *IN_HAND)
    if hand == owed:
        return "DELIVER", owed
    if hand > 0:
        return "DELIVER_PART", hand
    if "REG_SHO_CLOSEOUT" in triage["flags"]:
        return "BORROW_OR_BUY", owed
    if _sum(plan, "NET_GRIDLOCK"):
        return "PROPOSE_NET_SETTLEMENT", _sum(plan, "NET_GRIDLOCK")
    if _sum(plan, "CHASE_FTR") == owed:
        return "CHASE", owed
    if plan["residual_short"]:
        return "ESCALATE", plan["residual_short"]
    if _sum(plan, "DEPOT_MOVEMENT"):
        return "MOVE_DEPOT", _sum(plan, "DEPOT_MOVEMENT")
    action = {"INITIATE_RECALL": "RECALL", "SOURCE_BORROW": "BORROW"}[plan["fallback_strategy"]]
    return action, plan["fallback_qty"]


def contradictions(text: str, fail: dict[str, Any], plan: Any) -> list[str]:
    """List the numbers of shares and the participants of a sentence that the line does not bear."""
    steps = [] if plan is None else plan["resolution_steps"]
    numbers = {fail["qty"]}
    names = {fail["counterparty"]}
    if plan is not None:
        numbers |= {plan["fallback_qty"], plan["secondary_fallback_qty"], plan["residual_short"]}
        numbers |= {_sum(plan, *IN_HAND), _sum(plan, *RECEIPTS), _sum(plan, "DEPOT_MOVEMENT")}
        numbers.add(fail["qty"] - _sum(plan, *IN_HAND))
        names |= {step["dtc"] for step in steps} | {*plan["gridlock_parties"]}
    said = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) shares?", text)]
    wrong = [f"{number} shares" for number in said if number not in numbers]
    return wrong + [name for name in re.findall(r"DTC-\d{4}", text) if name not in names]
