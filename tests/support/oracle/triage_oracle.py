"""Stage 1 by the domain spec (sections 2 and 3): dict in, dict out, numbers as fractions.

Every field but `reason`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

FLAGS = ("THRESHOLD_SECURITY", "REG_SHO_CLOSEOUT", "PROBLEM_CP", "HIGH_VALUE", "AGED_FAIL")
TIERS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
REGULATORY = {"NONE": 0, "APPROACHING": 50, "THRESHOLD": 80, "CLOSE_OUT": 100}
SCALE = {"": 1, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}


def exact(number: Any) -> Fraction:
    """A JSON number as the fraction that its decimal text names, or a USD amount in words: $2.1M,
    $450K, $1,250,000.
    """
    words = re.fullmatch(r"\s*\$?\s*([\d,]+(?:\.\d+)?)\s*([KMBkmb]?)\s*", str(number))
    if words is None:
        return Fraction(str(number))
    return Fraction(words[1].replace(",", "")) * SCALE[words[2].upper()]


def half_up(number: Fraction, decimals: int) -> Fraction:
    """`number` (>= 0) rounded half-up to `decimals` places."""
    return Fraction((number * 10**decimals + Fraction(1, 2)).__floor__(), 10**decimals)


def age_factor(days: int) -> int:
    """0-3, 4-6, 7-9, 10-12, 13+."""
    return 10 if days <= 3 else 30 if days <= 6 else 60 if days <= 9 else 80 if days <= 12 else 100


def value_factor(usd: Fraction) -> int:
    """< 100K, [100K, 500K), [500K, 1M), [1M, 5M], > 5M."""
    if usd < 100_000:
        return 10
    if usd < 500_000:
        return 30
    if usd < 1_000_000:
        return 50
    return 70 if usd <= 5_000_000 else 100


def counterparty_factor(rate: Fraction) -> int:
    """< 1 %, [1, 3), [3, 5], > 5 %."""
    return 10 if rate < 1 else 30 if rate < 3 else 60 if rate <= 5 else 100


def inventory_modifier(coverage: Fraction) -> Fraction:
    """>= 100 %, [75, 100), [50, 75), [25, 50), < 25 %."""
    for bound, hundredths in ((100, 50), (75, 65), (50, 80), (25, 90)):
        if coverage >= bound:
            return Fraction(hundredths, 100)
    return Fraction(1)


def owes_delivery(fail: dict[str, Any]) -> bool:
    """A delivery obligation is CNS FTD, or side Sell."""
    return bool(fail["cns_direction"] == "FTD" or fail["side"] == "Sell")


def regulatory_state(fail: dict[str, Any]) -> str:
    """`reg_sho_status` wins; else only a delivery obligation has a state."""
    if fail.get("reg_sho_status") is not None:
        return str(fail["reg_sho_status"])
    if not owes_delivery(fail):
        return "NONE"
    if fail["age_days"] >= 13:
        return "CLOSE_OUT"
    if fail["reg_sho_threshold"]:
        return "THRESHOLD"
    return "APPROACHING" if 10 <= fail["age_days"] <= 12 else "NONE"


def concentration_modifier(fail: dict[str, Any]) -> Fraction:
    """Product of all that apply, capped at 1.50."""
    product = Fraction(1)
    if fail["reg_sho_threshold"]:
        product *= Fraction(120, 100)
    if fail.get("cns_eligible", True) is False:
        product *= Fraction(115, 100)
    of_volume = fail.get("security_fail_rate_pct_adv")
    if of_volume is not None and exact(of_volume) > 2:
        product *= Fraction(115, 100)
    if exact(fail["cp_fail_rate_pct"]) > 5:
        product *= Fraction(115, 100)
    return min(product, Fraction(150, 100))


def category_of(fail: dict[str, Any]) -> str:
    """First match of section 3."""
    if fail.get("dk_reason") is not None:
        return "DK_DISPUTE"
    if fail.get("corporate_action") is not None:
        return "CA_EVENT"
    if fail["cns_direction"] in ("FTD", "FTR"):
        return "CNS_FAIL"
    return "B2B_PENDING" if fail.get("awaiting_street_receipt") else "DVP_FAIL"


def components_of(fail: dict[str, Any]) -> dict[str, Any]:
    """Factors, base score and modifiers of section 2."""
    age, value = age_factor(fail["age_days"]), value_factor(exact(fail["market_value"]))
    regulatory, counterparty = (
        REGULATORY[regulatory_state(fail)],
        counterparty_factor(exact(fail["cp_fail_rate_pct"])),
    )
    return {
        "age_factor": age,
        "value_factor": value,
        "regulatory_factor": regulatory,
        "cp_history_factor": counterparty,
        "base_score": Fraction(age * 30 + value * 25 + regulatory * 35 + counterparty * 10, 100),
        "inventory_modifier": inventory_modifier(exact(fail["inventory_coverage_pct"])),
        "concentration_modifier": concentration_modifier(fail),
    }


def score_of(components: dict[str, Any]) -> Fraction:
    """`min(100, base * inventory_modifier * concentration_modifier)`, to one decimal."""
    product = (
        components["base_score"]
        * components["inventory_modifier"]
        * components["concentration_modifier"]
    )
    return half_up(min(Fraction(100), product), 1)


def tier_of(score: Fraction) -> str:
    """<= 25 LOW, <= 50 MEDIUM, <= 75 HIGH, else CRITICAL, on the reported score."""
    return TIERS[0 if score <= 25 else 1 if score <= 50 else 2 if score <= 75 else 3]


def escalation_of(tier: str, regulatory_factor: int) -> str:
    """LOW NONE, MEDIUM L1, HIGH L2, CRITICAL L3, and L4 when CRITICAL with regulatory factor
    100.
    """
    if tier == "CRITICAL" and regulatory_factor == 100:
        return "L4"
    return ("NONE", "L1", "L2", "L3")[TIERS.index(tier)]


def deadline_of(fail: dict[str, Any]) -> int | None:
    """13, or 6 for a threshold security, where there is a delivery obligation."""
    if not owes_delivery(fail):
        return None
    return 6 if fail["reg_sho_threshold"] else 13


def flags_of(fail: dict[str, Any], regulatory_factor: int) -> list[str]:
    """The five conditions of section 3, in its order."""
    deadline = deadline_of(fail)
    raised = (
        fail["reg_sho_threshold"],
        regulatory_factor == 100 or (deadline is not None and fail["age_days"] >= deadline),
        exact(fail["cp_fail_rate_pct"]) > 5,
        exact(fail["market_value"]) >= 1_000_000,
        fail["age_days"] >= 10,
    )
    return [flag for flag, up in zip(FLAGS, raised, strict=True) if up]


def lifecycle_of(fail: dict[str, Any], regulatory_factor: int, tier: str) -> str:
    """First match: OFFSET, BUYIN, ESCALATED, OPEN."""
    position, direction = fail.get("cns_position"), fail["cns_direction"]
    if position is not None and (
        (direction == "FTD" and position >= 0) or (direction == "FTR" and position <= 0)
    ):
        return "OFFSET"
    if owes_delivery(fail) and regulatory_factor == 100:
        return "BUYIN"
    return "ESCALATED" if tier in ("HIGH", "CRITICAL") else "OPEN"


def action_of(fail: dict[str, Any], category: str, lifecycle: str, tier: str) -> str:
    """First match of section 3."""
    if lifecycle == "OFFSET":
        return "NO_ACTION"
    if category == "DK_DISPUTE":
        return "SEND_DK_NOTICE"
    if lifecycle == "BUYIN":
        return "INITIATE_BUYIN"
    if category == "CA_EVENT":
        return "ESCALATE"
    if fail["cns_direction"] == "FTD":
        return "LOCATE_AND_DELIVER"
    if fail["cns_direction"] == "FTR":
        return "MONITOR_PENDING_RECEIPT" if fail["age_days"] <= 9 else "INITIATE_BUYIN"
    if category == "B2B_PENDING":
        return "ESCALATE" if tier in ("HIGH", "CRITICAL") else "MONITOR_PENDING_RECEIPT"
    covered = exact(fail["inventory_coverage_pct"]) >= 100
    return "LOCATE_AND_DELIVER" if fail["side"] == "Sell" and covered else "CONTACT_COUNTERPARTY"


def triage(fail: dict[str, Any]) -> dict[str, Any]:
    """Card 1's output for one fail record, without `reason`."""
    components, category = components_of(fail), category_of(fail)
    score, regulatory = score_of(components), components["regulatory_factor"]
    raised = category == "CNS_FAIL" and tier_of(score) == "LOW"
    tier = "MEDIUM" if raised else tier_of(score)
    lifecycle = lifecycle_of(fail, regulatory, tier)
    deadline = deadline_of(fail)
    return {
        "category": category,
        "cns_direction": fail["cns_direction"],
        "lifecycle_state": lifecycle,
        "priority_score": score,
        "priority_tier": tier,
        "category_priority_override": raised,
        "score_components": components,
        "action": action_of(fail, category, lifecycle, tier),
        "escalation_level": escalation_of(tier, regulatory),
        "deadline": None if deadline is None else f"T+{deadline}",
        "flags": flags_of(fail, regulatory),
    }
