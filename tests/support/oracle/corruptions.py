"""Good answers with exactly one field made wrong, and what can be told wrong about an answer
without its input.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from tests.support.oracle.triage_oracle import FLAGS, REGULATORY, TIERS, exact, half_up, triage

PLAN_ACTIONS = (
    "CHASE_FTR", "OFFSET_FTR", "APPLY_BOX", "INITIATE_RECALL", "SOURCE_BORROW", "PARTIAL_DELIVER",
    "DEPOT_MOVEMENT",
    "NET_GRIDLOCK", "BUY_IN_NOTICE", "SPO_SETTLEMENT", "ESCALATE",
)  # fmt: skip
ACTIONS = ("LOCATE_AND_DELIVER", "SEND_DK_NOTICE", "MONITOR_PENDING_RECEIPT", "ESCALATE",
"CONTACT_COUNTERPARTY",
           "INITIATE_BUYIN", "NO_ACTION")  # fmt: skip
WORDS: dict[str, tuple[Any, ...]] = {
    "category": ("CNS_FAIL", "DVP_FAIL", "B2B_PENDING", "CA_EVENT", "DK_DISPUTE", "CORRESPONDENT"),
    "cns_direction": ("FTD", "FTR", "N_A"),
    "lifecycle_state": ("OPEN", "ESCALATED", "BUYIN", "OFFSET", "AGED"),
    "priority_tier": (*TIERS, "low"),
    "escalation_level": ("NONE", "L1", "L2", "L3", "L4", "L5"),
    "deadline": (None, "T+6", "T+13", "T+7", "T+14", "T13", "T+013"),
    "fallback_strategy": ("NONE", "INITIATE_RECALL", "SOURCE_BORROW", "APPLY_BOX"),
    "secondary_fallback": ("NONE", "INITIATE_RECALL", "SOURCE_BORROW", "ESCALATE"),
    "residual_action": ("NONE", "ESCALATE", "CHASE_FTR"),
    "settlement_type": (None, "RVP", "DVP", "FOP", "CASH"),
    "settlement_date": (None, "T+0", "T+1", "T+2", "T+9", "tomorrow"),
    "dtc": (None, "DTC-4321", "DTC-1"),
}
STEP_SIZES = {"priority_score": 0.1, "base_score": 0.5, "inventory_modifier": 0.05,
"concentration_modifier": 0.01,
              "coverage_after_step_pct": 0.01}  # fmt: skip
MEMBERS: dict[str, tuple[float, ...]] = {
    "age_factor": (10, 30, 60, 80, 100),
    "value_factor": (10, 30, 50, 70, 100),
    "regulatory_factor": (0, 50, 80, 100),
    "cp_history_factor": (10, 30, 60, 100),
    "inventory_modifier": (0.5, 0.65, 0.8, 0.9, 1),
    "concentration_modifier": (1, 1.15, 1.2, 1.3225, 1.38, 1.5),
}
TEXTS = {"reason", "rationale", "narrative"}


class Corruption(NamedTuple):
    """`answer` is good but for the field at `path` (for a missing or unknown field, or a step too
    many: its parent will do).
    """

    what: str
    path: str
    answer: dict[str, Any]
    parent_will_do: bool = False


def corruptions(good: dict[str, Any]) -> Iterator[Corruption]:
    """Every single-field corruption of a triage or a resolution."""
    for path in _pointers(good):
        for what, value in _wrong_values(path, good):
            yield Corruption(f"{what}: {value!r}", path, _with(good, path, value))
        yield Corruption("missing", path, _with(good, path, None, remove=True), parent_will_do=True)
    for path in [
        "",
        *(path for path in _pointers(good, objects=True) if isinstance(_at(good, path), dict)),
    ]:
        yield Corruption(
            "unknown field",
            f"{path}/comment",
            _with(good, f"{path}/comment", "x"),
            parent_will_do=True,
        )
    if len(good.get("resolution_steps", ())) > 1:
        yield from _wrong_order(good)


def _wrong_order(good: dict[str, Any]) -> Iterator[Corruption]:
    steps = good["resolution_steps"]
    for what, rows in (
        ("last step gone", steps[:-1]),
        ("first step gone", steps[1:]),
        ("last step twice", [*steps, steps[-1]]),
    ):
        yield Corruption(
            what,
            "/resolution_steps",
            good | {"resolution_steps": copy.deepcopy(rows)},
            parent_will_do=True,
        )


def _pointers(node: Any, path: str = "", objects: bool = False) -> Iterator[str]:
    """Each field of each object, by JSON pointer; `objects` for the items of lists of objects
    instead of for all fields.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            if not objects or isinstance(value, dict):
                yield f"{path}/{key}"
            yield from _pointers(value, f"{path}/{key}", objects)
    elif isinstance(node, list):
        for place, item in enumerate(node):
            if objects and isinstance(item, dict):
                yield f"{path}/{place}"
            yield from _pointers(item, f"{path}/{place}", objects)


