"""The headline once more, from section 10 of the domain specification, without the product's code.

A table over what the answer of a line says; `expected` gives action and quantity, `expected_by` the
day, `contradictions` what a sentence may not say. `clock` is the block of a line, or None.
"""

from __future__ import annotations

import re
from typing import Any

IN_HAND = ("APPLY_BOX", "OFFSET_FTR")
RECEIPTS = ("CHASE_FTR", "NET_GRIDLOCK")


def _sum(plan: dict[str, Any], *actions: str) -> int:
    return sum(step["qty"] for step in plan["resolution_steps"] if step["action"] in actions)


def _close_outs(clock: Any) -> list[list[str]]:
    """The remedies of each duty of Regulation SHO that cannot wait."""
    return [
        list(each["remedy"])
        for each in (clock or {}).get("obligations", ())
        if each["kind"] == "duty"
        and each["state"] in ("breached", "due_today")
        and each["rule"][:4] == "SHO-"
    ]


def _has_our_right(clock: dict[str, Any]) -> bool:
    today = clock["as_of"][:10]
    days = [each["earliest_notice_date"] for each in clock["rights"] if each["holder"] == "ours"]
    return any(day is not None and day <= today for day in days)


def expected(
    fail: dict[str, Any], triage: dict[str, Any], plan: Any, clock: Any = None
) -> tuple[str, int]:
    """Return action and quantity."""
    owed = fail["qty"]
    if triage["lifecycle_state"] == "OFFSET":
        return "NO_ACTION", owed
    if triage["category"] == "DK_DISPUTE":
        return "SEND_DK_NOTICE", owed
    if plan is None:
        if triage["cns_direction"] == "FTR":
            notice = (
                triage["action"] == "INITIATE_BUYIN" if clock is None else _has_our_right(clock)
            )
            return ("SEND_BUYIN_NOTICE" if notice else "CHASE"), owed
        return triage["action"], owed
    if _sum(plan, "SPO_SETTLEMENT"):
        return "SETTLE_IN_CASH", owed
    hand = _sum(plan, *IN_HAND)
    if hand == owed:
        return "DELIVER", owed
    if hand > 0:
        return "DELIVER_PART", hand
    if ["purchase"] in _close_outs(clock):
        return "BUY", owed
    if "REG_SHO_CLOSEOUT" in triage["flags"] or _close_outs(clock):
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


def expected_by(fail: dict[str, Any], triage: dict[str, Any], clock: Any) -> tuple[Any, str]:
    """Return `by` as a plain object, and how its sentence ends."""
    if triage["lifecycle_state"] == "OFFSET" or triage["category"] == "DK_DISPUTE":
        return None, "."
    if clock is not None and clock["binding_due"] is not None:
        day, rule = clock["binding_due"], clock["binding"]
        word = "overdue since" if day < clock["as_of"][:10] else "by"
        return {"date": day, "basis": "clock", "rule": rule}, f", {word} {day} ({rule})"
    rule = triage["deadline"]
    if rule is None:
        return None, "."
    day = None if clock is None else clock["card"]["date"]
    if day is None:
        word = "overdue since" if fail["age_days"] > int(rule[2:]) else "by"
        return {"date": None, "basis": "card", "rule": rule}, f", {word} {rule} of the card"
    word = "overdue since" if day < clock["as_of"][:10] else "by"
    return {"date": day, "basis": "card", "rule": rule}, f", {word} {day} ({rule} of the card)"


def _delivered(fail: dict[str, Any]) -> str:
    """The security that moves: the new one of an event whose old shares do not deliver."""
    event = fail.get("corporate_action") or {}
    return (not event.get("pre_event_deliverable") and event.get("new_cusip")) or fail["cusip"]


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
    if plan is not None and not re.search(rf"of {re.escape(_delivered(fail))}\b", text):
        wrong.append(f"not {_delivered(fail)}")
    return wrong + [name for name in re.findall(r"DTC-\d{4}", text) if name not in names]