def _at(node: Any, path: str) -> Any:
    for key in path.split("/")[1:]:
        node = node[int(key)] if isinstance(node, list) else node[key]
    return node


def _with(good: dict[str, Any], path: str, value: Any, remove: bool = False) -> dict[str, Any]:
    answer = copy.deepcopy(good)
    parent, _, key = path.rpartition("/")
    holder = _at(answer, parent)
    if remove:
        del holder[key]
    else:
        holder[key] = value
    return answer


def _wrong_values(path: str, good: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    name, value = path.rpartition("/")[2], _at(good, path)
    if name == "action":
        words: tuple[Any, ...] = PLAN_ACTIONS if "resolution_steps" in path else ACTIONS
        yield from (("other word", word) for word in (*words, "HOPE") if word != value)
    elif name in WORDS:
        yield from (("other word", word) for word in WORDS[name] if word != value)
    elif name in TEXTS:
        yield "no text", ""
    elif name == "escalation_reason":
        yield "reason turned about", "" if value else "because"
    elif isinstance(value, bool):
        yield "flipped", not value
    elif isinstance(value, int | float):
        size = STEP_SIZES.get(name, 1)
        yield from (("off", round(value + off, 4)) for off in (size, -size, 10 * size, 0.5))
        yield from (("other member", member) for member in MEMBERS.get(name, ()) if member != value)
    elif name in ("flags", "gridlock_parties"):
        yield from _wrong_lists(value, FLAGS if name == "flags" else ("DTC-0000", "DTC-9999"))
    yield from (
        ("wrong type", wrong)
        for wrong in _wrong_types(value, nullable=name in ("deadline", "dtc", *WORDS))
    )


def _wrong_lists(value: list[str], members: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    for member in value:
        yield "dropped", [other for other in value if other != member]
        yield "twice", sorted([*value, member])
    for member in members:
        if member not in value:
            yield (
                "added",
                sorted(
                    [*value, member],
                    key=lambda word: members.index(word) if word in members else -1,
                ),
            )
    if len(value) > 1:
        yield "reordered", value[::-1]
    yield "unknown member", [*value, "NO_SUCH"]


def _wrong_types(value: Any, nullable: bool) -> Iterator[Any]:
    if not nullable:
        yield None
    if isinstance(value, str):
        yield from (7, [value])
    elif isinstance(value, bool):
        yield from ("true" if value else "false", int(value))
    elif isinstance(value, int | float):
        yield from (str(value), True, [value])
    elif isinstance(value, list):
        yield from ({}, "none", [7])
    elif isinstance(value, dict):
        yield from ([], "none")
    else:
        yield 7


AGES = {10: (0, 3), 30: (4, 6), 60: (7, 9), 80: (10, 12), 100: (13,)}
AMOUNTS = {10: 0, 30: 100_000, 50: 500_000, 70: 1_000_000, 100: 6_000_000}
RATES = {10: 0, 30: 1, 60: 3, 100: 6}
COVERAGES = {
    Fraction(1): 0,
    Fraction(9, 10): 25,
    Fraction(8, 10): 50,
    Fraction(65, 100): 75,
    Fraction(1, 2): 100,
}
CATEGORY_FIELDS: dict[str, dict[str, Any]] = {
    "CNS_FAIL": {},
    "DVP_FAIL": {},
    "B2B_PENDING": {"awaiting_street_receipt": True},
    "CA_EVENT": {"corporate_action": {}},
    "DK_DISPUTE": {"dk_reason": "unknown trade"},
}


def some_record_gives(answer: dict[str, Any]) -> bool:
    """Whether any fail record at all has this (well-formed) triage by the oracle: what a checker
    without the record can know.
    """
    parts = {name: exact(value) for name, value in answer["score_components"].items()}
    scored = {key: value for key, value in answer.items() if key != "reason"}
    scored |= {"score_components": parts, "priority_score": exact(answer["priority_score"])}
    factors = (
        parts["age_factor"],
        parts["value_factor"],
        parts["cp_history_factor"],
        parts["inventory_modifier"],
    )
    tables: tuple[list[Any], ...] = (list(AGES), list(AMOUNTS), list(RATES), list(COVERAGES))
    if any(factor not in table for factor, table in zip(factors, tables, strict=True)):
        return False
    states = [
        None,
        *(state for state, factor in REGULATORY.items() if factor == parts["regulatory_factor"]),
    ]
    known = {
        "market_value": AMOUNTS[int(parts["value_factor"])],
        "cp_fail_rate_pct": RATES[int(parts["cp_history_factor"])],
        "inventory_coverage_pct": COVERAGES[parts["inventory_modifier"]],
        "cns_direction": answer["cns_direction"],
        "reg_sho_threshold": "THRESHOLD_SECURITY" in answer["flags"],
    }
    ages = AGES[int(parts["age_factor"])]
    return scored in _triages_of(answer["category"], ages, tuple(states), tuple(known.items()))


@cache
def _triages_of(
    category: str,
    ages: tuple[int, ...],
    states: tuple[str | None, ...],
    known: tuple[tuple[str, Any], ...],
) -> list[dict[str, Any]]:
    """The triages of all records with these values. Most corruptions of an answer need the same."""
    free = {
        "age_days": ages,
        "side": ("Buy", "Sell"),
        "reg_sho_status": states,
        "cns_position": (None, -1, 0, 1),
        "cns_eligible": (True, False),
        "security_fail_rate_pct_adv": (None, 3),
    }
    record = dict(known) | CATEGORY_FIELDS[category]
    return [
        triage(record | dict(zip(free, values, strict=True))) for values in product(*free.values())
    ]


def some_input_may_give(plan: dict[str, Any]) -> bool:
    """Return True if a well-formed plan is valid under section 6 for any number of shares owed."""
    covered, candidates = 0, set()
    for step in plan["resolution_steps"]:
        covered += step["qty"]
        candidates.add(step["remaining_short"] + covered)
    if plan["residual_short"] > 0:
        candidates.add(plan["residual_short"] + plan["total_coverable"])
    return any(_holds(plan, owed) for owed in candidates or {plan["total_coverable"]})


def _holds(plan: dict[str, Any], owed: int) -> bool:
    covered = 0
    for place, step in enumerate(plan["resolution_steps"], start=1):
        covered += step["qty"]
        coverage = half_up(Fraction(100 * covered, owed), 2) if owed else None
        stated = (step["step"], step["remaining_short"], exact(step["coverage_after_step_pct"]))
        if stated != (place, owed - covered, coverage):
            return False
    pairs = (
        ("fallback_strategy", "fallback_qty"),
        ("secondary_fallback", "secondary_fallback_qty"),
    )
    total, residual = (
        covered + plan["fallback_qty"] + plan["secondary_fallback_qty"],
        plan["residual_short"],
    )
    return (
        all((plan[strategy] == "NONE") == (plan[qty] == 0) for strategy, qty in pairs)
        and plan["total_coverable"] == total
        and residual == max(0, owed - total)
        and plan["residual_action"] == ("ESCALATE" if residual else "NONE")
        and plan["escalation_required"] is (residual > 0)
        and (plan["escalation_reason"] != "") is (residual > 0)
        and plan["gridlock_detected"] is bool(plan["gridlock_parties"])
    )
